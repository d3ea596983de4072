"""The last good copy on disk: what a restarted container serves without the API server.

Two files, one for each document: the SHA-256 of the rest, then revision and document as canonical JSON. Each is replaced
by a rename. Wherever the process stops, the endpoints on disk have an entry for each Service that the config on disk names.
"""

import os
from pathlib import Path
from typing import Final, Generic, TypeVar

from pydantic import ValidationError

from inferway_contract import format_1
from inferway_contract.canonical import canonical, digest
from inferway_contract.document import ConfigDocument, DocumentModel, EndpointsDocument
from inferway_dataplane.sources.assembly import Assembled, Document, Documents, with_last_known

CONFIG: Final = "last-good-config"
ENDPOINTS: Final = "last-good-endpoints"
_PART: Final = ".part"
_OBSOLETE: Final = ("last-good", "*.shard", f"*{_PART}")
"""Files of an earlier format, and files that were not completed."""


Model = TypeVar("Model", bound=DocumentModel)


class _Copy(DocumentModel, Generic[Document]):
    revision: str
    document: Document


class _ConfigCopy(DocumentModel):
    """A copy that an older version of this process may have written: an image can change without its pod."""

    revision: str
    document: ConfigDocument | format_1.ConfigDocument


class LastGood:
    """The copy in a folder. Its methods block: call them in a thread, one at a time."""

    def __init__(self, directory: str) -> None:
        self._folder = Path(directory)
        self._saved: Documents | None = None

    def save(self, documents: Documents) -> None:
        """Replace the copy. After an `OSError` the older copy is still whole."""
        self._folder.mkdir(parents=True, exist_ok=True)
        older, self._saved = self._saved or self._older(), None
        if older is None or older.config.revision != documents.config.revision:
            # Until the config is replaced, the older one needs its Services.
            needed = older.config.document.named_services() if older is not None else ()
            self._write(ENDPOINTS, with_last_known(documents.endpoints, needed, older))
            self._write(CONFIG, documents.config)
        self._write(ENDPOINTS, documents.endpoints)
        for pattern in _OBSOLETE:
            for file in self._folder.glob(pattern):
                file.unlink(missing_ok=True)
        self._saved = documents

    def read(self) -> Documents | None:
        """Return the copy; None = there is none. `ValueError` where it is not what was saved, `OSError`."""
        if not (self._folder / CONFIG).exists():
            return None
        copy = self._read(CONFIG, _ConfigCopy)
        document = copy.document
        newest = format_1.from_format_1(document) if isinstance(document, format_1.ConfigDocument) else document
        config = Assembled(newest, copy.revision)
        addresses = self._read(ENDPOINTS, _Copy[EndpointsDocument])
        endpoints = Assembled(addresses.document, addresses.revision)
        if config.document.named_services() - endpoints.document.services.keys():
            raise ValueError(f"{ENDPOINTS} lacks Services of {CONFIG}: they were not saved together")
        return Documents(config, endpoints)

    def _older(self) -> Documents | None:
        try:
            return self.read()
        except (OSError, ValueError):
            return None  # a start that needed it has reported that; it is replaced now

    def _read(self, name: str, model: type[Model]) -> Model:
        checksum, _, content = (self._folder / name).read_bytes().partition(b"\n")
        if checksum != digest(content).encode():
            raise ValueError(f"{name} does not have the hash that it begins with: it is truncated or was changed")
        try:
            return model.model_validate_json(content)
        except ValidationError as error:
            raise ValueError(f"{name} cannot be read: {error.errors(include_url=False)[0]['msg']}") from None

    def _write(self, name: str, document: Assembled[Document]) -> None:
        """Write a file so that it has all of its content, or is not replaced."""
        # The canonical form of a `_Copy`, whose document is written in pieces.
        content = b'{"document":%b,"revision":"%b"}' % (canonical(document.document), document.revision.encode())
        part = self._folder / f"{name}{_PART}"
        with part.open("wb") as file:
            file.write(digest(content).encode() + b"\n" + content)
            file.flush()
            os.fsync(file.fileno())
        part.rename(self._folder / name)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
