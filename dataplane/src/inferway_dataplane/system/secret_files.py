"""Secrets from a directory, one file each (a mounted Secret): read when they are needed, and anew when they change.

Documents carry only names. A name is a plain file name; nothing outside the directory can be reached.
"""

import logging
from pathlib import Path
from typing import Final

from inferway_dataplane.core.upstreams import backend_auth

log = logging.getLogger("inferway")

_LARGEST: Final = 64 << 10
_GONE: Final = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)


class SecretFiles:
    """The secrets that documents have named so far."""

    def __init__(self, directory: str) -> None:
        """`directory`: empty = there are no secrets, and whatever needs one is refused."""
        self._directory = Path(directory) if directory else None
        self._known: dict[str, bytes | None] = {}

    def want(self, names: set[str]) -> None:
        """A document names these: read what is new, forget what is not named any more."""
        known = {}
        for name in names:
            known[name] = self._known.get(name)
            if known[name] is None:
                try:
                    known[name] = self._read(name)
                except OSError as error:
                    # `files` names more than before, so all is read once more with the next look.
                    log.warning("a secret cannot be read", extra={"file": name, "error": error.strerror})
        self._known = known

    def get(self, name: str) -> bytes | None:
        """The secret, or None when it is not there or not usable."""
        return self._known.get(name)

    def files(self) -> list[Path]:
        """What is watched."""
        return [self._directory / name for name in self._known] if self._directory is not None else []

    def refresh(self) -> None:
        """Read all anew. A file that has gone takes its secret with it: whoever removes one means it.

        `OSError` when one is there and cannot be read just now (there is no descriptor, the volume fails): it keeps its secret,
        and is to be tried again.
        """
        failed: OSError | None = None
        for name, old in list(self._known.items()):
            try:
                new = self._known[name] = self._read(name)
            except OSError as error:
                failed = error
                continue
            if new != old:
                log.info("a secret has changed", extra={"file": name, "usable": new is not None})
        if failed is not None:
            raise failed

    def _read(self, name: str) -> bytes | None:
        if self._directory is None or "/" in name or name.startswith("."):
            return None
        try:
            with (self._directory / name).open("rb") as file:
                return backend_auth.clean(file.read(_LARGEST))
        except _GONE as error:
            log.warning("a secret cannot be read", extra={"file": name, "error": error.strerror})
            return None
