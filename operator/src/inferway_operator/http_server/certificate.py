"""The webhook's certificate: loaded once its files exist, and again when they change (cert-manager renews them).

TLS 1.2 or newer. Open connections keep their certificate.
"""

import ssl
from pathlib import Path
from typing import Any

Signature = tuple[tuple[int, int, int] | None, ...]


class ServingCertificate:
    """The listener's TLS context, and one for each loaded pair; handshakes use the newest."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._loaded: Signature | None = None
        self._newest: ssl.SSLContext | None = None
        self.context = _context()
        self.context.sni_callback = self._choose  # also called for clients without a server name

    def refresh(self) -> bool:
        """Load the pair if its files changed; return whether they did.

        `OSError` or `ValueError` with the reason if the pair is unusable; the previous one stays in use.
        """
        signature = tuple(_signature(path) for path in self._files)
        if signature == self._loaded:
            return False
        context = _context()
        _load(context, *self._files)
        self._newest, self._loaded = context, signature
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
        # Without a password callback, OpenSSL asks on the terminal.
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except ssl.SSLError as error:
        raise ValueError(
            f"{certificate} and {key} are not a certificate and its key: {error.reason or error}"
        ) from None
    except OSError as error:
        raise OSError(f"cannot read {certificate} or {key}: {error.strerror}") from None


def _no_passphrase() -> str:
    raise ValueError("the webhook's key has a passphrase: use a key without one")


def _signature(path: Path) -> tuple[int, int, int] | None:
    """Return time, size and inode (a swapped link changes them); None if inaccessible."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)
