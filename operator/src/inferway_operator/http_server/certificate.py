"""The webhook's certificate: loaded once its files exist, and again when they change (cert-manager renews them).

TLS 1.2 or newer. Open connections keep their certificate.
"""

import ssl
from pathlib import Path
from typing import Any

from inferway_contract.listener import Signature, signature, tls_context


class ServingCertificate:
    """The listener's TLS context, and one for each loaded pair; handshakes use the newest."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._loaded: Signature | None = None
        self._newest: ssl.SSLContext | None = None
        self.context = tls_context()
        self.context.sni_callback = self._choose  # also called for clients without a server name

    def refresh(self) -> bool:
        """Load the pair if its files changed; return whether they did.

        `OSError` or `ValueError` with the reason if the pair is unusable; the previous one stays in use.
        """
        newest = signature(self._files)  # before they are read
        if newest == self._loaded:
            return False
        self._newest, self._loaded = tls_context(*self._files), newest
        return True

    def _choose(self, connection: Any, name: str | None, context: ssl.SSLContext) -> int | None:
        if self._newest is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR  # no certificate yet
        connection.context = self._newest
        return None
