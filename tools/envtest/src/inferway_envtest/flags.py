"""The command lines of the three programs."""

from __future__ import annotations

from pathlib import Path

from inferway_envtest.certificates import Authority

CONTROLLERS = ("namespace-controller", "garbage-collector-controller", "endpointslice-controller")
"""Without them namespaces and owned objects never go away, and Services of pods get no EndpointSlices."""
ISSUER = "https://kubernetes.default.svc"


def etcd(directory: Path) -> list[str]:
    """etcd on sockets in the directory, its data there too; it never waits for a disk."""
    # What it tells others needs the form of host and port. A unix URL of that form is a file in its working directory.
    peers = "unix://peer:0"
    return [
        f"--data-dir={directory / 'etcd'}",
        f"--listen-client-urls=unix://{directory / 'etcd.sock'}",
        "--advertise-client-urls=unix://nobody-asks:0",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        "--unsafe-no-fsync",
        "--quota-backend-bytes=4294967296",
        "--log-level=warn",
    ]


def server(
    directory: Path, authority: Authority, port: int, tokens: Path, audit_policy: Path, audit_log: Path
) -> list[str]:
    """The API server on loopback, with RBAC. Pods need no ServiceAccount, for no controller makes one."""
    return [
        f"--etcd-servers=unix://{directory / 'etcd.sock'}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        "--permit-port-sharing=true",
        "--endpoint-reconciler-type=none",
        f"--cert-dir={directory}",
        f"--tls-cert-file={authority.server_certificate}",
        f"--tls-private-key-file={authority.server_key}",
        f"--client-ca-file={authority.file}",
        f"--token-auth-file={tokens}",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={authority.tokens_key}",
        f"--service-account-signing-key-file={authority.tokens_key}",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",
        "--service-cluster-ip-range=10.96.0.0/16",
        f"--audit-policy-file={audit_policy}",
        f"--audit-log-path={audit_log}",
        "--audit-log-mode=blocking",
        "--audit-log-maxsize=100000",  # MB: places in it hold for as long as it is one file
        "--shutdown-delay-duration=0",
    ]


def controllers(kubeconfig: Path) -> list[str]:
    """Only the controllers that tests need, and no port."""
    return [
        f"--kubeconfig={kubeconfig}",
        f"--controllers={','.join(CONTROLLERS)}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=1000",
        "--kube-api-burst=1000",
    ]
