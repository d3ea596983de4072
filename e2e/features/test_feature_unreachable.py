"""U1: unreachable upstreams; each kind has its own status, code and label."""

from __future__ import annotations

from time import monotonic

import pytest

from inferway_fakes.faulty_tcp import Accepting, Ending, FaultyTcp, Flow
from inferway_fakes.scripted.server import ScriptedUpstream
from inferway_fakes.yaml_builders import route, rule, to

CONNECT = "timeouts: {connect: 300ms}"


@pytest.fixture
def tcp(upstream):
    """Start a TCP proxy between the gateway and the upstream."""
    with FaultyTcp(upstream.port) as proxy:
        yield proxy


def tls_backend(port):
    """Return a backendRef to this port by TLS."""
    return f'backendRefs: [{{url: "https://127.0.0.1:{port}"}}]'


def assert_problem(gateway, status, code):
    """Assert that the next request gets this problem, counted once under its own reason only."""
    answer = gateway.request()
    assert (answer.status, answer.code) == (status, code)
    assert gateway.metric("upstream_errors_total", route="default/demo", reason=code) == 1
    assert gateway.metric("upstream_errors_total") == 1
    assert gateway.active_requests() == (0, 0, 0)


@pytest.mark.case("U1")
def test_refused_connection_is_502_connect_failed(serve, tcp, upstream):
    tcp.change(accepting=Accepting.REFUSE)
    assert_problem(serve(route(rule(CONNECT, to(tcp.port)))), 502, "connect_failed")
    assert not upstream.seen


@pytest.mark.case("U1")
def test_unresolvable_name_is_502_dns_failed(serve):
    assert_problem(serve(route(rule(CONNECT, 'backendRefs: [{url: "http://nobody.invalid"}]'))), 502, "dns_failed")


@pytest.mark.case("U1")
def test_dropped_packets_are_504_at_the_connect_timeout(serve, tcp, upstream):
    tcp.change(accepting=Accepting.DROP)
    gateway = serve(route(rule(CONNECT, to(tcp.port))))
    started = monotonic()
    assert_problem(gateway, 504, "connect_timeout")
    assert 0.3 <= monotonic() - started < 1.5
    assert not upstream.seen


@pytest.mark.case("U1")
def test_upstream_without_tls_is_502_tls_failed(serve):
    with ScriptedUpstream() as plain:
        assert_problem(serve(route(rule(CONNECT, tls_backend(plain.port)))), 502, "tls_failed")
        assert not plain.stats.requests


@pytest.mark.case("U1")
@pytest.mark.parametrize("ending", list(Ending))
def test_aborted_handshake_is_502_tls_failed(serve, tcp, ending):
    tcp.change(to_target=Flow(cut_after=1, cut=ending))
    assert_problem(serve(route(rule(CONNECT, tls_backend(tcp.port)))), 502, "tls_failed")


def test_silent_handshake_is_504_connect_timeout(serve, tcp):
    tcp.change(accepting=Accepting.SILENT)
    gateway = serve(route(rule(CONNECT, tls_backend(tcp.port))))
    assert_problem(gateway, 504, "connect_timeout")
    # No state of it is left on either side.
    assert gateway.plane.gateway.pools.limiter.taken == 0


def test_recovered_upstream_is_used_again(serve, tcp, upstream):
    tcp.change(accepting=Accepting.REFUSE)
    gateway = serve(route(rule(CONNECT, to(tcp.port))))
    assert gateway.request().status == 502
    tcp.heal()
    assert gateway.request().status == 200
    assert len(upstream.seen) == 1
