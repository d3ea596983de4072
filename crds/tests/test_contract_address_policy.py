"""Which hosts both planes connect to: metadata services, loopback and the API server in all their spellings."""

import pytest

from inferway_contract.address_policy import objection

HOSTS = {  # host -> allowed in a cluster, allowed standalone
    "10.1.2.3": (True, True),
    "203.0.113.1": (True, True),
    "2001:db8::1": (True, True),
    "fd00::1": (True, True),
    "::ffff:10.1.2.3": (True, True),
    "127.0.0.1": (False, True),
    "127.8.9.1": (False, True),
    "::1": (False, True),
    "::ffff:127.0.0.1": (False, True),
    "169.254.169.254": (False, False),
    "169.254.0.1": (False, False),
    "::ffff:169.254.169.254": (False, False),
    "fe80::1": (False, False),
    "fe80::1%eth0": (False, False),
    "2001:db8::1%eth0": (False, False),
    "0.0.0.0": (False, False),
    "::": (False, False),
    "::ffff:0.0.0.0": (False, False),
    "224.0.0.1": (False, False),
    "ff02::1": (False, False),
    "64:ff9b::8.8.8.8": (True, True),
    "64:ff9b::127.0.0.1": (False, True),
    "64:ff9b::a9fe:a9fe": (False, False),
    "64:ff9b:1::a9fe:a9fe": (True, True),  # not the well-known prefix: its IPv4 address is unknown
    "models.example.com": (True, True),
    "kubernetes": (False, True),
    "kubernetes.default": (False, True),
    "Kubernetes.default.svc.cluster.local.": (False, True),
    "kubernetes.example.com": (True, True),
    "my-kubernetes.default": (True, True),
}


@pytest.mark.case("X1")
@pytest.mark.parametrize(("host", "allowed"), HOSTS.items(), ids=HOSTS)
def test_host_is_allowed_by_plane_mode(host: str, allowed: tuple[bool, bool]) -> None:
    assert (objection(host, standalone=False) is None, objection(host, standalone=True) is None) == allowed


@pytest.mark.parametrize(
    ("host", "api_server", "standalone", "is_allowed"),
    [
        ("10.0.0.1", "10.0.0.1", False, False),
        ("::ffff:10.0.0.1", "10.0.0.1", False, False),
        ("10.0.0.1", "10.0.0.1", True, True),
        ("10.0.0.2", "10.0.0.1", False, True),
        ("10.0.0.1", "kubernetes.default", False, True),
    ],
)
def test_api_server_is_allowed_standalone_only(host: str, api_server: str, standalone: bool, is_allowed: bool) -> None:
    assert (objection(host, standalone=standalone, api_server=api_server) is None) is is_allowed
