"""Retry-After binds the endpoint that sent it: other endpoints and backends get the next try at once."""

from __future__ import annotations

from email.utils import formatdate
from time import monotonic, time

import pytest

from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import resources, route, rule, service
from inferway_testing.until import until

RETRY = "retry: {attempts: 2, codes: [429, 503], methods: [GET, POST], backoff: 1ms, maxBackoff: 1s}"
LONG_BACKOFF = RETRY.replace("backoff: 1ms, maxBackoff: 1s", "backoff: 5s, maxBackoff: 10s")
NO_EJECTION = "circuitBreaker: {maxEjectedPercent: 0}"


def two_backends(*ports):
    """Return backendRefs of rising priority."""
    entries = (f'- {{url: "http://127.0.0.1:{port}", priority: {number}}}' for number, port in enumerate(ports))
    return "backendRefs:\n" + "\n".join(entries)


def busy(value, status="429 Too Many Requests"):
    """Return a script that asks for time."""
    return lambda seen: reply(b"busy", status, {"retry-after": value})


@pytest.mark.parametrize("value", ["20", "99999999999", "Fri, 31 Dec 9999 23:59:59 GMT", "date"])
@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_next_provider_gets_the_request_at_once(serve, upstreams, value, status):
    first, second = upstreams(2)
    first.script = busy(formatdate(time() + 20, usegmt=True) if value == "date" else value, status)
    second.script = lambda seen: reply(b"from b")
    gateway = serve(route(rule(LONG_BACKOFF, NO_EJECTION, two_backends(first.port, second.port))))
    gateway.plane.gateway.context.random = lambda: 0.9
    began = monotonic()
    answer = gateway.request("/", "POST", body=b"{}")
    assert (answer.status, answer.body) == (200, b"from b")
    assert monotonic() - began < 1
    assert [len(first.seen), len(second.seen)] == [1, 1]


def test_other_endpoint_of_the_backend_gets_the_request_at_once(serve, upstreams):
    endpoints = upstreams(2)
    for endpoint in endpoints:
        # Whichever is asked first is busy.
        endpoint.script = lambda seen: (
            reply(b"well") if sum(len(one.seen) for one in endpoints) == 2 else busy("20")(seen)
        )
    by_name = route(rule(RETRY, NO_EJECTION, "backendRefs: [{name: model, port: 80}]"))
    gateway = serve(resources(by_name, service("model", *(endpoint.port for endpoint in endpoints))))
    began = monotonic()
    assert gateway.request().status == 200
    assert monotonic() - began < 1
    assert sorted(len(endpoint.seen) for endpoint in endpoints) == [1, 1]


def test_shortest_rest_of_every_endpoint_is_the_wait(serve, upstreams):
    first, second = upstreams(2)
    first.script = busy("20")
    second.script = lambda seen: busy("1")(seen) if len(second.seen) == 1 else reply(b"from b")
    gateway = serve(route(rule(RETRY, NO_EJECTION, two_backends(first.port, second.port))))
    began = monotonic()
    answer = gateway.request()
    assert (answer.status, answer.body) == (200, b"from b")
    assert 0.99 <= monotonic() - began < 1.5
    assert [len(first.seen), len(second.seen)] == [1, 2]


def test_long_rest_of_every_endpoint_returns_the_response(serve, upstreams):
    first, second = upstreams(2)
    first.script, second.script = busy("20"), busy("30")
    gateway = serve(route(rule(RETRY, NO_EJECTION, two_backends(first.port, second.port))))
    answer = gateway.request()
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (429, b"busy", "30")
    assert [len(first.seen), len(second.seen)] == [1, 1]


@pytest.mark.parametrize("value", ["-5", "soon", "1.5", ""])
def test_unreadable_retry_after_is_ignored(serve, upstreams, value):
    [only] = upstreams(1)
    only.script = lambda seen: busy(value)(seen) if len(only.seen) == 1 else reply(b"well")
    gateway = serve(route(rule(RETRY, NO_EJECTION, two_backends(only.port))))
    assert gateway.request().body == b"well"
    until(lambda: gateway.active_requests() == (0, 0, 0), "the end of the retry")
