"""The keys of one API server: certificates of a separate authority, the key that signs ServiceAccounts' tokens."""

from __future__ import annotations

import base64
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

NAMES = ("127.0.0.1", "localhost", "kubernetes.default.svc")


class Authority:
    """Issues certificates to the server and to users; common name and organization are user and group."""

    def __init__(self, directory: Path) -> None:
        self._authority = trustme.CA()
        self.file = directory / "ca.crt"
        self._authority.cert_pem.write_to_path(self.file)
        self.server_certificate = directory / "server.crt"
        self.server_key = directory / "server.key"
        server = self._authority.issue_cert(*NAMES)
        for blob in server.cert_chain_pems:
            blob.write_to_path(self.server_certificate, append=True)
        server.private_key_pem.write_to_path(self.server_key)
        self.tokens_key = directory / "service-accounts.key"
        self.tokens_key.write_bytes(
            ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
            )
        )

    @property
    def data(self) -> str:
        """Return the authority's certificate in the form of kubeconfig files."""
        return base64.b64encode(self.file.read_bytes()).decode()

    def for_user(self, name: str, group: str) -> tuple[str, str]:
        """Return a certificate and its key for a user in one group, in the form of kubeconfig files."""
        # The server requires a host name in a certificate, but does not use it.
        issued = self._authority.issue_cert("user.invalid", common_name=name, organization_name=group)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        return base64.b64encode(chain).decode(), base64.b64encode(issued.private_key_pem.bytes()).decode()
