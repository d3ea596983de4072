"""TLS of the webhook's port: its certificate, and the authority of its clients' certificates if they need one."""

import ssl
from pathlib import Path
from typing import Any

from inferway_contract.listener import Signature, signature, tls_context


class ServingCertificate:
    """The listener's TLS context, and one for each loaded set of files; handshakes use the newest, connections keep theirs."""

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None = None) -> None:
        """`client_ca`: PEM certificates; a client needs a certificate by one of them. None = clients need none."""
        self._certificate, self._key, self._client_ca = certificate, key, client_ca
        self._loaded: Signature | None = None
        self._newest: ssl.SSLContext | None = None
        self.context = tls_context()
        self.context.sni_callback = self._choose  # also called for clients without a server name
        if client_ca is not None:
            _require_certificates(self.context)

    def refresh(self) -> bool:
        """Load the files if they changed; return whether they did.

        `OSError` or `ValueError` with the reason if they are unusable; the previous ones stay in use.
        """
        files = [self._certificate, self._key, *([self._client_ca] if self._client_ca is not None else [])]
        newest = signature(files)  # before they are read
        if newest == self._loaded:
            return False
        context = tls_context(self._certificate, self._key)
        if self._client_ca is not None:
            _require_certificates(context)
            _trust(context, self._client_ca)
        self._newest, self._loaded = context, newest
        return True

    def _choose(self, connection: Any, name: str | None, context: ssl.SSLContext) -> int | None:
        if self._newest is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR  # no certificate yet
        connection.context = self._newest
        return None


def _require_certificates(context: ssl.SSLContext) -> None:
    """Require a client's certificate in each handshake: none is skipped by a session of before the authority changed."""
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0


def _trust(context: ssl.SSLContext, authority: Path) -> None:
    try:
        context.load_verify_locations(authority)
    except ssl.SSLError as error:
        raise ValueError(f"{authority} has no certificates of an authority: {error.reason or error}") from None
    except OSError as error:
        raise OSError(f"cannot read {authority}: {error.strerror}") from None
