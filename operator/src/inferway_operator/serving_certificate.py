"""The webhook's certificate: read when its files are there, and anew when they change (cert-manager renews them).

TLS 1.2 or newer. Connections that are open keep what they have.
"""

import ssl
from pathlib import Path

Signature = tuple[tuple[int, int, int] | None, ...]


class ServingCertificate:
    """One TLS context whose certificate follows two files."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._read: Signature | None = None
        self.context = _context()

    @property
    def is_loaded(self) -> bool:
        """Whether there was a usable pair yet."""
        return self._read is not None

    def refresh(self) -> bool:
        """Load the pair if it is another one than was loaded last; whether it was.

        `OSError` or `ValueError` says why it cannot be used; what was loaded before stays.
        """
        seen = tuple(_signature(path) for path in self._files)
        if seen == self._read:
            return False
        # First into a context of its own: a certificate without its key must not reach the one that is used.
        _load(_context(), *self._files)
        _load(self.context, *self._files)
        self._read = seen
        return True


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        # A passphrase would be asked for on the terminal.
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except ssl.SSLError as error:
        raise ValueError(
            f"{certificate} and {key} are not a certificate and its key: {error.reason or error}"
        ) from None
    except OSError as error:
        raise OSError(f"cannot read {certificate} or {key}: {error.strerror}") from None


def _no_passphrase() -> str:
    raise ValueError("the webhook's key has a passphrase: give a key without one")


def _signature(path: Path) -> tuple[int, int, int] | None:
    """What tells a changed file from the same one, also behind a swapped link; None when it cannot be seen."""
    try:
        seen = path.stat()
    except OSError:
        return None
    return (seen.st_mtime_ns, seen.st_size, seen.st_ino)
