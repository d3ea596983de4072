"""X1: the address of each connection is checked after name resolution, every time.

The compiler checks ExternalName Services and the API server's names: golden files, `test_contract_address_policy.py`.
"""

from __future__ import annotations

import pytest

from inferway_fakes.fake_dns import resolving, swallowing
from inferway_fakes.yaml_builders import route, rule, to
from inferway_testing.until import until

pytestmark = pytest.mark.case("X1")

METADATA = [
    "169.254.169.254",
    "169.254.0.1",
    "fe80::1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "0.0.0.0",
    "::",
    "224.0.0.1",
]
LOOPBACK = ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"]


@pytest.fixture
def names():
    """Resolve names with the test's addresses."""
    with resolving() as fake_names:
        yield fake_names


@pytest.fixture
def serve_in_cluster(serve):
    """As `serve`, with the address policy of a cluster; the compiler selects another one for a directory."""

    def start(text):
        gateway = serve(text)
        gateway.plane.gateway.pools.address_policy = "Cluster"
        return gateway

    return start


def route_by_name(port, *parts):
    """Return a route to a name."""
    return route(rule("timeouts: {connect: 500ms}", *parts, f'backendRefs: [{{url: "http://models.test:{port}"}}]'))


def assert_address_refused(gateway):
    """Assert that the next request is rejected for its address, without the address in the answer."""
    answer = gateway.request()
    assert (answer.status, answer.code) == (502, "address_refused")
    assert b"169" not in answer.body.split(b"requestId")[0]
    assert b"127" not in answer.body.split(b"requestId")[0]
    assert gateway.metric("upstream_errors_total", reason="address_refused") == 1


@pytest.mark.parametrize("address", METADATA)
def test_x1_name_of_a_forbidden_address_is_rejected(serve, names, address):
    names.resolve("models.test", address)
    assert_address_refused(serve(route_by_name(80)))


@pytest.mark.parametrize("address", METADATA)
def test_x1_forbidden_address_in_a_url_is_rejected(serve, address):
    host = f"[{address}]" if ":" in address else address
    answer = serve(route(rule(f'backendRefs: [{{url: "http://{host}:80"}}]'))).request()
    assert (answer.status, answer.code) == (500, "backend_not_found")  # rejected by the compiler


@pytest.mark.parametrize("address", LOOPBACK)
def test_x1_name_of_loopback_in_a_cluster_is_rejected(serve_in_cluster, names, upstream, address):
    names.resolve("models.test", address)
    assert_address_refused(serve_in_cluster(route_by_name(upstream.port)))
    assert not upstream.connections


def test_x1_name_of_the_api_server_in_a_cluster_is_rejected(serve_in_cluster, names, upstream, monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    names.resolve("models.test", "10.96.0.1")
    assert_address_refused(serve_in_cluster(route_by_name(443)))
    names.resolve("models.test", "10.96.0.9")  # the next address is only unreachable
    assert serve_in_cluster(route_by_name(upstream.port)).request().code != "address_refused"


def test_x1_loopback_address_in_a_cluster_is_rejected(serve_in_cluster, upstream):
    assert_address_refused(serve_in_cluster(route(rule(to(upstream.port)))))
    assert not upstream.connections


def test_loopback_is_allowed_standalone(serve, names, upstream):
    names.resolve("models.test", "127.0.0.1")
    assert serve(route_by_name(upstream.port)).request().status == 200


def test_x1_only_allowed_addresses_of_a_name_are_tried(serve, names, upstream):
    names.resolve("models.test", "169.254.169.254", "127.0.0.1")
    assert serve(route_by_name(upstream.port)).request().status == 200


def test_x1_checked_address_of_a_name_is_the_one_connected_to(serve, names, upstream):
    """DNS rebinding: the next look-up returns another address, so nothing may be looked up between check and connection."""
    names.resolve_in_turn("models.test", "127.0.0.1", "169.254.169.254")
    upstream.script = lambda seen: [b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"]
    gateway = serve(route_by_name(upstream.port))
    assert [gateway.request().status for _ in range(2)] == [200, 200]
    assert names.queries == ["models.test"]  # within its interval a name is not looked up again
    assert upstream.connections == 2


def test_x1_health_check_of_a_forbidden_address_is_rejected(serve, names):
    names.resolve("models.test", "169.254.169.254")
    check = "healthCheck: {path: /latest/meta-data, interval: 100ms, timeout: 100ms, unhealthyThreshold: 1}"
    gateway = serve(route_by_name(80, check))
    until(lambda: gateway.metric("backend_healthy") == 0, "the check to be refused")


def test_unresponsive_address_leaves_time_for_the_next(serve, names, upstream):
    names.resolve("models.test", "127.0.0.2", "127.0.0.1")
    with swallowing("127.0.0.2", upstream.port):
        assert serve(route_by_name(upstream.port)).request().status == 200
