"""U4: failing endpoints are ejected, up to a share of them, and return after one probe."""

from __future__ import annotations

import json

import pytest

from inferway_fakes.gate import Gate
from inferway_fakes.upstream import Close, Pause
from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import resources, route, rule, service
from inferway_testing.concurrent_calls import run_concurrently, start_calls
from inferway_testing.until import until

FAILING = {
    "answers 500": lambda seen: reply(b"no", "500 Internal Server Error"),
    "answers 503": lambda seen: reply(b"no", "503 Service Unavailable"),
    "hangs": lambda seen: [Pause(30)],
    "is too slow": lambda seen: [Pause(1.0), *reply()],
    "closes": lambda seen: [Close()],
    "sends garbage": lambda seen: [b"garbage\r\n\r\n"],
}
TURNS = "loadBalancer: {type: RoundRobin}"
IN_TIME = "timeouts: {backendRequest: 250ms}"


def breaker(failures=2, open_for="10s", more=""):
    """Return a circuitBreaker with these thresholds."""
    return f"circuitBreaker: {{consecutiveFailures: {failures}, openFor: {open_for}{more}}}"


def gateway_with_three(serve, upstreams, *parts):
    """Start a gateway before a Service of three endpoints, the first of which will fail; returns all."""
    endpoints = upstreams(3)
    by_name = route(rule(TURNS, IN_TIME, *parts, "backendRefs: [{name: model, port: 80}]"))
    return serve(resources(by_name, service("model", *(endpoint.port for endpoint in endpoints)))), endpoints


def gateway_with_fallback(serve, upstreams, *parts):
    """Start a gateway before one primary and one fallback endpoint; returns all."""
    primary, fallback = upstreams(2)
    backends = f"""
        backendRefs:
        - {{url: "http://127.0.0.1:{primary.port}"}}
        - {{url: "http://127.0.0.1:{fallback.port}", priority: 1}}
        """
    return serve(route(rule(IN_TIME, *parts, backends))), primary, fallback


def debug_entry_of(gateway, upstream):
    """Return the first rule's state of this endpoint."""
    [rule, *_] = json.loads(gateway.request("/debug/backends", port=gateway.admin_port).body)
    endpoints = [endpoint for backend in rule["backends"] for endpoint in backend["endpoints"]]
    [entry] = [endpoint for endpoint in endpoints if endpoint["address"] == f"127.0.0.1:{upstream.port}"]
    return entry


def states(gateway, *upstreams):
    """Return the states of the endpoints."""
    return [debug_entry_of(gateway, upstream)["state"] for upstream in upstreams]


@pytest.mark.case("U4")
@pytest.mark.parametrize("how", FAILING)
def test_failing_endpoint_of_three_is_ejected(serve, upstreams, how):
    gateway, [bad, *good] = gateway_with_three(serve, upstreams, breaker())
    bad.script = FAILING[how]
    statuses = [gateway.request().status for _ in range(6)]
    assert sum(status >= 500 for status in statuses) == 2
    assert states(gateway, bad, *good) == ["ejected", "available", "available"]
    assert gateway.metric("backend_healthy", route="default/demo", backend="default/model:80") == 2
    assert [gateway.request().status for _ in range(20)] == [200] * 20
    assert len(bad.seen) == 2
    assert sum(len(upstream.seen) for upstream in good) == 24
    assert all(len(upstream.seen) >= 11 for upstream in good)  # in turns, except for one lost turn


@pytest.mark.case("U4")
def test_only_consecutive_failures_eject(serve, upstreams):
    gateway, [bad, *good] = gateway_with_three(serve, upstreams, breaker(failures=2))
    bad.script = lambda seen: FAILING["answers 500"](seen) if len(bad.seen) % 2 else reply()
    for _ in range(30):
        gateway.request()
    assert states(gateway, bad, *good) == ["available"] * 3


@pytest.mark.case("U4")
@pytest.mark.parametrize(("percent", "most"), [(50, 1), (67, 2), (100, 2), (0, 0)])
def test_max_ejected_percent_limits_ejections(serve, upstreams, percent, most):
    gateway, endpoints = gateway_with_three(serve, upstreams, breaker(more=f", maxEjectedPercent: {percent}"))
    for endpoint in endpoints:
        endpoint.script = FAILING["answers 500"]
    for _ in range(30):
        assert gateway.request().status == 500
    assert states(gateway, *endpoints).count("ejected") == most
    # The endpoints that are not ejected get all requests.
    assert sum(len(endpoint.seen) > 2 for endpoint in endpoints) == 3 - most


@pytest.mark.case("U4")
def test_ejected_endpoint_returns_after_one_probe(serve, upstreams):
    gateway, [bad, *good] = gateway_with_three(serve, upstreams, breaker(open_for="400ms"))
    bad.script = FAILING["answers 500"]
    for _ in range(6):
        gateway.request()
    assert states(gateway, bad) == ["ejected"]
    gate = Gate()
    bad.script = gate.script()
    before = len(bad.seen)
    until(lambda: states(gateway, bad) == ["due"], "the time out to be over")
    with start_calls(1, gateway.request) as probe:
        until(lambda: states(gateway, bad) == ["probing"], "the probe")
        # While it is ejected all requests go elsewhere, also many of them.
        assert [answer.status for answer in run_concurrently(20, gateway.request)] == [200] * 20
        assert len(bad.seen) == before + 1
        gate.open()
    assert probe[0].result().status == 200
    assert states(gateway, bad, *good) == ["available"] * 3
    for _ in range(9):
        assert gateway.request().status == 200
    assert len(bad.seen) == before + 1 + 3


@pytest.mark.case("U4")
def test_failed_probe_doubles_the_ejection_time(serve, upstreams):
    gateway, [bad, *_] = gateway_with_three(serve, upstreams, breaker(open_for="300ms"))
    bad.script = FAILING["answers 500"]

    for _ in range(6):
        gateway.request()
    assert 0 < debug_entry_of(gateway, bad)["ejectedFor"] <= 0.3
    until(lambda: states(gateway, bad) == ["due"], "the time out to be over")
    assert gateway.request().status == 500  # the probe
    assert 0.3 < debug_entry_of(gateway, bad)["ejectedFor"] <= 0.6
    assert [gateway.request().status for _ in range(6)] == [200] * 6
    assert len(bad.seen) == 3


@pytest.mark.case("U4")
def test_probe_of_a_disconnected_client_is_inconclusive(serve, upstreams):
    gateway, [bad, *_] = gateway_with_three(serve, upstreams, breaker(open_for="200ms"))
    bad.script = FAILING["answers 500"]
    for _ in range(6):
        gateway.request()
    bad.script = Gate().script()  # never answers
    until(lambda: states(gateway, bad) == ["due"], "the time out to be over")
    # The client disconnects before the try times out; half a second after its FIN would be too late.
    gateway.apply(gateway_text(gateway).replace("backendRequest: 250ms", "backendRequest: 9s"))
    assert gateway.raw(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n") == b""
    assert states(gateway, bad) == ["due"]
    bad.script = lambda seen: reply()
    assert gateway.request().status == 200
    assert states(gateway, bad) == ["available"]


def gateway_text(gateway):
    """Return the gateway's file."""
    return (gateway.directory / "routes.yaml").read_text()


@pytest.mark.case("U4")
def test_only_primary_is_ejected_for_its_fallback_and_returns(serve, upstreams):
    gateway, primary, fallback = gateway_with_fallback(serve, upstreams, breaker(open_for="300ms"))
    primary.script = FAILING["answers 503"]
    assert [gateway.request().status for _ in range(6)] == [503, 503, 200, 200, 200, 200]
    assert (len(primary.seen), len(fallback.seen)) == (2, 4)
    primary.script = lambda seen: reply(b"primary")
    until(lambda: gateway.request().body == b"primary", "the primary to be back")
    assert [gateway.request().body for _ in range(5)] == [b"primary"] * 5


@pytest.mark.case("U4")
def test_failing_fallback_is_not_ejected_as_the_last_endpoint(serve, upstreams):
    gateway, primary, fallback = gateway_with_fallback(serve, upstreams, breaker(more=", maxEjectedPercent: 100"))
    primary.script = fallback.script = FAILING["answers 503"]
    for _ in range(20):
        assert gateway.request().status == 503
    assert states(gateway, primary, fallback) == ["ejected", "available"]
    assert (len(primary.seen), len(fallback.seen)) == (2, 18)


@pytest.mark.case("U4")
def test_only_endpoint_is_never_ejected(serve, upstream):
    gateway = serve(route(rule(breaker(1), f'backendRefs: [{{url: "http://127.0.0.1:{upstream.port}"}}]')))
    upstream.script = FAILING["answers 500"]
    for _ in range(10):
        assert gateway.request().status == 500
    assert len(upstream.seen) == 10
    assert states(gateway, upstream) == ["available"]
    assert gateway.metric("panic_routing_total") == 0


def test_new_document_keeps_an_endpoint_ejected(serve, upstreams):
    gateway, [bad, *_] = gateway_with_three(serve, upstreams, breaker())
    bad.script = FAILING["answers 500"]
    for _ in range(6):
        gateway.request()
    gateway.apply(gateway_text(gateway).replace("backendRequest: 250ms", "backendRequest: 240ms"))
    assert [gateway.request().status for _ in range(10)] == [200] * 10
    assert states(gateway, bad) == ["ejected"]


def test_each_rule_ejects_independently(serve, upstreams):
    bad, good = upstreams(2)
    bad.script = lambda seen: FAILING["answers 500"](seen) if seen.target == "/a" else reply()
    backends = f"""
        backendRefs:
        - {{url: "http://127.0.0.1:{bad.port}"}}
        - {{url: "http://127.0.0.1:{good.port}", priority: 1}}
        """
    gateway = serve(
        route(
            rule("name: a", "matches: [{path: {value: /a}}]", breaker(), backends),
            rule("name: b", "matches: [{path: {value: /b}}]", breaker(), backends),
        )
    )
    assert [gateway.request("/a").status for _ in range(4)] == [500, 500, 200, 200]
    assert gateway.request("/b").status == 200
    assert len(bad.seen) == 3


@pytest.mark.case("U4")
def test_retry_cut_short_by_the_request_timeout_is_not_counted(serve, upstreams):
    endpoints = upstreams(2)
    slow, other = endpoints
    for endpoint in endpoints:
        endpoint.script = FAILING["hangs"]
    by_name = route(
        rule(
            TURNS,
            breaker(failures=1),
            # More than two ticks of the timer wheel apart, so that the try times out in an earlier tick than the request.
            "timeouts: {backendRequest: 500ms, request: 900ms}",
            "retry: {attempts: 1, backoff: 1ms}",
            "backendRefs: [{name: model, port: 80}]",
        )
    )
    gateway = serve(resources(by_name, service("model", slow.port, other.port)))
    assert gateway.request().status == 504
    assert (len(slow.seen), len(other.seen)) == (1, 1)
    # The first try timed out after half a second; the second one had the rest of the request's time.
    assert sorted(states(gateway, slow, other)) == ["available", "ejected"]
    assert [
        debug_entry_of(gateway, endpoint)["state"]
        for endpoint in endpoints
        if debug_entry_of(gateway, endpoint)["failures"]
    ] == []
