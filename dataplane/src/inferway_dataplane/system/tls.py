"""TLS towards clients: certificates by server name, reloaded when their files change.

A handshake takes the certificate whose names fit best (RFC 6066 3, RFC 9525 6.3); where none fits, the first one, so that the
client sees the wrong names. Open connections keep their certificate.
"""

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509

from inferway_contract.listener import signature, tls_context

Pair = tuple[Path, Path]
"""A certificate chain and its key, PEM."""


class Certificates:
    """The listener's context, and behind it one context for each pair."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        """Read all pairs. `OSError` or `ValueError` names the file that cannot be used."""
        self._pairs = tuple(pairs)
        self.signature = signature(self.files)  # before they are read
        self.reload()
        self.context = tls_context(*self._pairs[0])
        self.context.sni_callback = self._choose

    @property
    def files(self) -> tuple[Path, ...]:
        """The files to watch."""
        return tuple(path for pair in self._pairs for path in pair)

    def reload(self) -> None:
        """Read all pairs. Raises as the constructor does, and then the old ones stay."""
        exact: dict[str, ssl.SSLContext] = {}
        wild: dict[str, ssl.SSLContext] = {}
        contexts = []
        for certificate, key in self._pairs:
            context = tls_context(certificate, key)
            contexts.append(context)
            for name in _names(certificate):
                names = wild if name.startswith("*.") else exact
                names.setdefault(name.removeprefix("*."), context)
        self._exact, self._wild, self._first = exact, wild, contexts[0]

    def _choose(self, connection: Any, name: str | None, context: ssl.SSLContext) -> None:
        host = (name or "").lower().rstrip(".")
        connection.context = self._exact.get(host) or self._wild.get(host.partition(".")[2]) or self._first


def _names(certificate: Path) -> list[str]:
    """Return the DNS names of the leaf, in lower case."""
    leaf = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [name.lower() for name in names.get_values_for_type(x509.DNSName)]
