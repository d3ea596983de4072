"""`inferway run` for the demo: its service may listen at another address than that of the files.

The files are read where they are, so that every edit is seen and reported by its own name and line. Only the address of the
service is replaced, in what is read of its EndpointSlice.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final

import typer

from inferway_cli.commands import run
from inferway_cli.manifests.files import Folder
from inferway_cli.manifests.reader import File

SERVICE: Final = "127.0.0.1:8000"
"""Address in demo/service.yaml."""
_DIVIDER: Final = re.compile(rb"^---[ \t]*$", re.MULTILINE)
_ENDPOINT_SLICE: Final = re.compile(rb"^kind:[ \t]*EndpointSlice\b", re.MULTILINE)


class DemoFolder(Folder):
    """A directory in whose EndpointSlices the demo's address stands for `service` (`host:port`)."""

    def __init__(self, path: str, service: str) -> None:
        super().__init__(path)
        self._addresses = tuple(zip(_parts(SERVICE), _parts(service), strict=True))

    def take(self) -> tuple[File, ...]:
        """Return all files as they are now, with the service's address."""
        return tuple(file._replace(content=self._moved(file.content)) for file in super().take())

    def _moved(self, content: bytes | None) -> bytes | None:
        if content is None:
            return None
        documents = _DIVIDER.split(content)
        return b"---".join(self._with_address(text) if _ENDPOINT_SLICE.search(text) else text for text in documents)

    def _with_address(self, document: bytes) -> bytes:
        for written, actual in self._addresses:
            document = re.sub(rb"\b" + re.escape(written) + rb"\b", actual, document)
        return document


def _parts(address: str) -> tuple[bytes, bytes]:
    host, _, port = address.rpartition(":")
    return host.encode(), port.encode()


def main(
    directory: Annotated[Path, typer.Option()],
    listen: Annotated[str, typer.Option()],
    admin: Annotated[str, typer.Option()],
    service: Annotated[str, typer.Option()],
) -> None:
    """Serve the directory until a signal."""
    settings = run.settings({"listen": listen, "admin": admin})
    raise typer.Exit(run.serve(DemoFolder(str(directory), service), settings))


if __name__ == "__main__":
    typer.run(main)
