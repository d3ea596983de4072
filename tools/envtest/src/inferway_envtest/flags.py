"""The command lines of the three programs."""

from __future__ import annotations

from pathlib import Path

from inferway_envtest.certificates import Authority

CONTROLLERS = (
    "namespace-controller",
    "garbage-collector-controller",
    "endpointslice-controller",
    "clusterrole-aggregation-controller",
)
"""Without them namespaces and owned objects never disappear, Services get no EndpointSlices, roles are not aggregated."""
ISSUER = "https://kubernetes.default.svc"


def etcd(directory: Path) -> list[str]:
    """Return etcd's flags: sockets and data in the directory, without waiting for a disk."""
    # The advertised URL needs a host and a port. A unix URL of that form is a file in etcd's working directory.
    peers = "unix://peer:0"
    return [
        f"--data-dir={directory / 'etcd'}",
        f"--listen-client-urls=unix://{directory / 'etcd.sock'}",
        "--advertise-client-urls=unix://unused:0",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        "--unsafe-no-fsync",
        "--quota-backend-bytes=4294967296",
        "--log-level=warn",
    ]


def server(
    directory: Path,
    authority: Authority,
    port: int,
    tokens: Path,
    audit_policy: Path,
    audit_log: Path,
    admission: Path,
) -> list[str]:
    """Return the flags of the API server: on loopback, with RBAC. Pods need no ServiceAccount: no controller creates one."""
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
        f"--admission-control-config-file={admission}",
        f"--audit-policy-file={audit_policy}",
        f"--audit-log-path={audit_log}",
        "--audit-log-mode=blocking",
        "--audit-log-maxsize=100000",  # MB: marks stay valid while the log is one file
        "--shutdown-delay-duration=0",
    ]


def controllers(kubeconfig: Path) -> list[str]:
    """Return the flags of the controllers that tests need, without a port."""
    return [
        f"--kubeconfig={kubeconfig}",
        f"--controllers={','.join(CONTROLLERS)}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=1000",
        "--kube-api-burst=1000",
    ]
