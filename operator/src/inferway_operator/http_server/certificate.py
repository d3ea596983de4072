"""The webhook's certificate: read when its files are there, and anew when they change (cert-manager renews them).

TLS 1.2 or newer. Connections that are open keep what they have.
"""

import ssl
from pathlib import Path
from typing import Any

from inferway_contract.listener import Signature, signature, tls_context


class ServingCertificate:
    """A listener's TLS context, and behind it one for each pair that was loaded; handshakes take the newest."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._read: Signature | None = None
        self._newest: ssl.SSLContext | None = None
        self.context = tls_context()
        self.context.sni_callback = self._choose  # called for clients that name no server, too

    def refresh(self) -> bool:
        """Load the pair if it is another one than was loaded last; whether it was.

        `OSError` or `ValueError` says why it cannot be used; what was loaded before stays.
        """
        newest = signature(self._files)  # before they are read
        if newest == self._read:
            return False
        self._newest, self._read = tls_context(*self._files), newest
        return True

    def _choose(self, connection: Any, name: str | None, context: ssl.SSLContext) -> int | None:
        if self._newest is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR  # no certificate yet
        connection.context = self._newest
        return None
