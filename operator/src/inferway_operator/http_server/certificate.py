"""The webhook's certificate: read when its files are there, and anew when they change (cert-manager renews them).

TLS 1.2 or newer. Connections that are open keep what they have.
"""

import ssl
from pathlib import Path
from typing import Any

Signature = tuple[tuple[int, int, int] | None, ...]


class ServingCertificate:
    """A listener's TLS context, and behind it one for each pair that was loaded; handshakes take the newest."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._read: Signature | None = None
        self._newest: ssl.SSLContext | None = None
        self.context = _context()
        self.context.sni_callback = self._choose  # called for clients that name no server, too

    def refresh(self) -> bool:
        """Load the pair if it is another one than was loaded last; whether it was.

        `OSError` or `ValueError` says why it cannot be used; what was loaded before stays.
        """
        seen = tuple(_signature(path) for path in self._files)
        if seen == self._read:
            return False
        context = _context()
        _load(context, *self._files)
        self._newest, self._read = context, seen
        return True

    def _choose(self, connection: Any, name: str | None, context: ssl.SSLContext) -> int | None:
        if self._newest is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR  # no certificate yet
        connection.context = self._newest
        return None


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
