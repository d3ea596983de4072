"""Users of the API server, and their kubeconfig files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ADMINS = "system:masters"
"""The group with all rights."""


@dataclass(frozen=True)
class User:
    """A user with a token, or with a certificate and its key (base64 of PEM)."""

    name: str
    """Name in the audit log and in RBAC: `system:serviceaccount:NAMESPACE:NAME` for a ServiceAccount."""
    token: str = ""
    certificate: str = ""
    key: str = ""

    @property
    def credentials(self) -> Mapping[str, str]:
        """Return the credentials in the form of a kubeconfig file."""
        if self.token:
            return {"token": self.token}
        return {"client-certificate-data": self.certificate, "client-key-data": self.key}


def kubeconfig(user: User, server: str, authority: str, namespace: str) -> str:
    """Return a kubeconfig file's text (JSON, which is YAML too) for one user of one server."""
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "envtest", "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": user.name, "user": user.credentials}],
        "contexts": [{"name": "envtest", "context": {"cluster": "envtest", "user": user.name, "namespace": namespace}}],
        "current-context": "envtest",
    }
    return json.dumps(config, indent=2)
