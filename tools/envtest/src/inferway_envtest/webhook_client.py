"""The API server's certificate as a client of admission webhooks, which it shows to those that ask for one."""

from __future__ import annotations

import json
from pathlib import Path

from inferway_envtest.certificates import Authority

USER = "kube-apiserver"


def write_config(directory: Path, authority: Authority) -> Path:
    """Write the file for `--admission-control-config-file`, and the kubeconfig that it names."""
    certificate, key = authority.for_user(USER, "system:masters")
    user = {"client-certificate-data": certificate, "client-key-data": key}
    kubeconfig = directory / "webhooks.kubeconfig"
    kubeconfig.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "users": [{"name": "*", "user": user}]}))
    version = "apiserver.config.k8s.io/v1"
    plugin = {
        "name": "ValidatingAdmissionWebhook",
        "configuration": {
            "apiVersion": version,
            "kind": "WebhookAdmissionConfiguration",
            "kubeConfigFile": str(kubeconfig),
        },
    }
    file = directory / "admission.yaml"
    file.write_text(json.dumps({"apiVersion": version, "kind": "AdmissionConfiguration", "plugins": [plugin]}))
    return file
