"""U7: without a free connection a request waits for a bounded time and then gets a 503."""

from __future__ import annotations

from time import monotonic

import pytest

from inferway_fakes.faulty_tcp import Accepting, FaultyTcp
from inferway_fakes.gate import Gate
from inferway_fakes.yaml_builders import route, rule, to
from inferway_testing.concurrent_calls import start_calls
from inferway_testing.until import until


def assert_503(answer, code):
    """Assert a 503 with Retry-After, never a 500."""
    assert (answer.status, answer.code) == (503, code)
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.case("U7")
def test_requests_beyond_max_pending_are_answered_503(serve, upstream):
    with FaultyTcp(upstream.port) as tcp:
        tcp.change(accepting=Accepting.DROP)
        gateway = serve(route(rule("timeouts: {connect: 700ms}", "circuitBreaker: {maxPending: 2}", to(tcp.port))))
        with start_calls(2, gateway.request) as waiting:
            until(lambda: gateway.active_requests() == (2, 2, 0), "two requests to wait")
            started = monotonic()
            assert_503(gateway.request(), "pending_overflow")
            assert monotonic() - started < 0.5  # at once, without waiting behind them
        assert [call.result().code for call in waiting] == ["connect_timeout"] * 2
    assert gateway.metric("upstream_errors_total", reason="pending_overflow") == 1
    assert gateway.active_requests() == (0, 0, 0)


@pytest.mark.case("U7")
def test_request_without_a_permit_waits_for_connect_timeout(serve, upstream):
    gateway = serve(route(rule("timeouts: {connect: 400ms}", to(upstream.port))))
    gateway.plane.gateway.pools.limiter.permits = 1  # share of the descriptors
    gate = Gate()
    upstream.script = gate.script()
    with start_calls(1, gateway.request) as served:
        until(lambda: upstream.seen, "the only seat to be taken")
        started = monotonic()
        assert_503(gateway.request(), "pending_overflow")
        assert 0.4 <= monotonic() - started < 1.5
        gate.open()
    assert served[0].result().status == 200
    assert gateway.active_requests() == (0, 0, 0)


@pytest.mark.case("U7")
def test_released_connection_goes_to_a_waiting_request(serve, upstream):
    gateway = serve(route(rule("timeouts: {connect: 5s}", to(upstream.port))))
    gateway.plane.gateway.pools.limiter.permits = 2
    gate = Gate()
    upstream.script = gate.script()
    with start_calls(8, gateway.request) as calls:
        until(lambda: gateway.active_requests()[:2] == (8, 6), "six to wait behind two")
        gate.open()
    assert [call.result().status for call in calls] == [200] * 8
    assert upstream.connections == 2
    assert gateway.active_requests() == (0, 0, 0)


@pytest.mark.case("U7")
def test_idle_connection_to_another_upstream_is_closed(serve, upstream, upstreams):
    [other] = upstreams(1)
    gateway = serve(
        route(
            rule("matches: [{path: {value: /a}}]", to(upstream.port)),
            rule("matches: [{path: {value: /b}}]", to(other.port)),
        )
    )
    gateway.plane.gateway.pools.limiter.permits = 1
    for path in ("/a", "/b", "/a", "/b"):
        assert gateway.request(path).status == 200
    assert (upstream.connections, other.connections) == (2, 2)


@pytest.mark.case("U7")
def test_disconnected_client_leaves_the_queue(serve, upstream):
    gateway = serve(route(rule("timeouts: {connect: 5s}", to(upstream.port))))
    room = gateway.plane.gateway.pools.limiter
    room.seats = 1
    gate = Gate()
    upstream.script = gate.script()
    with start_calls(1, gateway.request) as served:
        until(lambda: upstream.seen, "the only seat to be taken")
        assert gateway.raw(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n") == b""  # it waits for half a second after its FIN
        assert gateway.active_requests() == (1, 0, 0)
        gate.open()
    assert served[0].result().status == 200
    assert gateway.request().status == 200
    assert room.taken == 1
