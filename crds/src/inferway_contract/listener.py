"""What the listeners of both planes share: addresses, TLS, changes of their files."""

import ssl
from collections.abc import Iterable
from pathlib import Path

Signature = tuple[tuple[int, int, int] | None, ...]
"""Modification time (ns), size and inode of each file."""


def address_and_port(text: str) -> tuple[str, int]:
    """Split `127.0.0.1:8080` or `[::1]:8080` in two. `ValueError` when it is neither."""
    host, colon, port = text.rpartition(":")
    host = host.strip("[]")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{text!r} is not address:port, such as 127.0.0.1:8080 or [::]:8080")
    return host, int(port)


def tls_context(certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """Return a server's context: TLS 1.2 or newer, ALPN http/1.1, and its certificate chain.

    `OSError` or `ValueError` names the files (PEM) that cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    if certificate is None:
        return context

    def refuse_passphrase() -> str:  # OpenSSL would ask for it on the terminal
        raise ValueError(f"{key} has a passphrase: give a key without one")

    try:
        context.load_cert_chain(certificate, key, password=refuse_passphrase)
    except ssl.SSLError as error:
        raise ValueError(
            f"{certificate} and {key} are not a certificate and its key: {error.reason or error}"
        ) from None
    except OSError as error:
        raise OSError(f"cannot read {certificate} or {key}: {error.strerror}") from None
    return context


def signature(files: Iterable[Path]) -> Signature:
    """Return what differs once a file has changed, also behind a swapped link. None for a file that cannot be read."""
    return tuple(map(_signature_of, files))


def _signature_of(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)
