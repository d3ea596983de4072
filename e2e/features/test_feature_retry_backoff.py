"""`retry`: the back-off, Retry-After of the upstream, the retry budget, and clients that disconnect meanwhile."""

from __future__ import annotations

import socket
from itertools import pairwise
from time import monotonic

import pytest

from inferway_fakes.gate import Gate
from inferway_fakes.upstream import Pause
from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import route, rule, to
from inferway_testing.concurrent_calls import start_calls
from inferway_testing.until import DEADLINE, until

NO_EJECTION = "circuitBreaker: {maxEjectedPercent: 0}"
BUSY = "503 Service Unavailable"
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


def draw(gateway, value):
    """Let the gateway draw this number instead of random ones from [0, 1)."""
    gateway.plane.gateway.context.random = lambda: value


def recording_times(times, headers=None):
    """Return a script that always answers 503, and records the times of requests."""

    def script(seen):
        times.append(monotonic())
        return reply(b"no", BUSY, headers)

    return script


def test_backoff_doubles_up_to_max_backoff(serve, upstream):
    times = []
    upstream.script = recording_times(times)
    gateway = serve(
        route(rule(NO_EJECTION, "retry: {attempts: 4, backoff: 100ms, maxBackoff: 300ms}", to(upstream.port)))
    )
    draw(gateway, 0.999)  # the whole back-off
    assert gateway.request().status == 503
    waits = [later - earlier for earlier, later in pairwise(times)]
    for wait, wanted in zip(waits, [0.1, 0.2, 0.3, 0.3], strict=True):
        assert wanted * 0.99 <= wait < wanted + 0.1


def test_backoff_with_zero_jitter_is_zero(serve, upstream):
    times = []
    upstream.script = recording_times(times)
    gateway = serve(route(rule(NO_EJECTION, "retry: {attempts: 5, backoff: 1s}", to(upstream.port))))
    draw(gateway, 0.0)
    assert gateway.request().status == 503
    assert times[-1] - times[0] < 0.5


def test_retry_after_of_the_upstream_is_the_minimum_wait(serve, upstream):
    times = []
    upstream.script = recording_times(times, {"retry-after": "1"})
    gateway = serve(route(rule("retry: {attempts: 1, backoff: 1ms, maxBackoff: 1s}", to(upstream.port))))
    assert gateway.request().status == 503
    assert 0.99 <= times[1] - times[0] < 1.3  # the loop's clock has milliseconds


@pytest.mark.parametrize("wish", ["2", "99999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_retry_after_over_max_backoff_returns_the_response(serve, upstream, wish):
    times = []
    upstream.script = recording_times(times, {"retry-after": wish})
    gateway = serve(route(rule("retry: {attempts: 3, backoff: 1ms, maxBackoff: 1s}", to(upstream.port))))
    answer = gateway.request()
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (503, b"no", wish)
    assert len(times) == 1


def test_backoff_beyond_the_request_timeout_is_not_started(serve, upstream):
    times = []
    upstream.script = recording_times(times)
    gateway = serve(
        route(
            rule("timeouts: {request: 500ms}", "retry: {attempts: 1, backoff: 1s, maxBackoff: 1s}", to(upstream.port))
        )
    )
    draw(gateway, 0.999)
    started = monotonic()
    assert gateway.request().status == 503
    assert monotonic() - started < 0.4
    assert len(times) == 1


# --- the budget -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("clients", "percent", "further"), [(5, 20, 3), (30, 20, 6), (30, 0, 3), (10, 100, 10)])
def test_retry_budget_is_a_share_of_requests_and_at_least_three(serve, upstream, clients, percent, further):
    """All fail at the same moment; requests in a further try are blocked there."""
    together, end = Gate(), Gate()
    busy = lambda seen: reply(b"no", BUSY)  # noqa: E731
    upstream.script = lambda seen: (together if len(upstream.seen) <= clients else end).before(busy(seen))
    retry = f"retry: {{attempts: 1, backoff: 1ms, budgetPercent: {percent}}}"
    gateway = serve(route(rule(NO_EJECTION, retry, to(upstream.port))))
    with start_calls(clients, gateway.request) as calls:
        until(lambda: len(upstream.seen) == clients, "all requests to be there")
        together.open()
        until(lambda: sum(call.done() for call in calls) == clients - further, "those without a further try")
        until(lambda: len(upstream.seen) == clients + further, "the further tries")
        assert gateway.active_requests() == (further, 0, further)
        end.open()
    assert [call.result().status for call in calls] == [503] * clients
    assert len(upstream.seen) == clients + further
    assert gateway.metric("retries_total", reason="503") == further
    assert gateway.metric("retries_total", reason="budget_exhausted") == clients - further
    assert gateway.active_requests() == (0, 0, 0)


def test_retry_budget_bounds_the_load_of_many_failures(serve, upstream):
    """Many requests all fail, each with up to five more tries; the upstream's load stays bounded."""
    upstream.script = lambda seen: [Pause(0.1), *reply(b"no", BUSY)]
    retry = "retry: {attempts: 5, backoff: 1ms, maxBackoff: 1ms}"
    gateway = serve(route(rule(NO_EJECTION, retry, to(upstream.port))))
    clients = 40
    statuses = []

    def load():
        while len(statuses) < 200:
            statuses.append(gateway.request().status)

    with start_calls(clients, load):
        pass
    assert set(statuses) == {503}
    # At most a fifth of the requests in flight are further tries, so there is at most one for four others. At the end, when
    # few are in flight, the rest may be tried five times. Without the budget there were 1,200.
    firsts = len(statuses)
    assert firsts < len(upstream.seen) <= firsts * 1.25 + clients * 0.2 * 5
    assert gateway.metric("retries_total", reason="503") == len(upstream.seen) - firsts
    assert gateway.metric("retries_total", reason="budget_exhausted") > 0


# --- disconnects --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
def test_disconnected_client_ends_the_backoff(serve, upstream, reset):
    upstream.script = recording_times([])
    gateway = serve(route(rule("retry: {attempts: 5, backoff: 9s, maxBackoff: 9s}", to(upstream.port))))
    draw(gateway, 0.999)
    gateway.request("/healthy", port=gateway.admin_port)
    tasks = gateway.tasks()
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as client:
        client.sendall(GET)
        until(lambda: gateway.active_requests() == (1, 0, 1), "the wait to begin")
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    until(lambda: gateway.active_requests() == (0, 0, 0), "the wait to end", 1.0)
    until(lambda: gateway.tasks() <= tasks, "no task to be left", 1.0)
    assert len(upstream.seen) == 1
    assert gateway.metric("requests_in_flight") == 0
