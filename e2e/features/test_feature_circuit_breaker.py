"""`circuitBreaker`: the concurrent requests of a rule to its upstreams. Excess requests are rejected at once, not queued."""

from __future__ import annotations

import socket
from time import monotonic

import pytest

from inferway_fakes.gate import Gate
from inferway_fakes.upstream import Pause
from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import direct_response, resources, route, rule, to
from inferway_testing.concurrent_calls import start_calls
from inferway_testing.until import DEADLINE, until

TWO = "circuitBreaker: {maxRequests: 2}"
HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def circuit(gateway, name="rule-0"):
    """Return the gauge."""
    return gateway.metric("circuit_open", route="default/demo", rule=name)


def test_request_over_max_requests_is_answered_503_at_once(serve, upstream):
    gate = Gate()
    upstream.script = gate.script()
    gateway = serve(route(rule(TWO, to(upstream.port))))
    assert circuit(gateway) == 0
    with start_calls(2, gateway.request) as calls:
        until(lambda: len(upstream.seen) == 2, "two requests in flight")
        assert circuit(gateway) == 1
        started = monotonic()
        answer = gateway.request()
        assert monotonic() - started < 0.2
        assert (answer.status, answer.code) == (503, "overload")
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["cache-control"] == "no-store"
        gate.open()
    assert [call.result().status for call in calls] == [200, 200]
    assert circuit(gateway) == 0
    assert gateway.request().status == 200
    assert gateway.metric("upstream_errors_total", route="default/demo", reason="overload") == 1
    assert len(upstream.seen) == 3


def test_stream_counts_until_its_end(serve, upstream):
    upstream.script = lambda seen: [HEAD, b"2\r\nhi\r\n", Pause(30)]
    gateway = serve(route(rule("circuitBreaker: {maxRequests: 1}", to(upstream.port))))
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
        assert gateway.request().code == "overload"
    upstream.script = lambda seen: reply()
    until(lambda: gateway.request().status == 200, "the place to be free", 1.0)
    assert gateway.active_requests() == (0, 0, 0)


def test_cache_hit_is_not_counted(serve, upstream):
    gate = Gate()
    upstream.script = lambda seen: (
        reply(headers={"cache-control": "max-age=60"}) if seen.target == "/a" else gate.before(reply())
    )
    gateway = serve(route(rule("circuitBreaker: {maxRequests: 1}", "cache: {}", to(upstream.port))))
    assert gateway.request("/a").status == 200
    with start_calls(1, lambda: gateway.request("/held")):
        until(lambda: len(upstream.seen) == 2, "the only place to be taken")
        assert gateway.request("/a").status == 200
        assert gateway.request("/b").status == 503
        gate.open()


def test_each_rule_has_a_separate_breaker(serve, upstream):
    gate = Gate()
    upstream.script = lambda seen: gate.before(reply()) if seen.target == "/a" else reply()
    gateway = serve(
        route(
            rule("name: a", "matches: [{path: {value: /a}}]", "circuitBreaker: {maxRequests: 1}", to(upstream.port)),
            rule("name: b", "circuitBreaker: {maxRequests: 1}", to(upstream.port)),
        )
    )
    with start_calls(1, lambda: gateway.request("/a")):
        until(lambda: upstream.seen, "the place of one rule to be taken")
        assert (circuit(gateway, "a"), circuit(gateway, "b")) == (1, 0)
        assert gateway.request("/b").status == 200
        gate.open()


def test_lowered_cap_counts_requests_in_flight(serve, upstream):
    gate = Gate()
    upstream.script = gate.script()
    gateway = serve(route(rule("circuitBreaker: {maxRequests: 9}", to(upstream.port))))
    with start_calls(3, gateway.request) as calls:
        until(lambda: len(upstream.seen) == 3, "three requests in flight")
        gateway.apply(route(rule(TWO, to(upstream.port))))
        assert gateway.active_requests() == (3, 0, 0)
        assert gateway.request().status == 503
        gate.open()
    assert [call.result().status for call in calls] == [200] * 3
    assert gateway.request().status == 200


@pytest.mark.parametrize("text", [direct_response("ok")])
def test_local_replies_are_not_counted(serve, text):
    gateway = serve(resources(route(rule("circuitBreaker: {maxRequests: 1}", text))))
    assert [gateway.request().status for _ in range(3)] == [200] * 3
    assert gateway.active_requests() == (0, 0, 0)
