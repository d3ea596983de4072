"""Secrets from the files of a directory (a mounted Secret), reloaded when they change.

Documents carry only names. A name is a plain file name, so nothing outside the directory can be reached.
"""

import logging
from pathlib import Path
from typing import Final

from inferway_dataplane.core.steps import Steps

log = logging.getLogger("inferway")

_LARGEST: Final = 64 << 10  # bytes of a file
_LONGEST: Final = 16 << 10  # bytes of a secret
_GONE: Final = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)


class SecretFiles:
    """The secrets that the live document names."""

    def __init__(self, directory: str) -> None:
        """`directory`: empty = there are no secrets, and requests that need one fail."""
        self._directory = Path(directory) if directory else None
        self._secrets: dict[str, bytes | None] = {}

    def wanting(self, names: set[str]) -> Steps[None]:
        """Read the secrets that a document names and that are new, one a step; forget all others."""
        new: dict[str, bytes | None] = {}
        for name in names:
            if self._secrets.get(name) is None:
                new[name] = None
                try:
                    new[name] = self._read(name)
                except OSError as error:
                    # `files` has more names than before, so the next look reads all of them again.
                    log.warning("a secret cannot be read", extra={"file": name, "error": error.strerror})
                yield
        # Those that were known may have changed meanwhile.
        self._secrets = {name: self._secrets.get(name) or new.get(name) for name in names}

    def get(self, name: str) -> bytes | None:
        """Return the secret; None when it is missing or unusable."""
        return self._secrets.get(name)

    def objections(self) -> dict[str, str]:
        """Return why a secret cannot be used, by file, for those that cannot."""
        missing = [name for name, secret in self._secrets.items() if secret is None]
        if not missing:
            return {}
        if self._directory is None:
            reason = "there is no secrets directory (setting secrets_directory)"
        elif not self._directory.is_dir():
            reason = f"the secrets directory {self._directory} does not exist"
        else:
            reason = f"it is not in {self._directory}, cannot be read, or is not a valid field value"
        return dict.fromkeys(missing, reason)

    def files(self) -> list[Path]:
        """Return the files to watch."""
        return [self._directory / name for name in self._secrets] if self._directory is not None else []

    def refresh(self) -> None:
        """Read all again. A file that was removed takes its secret with it.

        `OSError` when a file is there but cannot be read now (no descriptor is left, the volume fails): it keeps its secret
        until the next try.
        """
        failed: OSError | None = None
        for name, old in list(self._secrets.items()):
            try:
                new = self._secrets[name] = self._read(name)
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
                return clean(file.read(_LARGEST))
        except _GONE as error:
            log.warning("a secret cannot be read", extra={"file": name, "error": error.strerror})
            return None


def clean(content: bytes) -> bytes | None:
    """Strip white space around a secret; None when not a valid field value."""
    secret = content.strip(b"\r\n \t")
    if not secret or len(secret) > _LONGEST or any(byte < 0x20 or byte == 0x7F for byte in secret):
        return None
    return secret
