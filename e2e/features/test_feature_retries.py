"""`retry`: the conditions, the number and the endpoints of further tries."""

from __future__ import annotations

import http.client
import socket
from contextlib import contextmanager

import pytest

from inferway_fakes.upstream import Close, Pause
from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import resources, route, rule, service, to

STATUSES = {
    429: "429 Too Many Requests",
    500: "500 Internal Server Error",
    502: "502 Bad Gateway",
    503: "503 Service Unavailable",
    504: "504 Gateway Timeout",
}
# No ejection here, because that is another feature.
NO_EJECTION = "circuitBreaker: {maxEjectedPercent: 0}"
IN_TIME = "timeouts: {backendRequest: 250ms, connect: 250ms}"


def retry(attempts=2, **more):
    """Return a retry with a short back-off."""
    fields = {"attempts": attempts, "backoff": "1ms", **more}
    return "retry: {" + ", ".join(f"{name}: {value}" for name, value in fields.items()) + "}"


def failing_first(upstream, bad, then=lambda seen: reply(b"well"), times=1):
    """Return a script that fails the first `times` requests."""
    return lambda seen: bad(seen) if len(upstream.seen) <= times else then(seen)


@contextmanager
def closed_port():
    """Return a port without a listener."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


def failing(status):
    """Return a script that always answers with this status."""
    return lambda seen: reply(b"no", STATUSES[status])


# --- after what -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", STATUSES)
def test_listed_code_is_retried(serve, upstream, status):
    upstream.script = failing_first(upstream, failing(status))
    gateway = serve(route(rule(retry(codes=f"[{status}]"), to(upstream.port))))
    answer = gateway.request("/a")
    assert (answer.status, answer.body) == (200, b"well")
    assert [seen.target for seen in upstream.seen] == ["/a", "/a"]
    assert upstream.connections == 1  # that answer was complete, so its connection is reused
    assert gateway.metric("retries_total", route="default/demo", reason=str(status)) == 1
    assert gateway.metric("http_requests_total") == gateway.metric("http_requests_total", code="200") == 1
    assert gateway.active_requests() == (0, 0, 0)


@pytest.mark.parametrize(("status", "codes"), [(500, "[503]"), (404, "[503]"), (503, "[]")])
def test_unlisted_code_is_not_retried(serve, upstream, status, codes):
    upstream.script = lambda seen: reply(b"as it is", STATUSES.get(status, "404 Not Found"), {"x-a": "1"})
    gateway = serve(route(rule(retry(codes=codes), to(upstream.port))))
    answer = gateway.request()
    assert (answer.status, answer.body, answer.headers["x-a"]) == (status, b"as it is", "1")
    assert len(upstream.seen) == 1
    assert gateway.metric("retries_total") == 0


CONDITIONS = {
    "Reset": (lambda seen: [Close()], "upstream_closed", 502),
    "Reset in the head": (lambda seen: [b"HTTP/1.1 200 OK\r\nconte", Close()], "upstream_closed", 502),
    "Timeout": (lambda seen: [Pause(30)], "upstream_timeout", 504),
}


@pytest.mark.parametrize("what", CONDITIONS)
def test_listed_condition_is_retried(serve, upstream, what):
    bad, code, _ = CONDITIONS[what]
    upstream.script = failing_first(upstream, bad)
    gateway = serve(route(rule(IN_TIME, retry(conditions=f"[{what.split()[0]}]"), to(upstream.port))))
    assert gateway.request().body == b"well"
    assert len(upstream.seen) == 2
    assert gateway.metric("retries_total", reason=code) == 1
    assert gateway.metric("upstream_errors_total", reason=code) == 1


@pytest.mark.parametrize("what", CONDITIONS)
def test_unlisted_condition_is_not_retried(serve, upstream, what):
    bad, code, status = CONDITIONS[what]
    upstream.script = bad
    named = {"Reset", "Timeout", "ConnectFailure"} - {what.split()[0]}
    # A pause of the machine must not turn a reset into a timeout, because a timeout has another condition.
    times = IN_TIME if what == "Timeout" else "timeouts: {backendRequest: 9s, connect: 9s}"
    gateway = serve(route(rule(times, retry(conditions=f"[{', '.join(sorted(named))}]"), to(upstream.port))))
    answer = gateway.request()
    assert (answer.status, answer.code) == (status, code)
    assert len(upstream.seen) == 1


def test_connect_failure_retries_any_method_elsewhere(serve, upstream):
    with closed_port() as port:
        gateway = serve(
            route(rule(NO_EJECTION, retry(conditions="[ConnectFailure]", methods="[GET]"), to(port, upstream.port)))
        )
        for _ in range(20):
            assert gateway.request("/", "POST", body=b"pay").status == 200
    assert [seen.body for seen in upstream.seen] == [b"pay"] * 20
    assert gateway.metric("retries_total", reason="connect_failed") > 0


def test_connect_failure_not_listed_is_not_retried(serve, upstream):
    with closed_port() as port:
        gateway = serve(route(rule(NO_EJECTION, retry(conditions="[Reset]"), to(port))))
        assert gateway.request().code == "connect_failed"
    assert gateway.metric("retries_total") == 0


# --- for whom ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("how", [failing(503), lambda seen: [Close()]], ids=["503", "closes"])
def test_only_listed_methods_are_retried(serve, upstream, method, how):
    upstream.script = how
    gateway = serve(route(rule(retry(methods="[GET]"), to(upstream.port))))
    assert gateway.request("/", method, body=b"pay").status in (502, 503)
    assert len(upstream.seen) == 1
    gateway.apply(route(rule(retry(methods=f"[{method}]"), to(upstream.port))))
    assert gateway.request("/", method, body=b"pay").status in (502, 503)
    assert len(upstream.seen) == 1 + 3


# --- how often --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attempts", [0, 1, 5])
def test_last_response_is_returned_after_all_attempts(serve, upstream, attempts):
    upstream.script = lambda seen: reply(b"%d" % len(upstream.seen), STATUSES[503])
    gateway = serve(route(rule(NO_EJECTION, retry(attempts), to(upstream.port))))
    answer = gateway.request()
    assert (answer.status, answer.body) == (503, b"%d" % (attempts + 1))
    assert len(upstream.seen) == attempts + 1
    assert gateway.metric("retries_total", reason="503") == attempts
    assert gateway.active_requests() == (0, 0, 0)


def test_request_timeout_covers_all_attempts(serve, upstream):
    upstream.script = lambda seen: [Pause(30)]
    gateway = serve(
        route(rule("timeouts: {request: 800ms, backendRequest: 250ms}", NO_EJECTION, retry(5), to(upstream.port)))
    )
    started = gateway.loop.time()
    assert gateway.request().code == "upstream_timeout"
    assert 0.5 <= gateway.loop.time() - started < 1.5
    assert 2 <= len(upstream.seen) <= 4  # of six


# --- where ------------------------------------------------------------------------------------------------------------------


def test_retry_prefers_another_endpoint(serve, upstreams):
    bad, good = upstreams(2)
    bad.script = failing(503)
    by_name = route(rule(NO_EJECTION, retry(1), "backendRefs: [{name: model, port: 80}]"))
    gateway = serve(resources(by_name, service("model", bad.port, good.port)))
    assert [gateway.request().status for _ in range(30)] == [200] * 30
    assert len(good.seen) == 30
    assert gateway.metric("retries_total", reason="503") == len(bad.seen) > 0


def test_retry_uses_a_fallback_endpoint(serve, upstreams):
    bad, fallback = upstreams(2)
    bad.script = failing(503)
    backends = f"""
        backendRefs:
        - {{url: "http://127.0.0.1:{bad.port}"}}
        - {{url: "http://127.0.0.1:{fallback.port}", priority: 1}}
        """
    gateway = serve(route(rule(NO_EJECTION, retry(1), backends)))
    assert [gateway.request().status for _ in range(5)] == [200] * 5
    assert (len(bad.seen), len(fallback.seen)) == (5, 5)


# --- when not ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "framing", [b"content-length: 10\r\n\r\nhalf", b"transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"]
)
def test_started_response_is_not_retried(serve, upstream, framing):
    upstream.script = lambda seen: [b"HTTP/1.1 200 OK\r\n" + framing, Pause(0.05), Close()]
    gateway = serve(route(rule(retry(), to(upstream.port))))
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        gateway.request()
    assert len(upstream.seen) == 1
    assert gateway.metric("retries_total") == 0


def test_malformed_response_is_not_retried(serve, upstream):
    upstream.script = lambda seen: [b"garbage\r\n\r\n"]
    gateway = serve(route(rule(retry(), to(upstream.port))))
    assert gateway.request().code == "bad_response"
    assert len(upstream.seen) == 1
