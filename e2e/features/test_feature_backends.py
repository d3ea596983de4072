"""Targets of requests: weights, Services and their endpoints, and failures of upstreams."""

from __future__ import annotations

import http.client
import json
import socket
from collections import Counter
from itertools import chain, cycle

import pytest

from inferway_fakes.upstream import Close, Pause, Upstream
from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import resources, route, rule, service, to
from inferway_testing.until import until


@pytest.fixture
def other():
    """Start a second upstream."""
    with Upstream() as running:
        yield running


def code(answer):
    """Return the code of a problem."""
    assert answer.headers["content-type"] == "application/problem+json"
    return json.loads(answer.body)["code"]


def weighted(port, port_of_other, weight, weight_of_other):
    """Return a rule that distributes its requests over two upstreams."""
    return route(
        rule(
            f"""
            backendRefs:
            - {{url: "http://127.0.0.1:{port}", weight: {weight}}}
            - {{url: "http://127.0.0.1:{port_of_other}", weight: {weight_of_other}}}
            """
        )
    )


@pytest.fixture
def closed_port():
    """Return a port without a listener."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


# --- weights --------------------------------------------------------------------------------------------------------------


def test_requests_are_distributed_by_weight(serve, upstream, other):
    gateway = serve(weighted(upstream.port, other.port, 90, 10))
    for _ in range(400):
        assert gateway.request().status == 200
    # 40 are expected; the chance of fewer than 15 or more than 70 is below one in a million.
    assert 15 <= len(other.seen) <= 70
    assert len(upstream.seen) + len(other.seen) == 400


def test_backend_with_weight_zero_gets_no_requests(serve, upstream, other):
    gateway = serve(weighted(upstream.port, other.port, 1, 0))
    for _ in range(50):
        assert gateway.request().status == 200
    assert not other.seen


def test_total_weight_of_zero_is_answered_503(serve, upstream, other):
    gateway = serve(weighted(upstream.port, other.port, 0, 0))
    answer = gateway.request()
    assert (answer.status, code(answer)) == (503, "no_backend")
    assert int(answer.headers["retry-after"]) >= 1


def test_missing_backend_answers_500_for_its_share(serve, upstream):
    gateway = serve(
        route(
            rule(
                f"""
                backendRefs:
                - {{url: "http://127.0.0.1:{upstream.port}", weight: 1}}
                - {{name: nobody, port: 80, weight: 1}}
                """
            )
        )
    )
    statuses = Counter(gateway.request().status for _ in range(200))
    assert set(statuses) == {200, 500}
    assert 50 <= statuses[500] <= 150
    failed = next(answer for answer in iter(gateway.request, None) if answer.status == 500)
    assert code(failed) == "backend_not_found"


# --- Services -------------------------------------------------------------------------------------------------------------


def test_service_resolves_to_all_endpoints_of_its_slices(serve, upstream, other):
    by_name = route(rule("backendRefs: [{name: model, port: 80}]"))
    gateway = serve(resources(by_name, service("model", upstream.port, other.port)))
    for _ in range(40):
        assert gateway.request().status == 200
    assert len(upstream.seen) + len(other.seen) == 40
    assert upstream.seen
    assert other.seen


def test_host_of_the_client_is_forwarded_to_a_service(serve, upstream):
    by_name = route(rule("backendRefs: [{name: model, port: 80}]"))
    gateway = serve(resources(by_name, service("model", upstream.port)))
    gateway.request(host="app.test:8080")
    assert upstream.seen[0].header("host") == "app.test:8080"


def test_service_without_endpoints_is_answered_503(serve):
    gateway = serve(resources(route(rule("backendRefs: [{name: model, port: 80}]")), service("model")))
    answer = gateway.request()
    assert (answer.status, code(answer)) == (503, "no_endpoints")


def test_missing_port_of_a_service_is_answered_500(serve, upstream):
    by_name = route(rule("backendRefs: [{name: model, port: 81}]"))
    gateway = serve(resources(by_name, service("model", upstream.port)))
    answer = gateway.request()
    assert (answer.status, code(answer)) == (500, "backend_not_found")


def test_added_and_removed_endpoints_are_followed(serve, upstream, other):
    by_name = route(rule("backendRefs: [{name: model, port: 80}]"))
    gateway = serve(resources(by_name, service("model", upstream.port)))
    assert gateway.request().status == 200
    gateway.apply(resources(by_name, service("model", other.port)))
    before = len(upstream.seen)
    for _ in range(10):
        assert gateway.request().status == 200
    assert (len(upstream.seen), len(other.seen)) == (before, 10)


# --- failures -------------------------------------------------------------------------------------------------------------


def test_refused_connection_is_answered_502(serve, closed_port):
    gateway = serve(route(rule(to(closed_port))))
    answer = gateway.request()
    assert (answer.status, code(answer)) == (502, "connect_failed")
    assert str(closed_port).encode() not in answer.body
    assert gateway.metric("upstream_errors_total", route="default/demo", reason="connect_failed") == 1


def test_unresolvable_name_is_answered_502_dns_failed(serve):
    gateway = serve(route(rule('backendRefs: [{url: "http://nobody.invalid"}]')))
    answer = gateway.request()
    assert (answer.status, code(answer)) == (502, "dns_failed")


def test_slow_upstream_is_answered_504_at_backend_request(serve, upstream):
    gateway = serve(route(rule("timeouts: {backendRequest: 300ms}", to(upstream.port))))
    upstream.script = lambda seen: [Pause(30)]
    answer = gateway.request()
    assert (answer.status, code(answer)) == (504, "upstream_timeout")
    assert gateway.metric("upstream_errors_total", reason="upstream_timeout") == 1


@pytest.mark.case("S4")
def test_silent_stream_is_aborted_at_stream_idle(serve, upstream):
    gateway = serve(route(rule("timeouts: {streamIdle: 300ms}", to(upstream.port))))
    upstream.script = lambda seen: [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        Pause(30),
    ]
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        gateway.request()


@pytest.mark.case("C4", "S4")
@pytest.mark.parametrize(
    "part",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\nhalf",
    ],
    ids=["content-length", "between chunks", "inside a chunk"],
)
def test_upstream_closing_mid_body_aborts_the_response(serve, upstream, part):
    gateway = serve(route(rule(to(upstream.port))))
    upstream.script = lambda seen: [part, Pause(0.05), Close()]
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        gateway.request()


def test_upstream_closing_mid_body_aborts_http_1_0_response(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    upstream.script = lambda seen: [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", Close()]
    try:
        received = gateway.raw(b"GET / HTTP/1.0\r\nhost: x\r\n\r\n", half_close=False)
    except ConnectionResetError:
        return
    assert not received.endswith(b"hello")


def test_upstream_closing_without_a_response_is_answered_502(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    upstream.script = lambda seen: [Close()]
    answer = gateway.request()
    assert (answer.status, code(answer)) == (502, "upstream_closed")
    assert len(upstream.seen) == 1  # on a fresh connection, so the upstream may have processed it


@pytest.mark.case("U2")
@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * (128 << 10) + b"\r\n\r\n",
    ],
    ids=["another protocol", "HTTP/2", "two lengths", "length and chunked", "negative length", "oversized head"],
)
def test_malformed_response_is_answered_502_and_disconnected(serve, upstream, garbage):
    gateway = serve(route(rule(to(upstream.port))))
    upstream.script = lambda seen: [garbage, Pause(0.05)]
    assert gateway.request().status == 502
    upstream.script = lambda seen: reply(b"well")
    assert gateway.request().body == b"well"
    assert upstream.seen[1].connection == 2


@pytest.mark.case("U2")
def test_body_after_204_is_dropped_and_disconnected(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    upstream.script = lambda seen: [b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"]
    assert gateway.request().status in (204, 502)
    upstream.script = lambda seen: reply(b"well")
    assert gateway.request().body == b"well"
    assert upstream.seen[1].connection == 2


# --- the keep-alive race ----------------------------------------------------------------------------------------------------


def closes_reused(seen):
    """Answer the first request of each connection, and close at the second as if idle for too long."""
    return reply() if closes_reused.known.setdefault(seen.connection, seen) is seen else [Close()]


@pytest.fixture
def racing(serve, upstream):
    """Start a gateway with an idle connection that the upstream will close at the next request."""
    closes_reused.known = {}
    upstream.script = closes_reused
    gateway = serve(route(rule(to(upstream.port))))
    assert gateway.request("/first").status == 200
    return gateway


@pytest.mark.case("U3")
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_idempotent_request_on_a_closing_connection_is_resent(racing, upstream, method):
    assert racing.request("/second", method).status == 200
    assert [seen.target for seen in upstream.seen] == ["/first", "/second", "/second"]


@pytest.mark.case("U3")
def test_post_on_a_closing_connection_is_not_resent(racing, upstream):
    answer = racing.request("/second", "POST", body=b"pay")
    assert (answer.status, code(answer)) == (502, "upstream_closed")
    assert [seen.target for seen in upstream.seen] == ["/first", "/second"]


def test_idle_connection_with_unexpected_bytes_is_not_reused(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    upstream.script = lambda seen: [*reply(b"one"), Pause(0.05), b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"]
    assert gateway.request().body == b"one"
    until(lambda: upstream.open_connections == 0, "the gateway to close the connection")
    upstream.script = lambda seen: reply(b"two")
    assert gateway.request().body == b"two"


# --- what is not remembered ---------------------------------------------------------------------------------------------------


@pytest.mark.case("U6")
def test_redirect_of_the_upstream_is_forwarded(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    upstream.script = lambda seen: reply(b"", "302 Found", {"location": "/elsewhere"})
    answer = gateway.request()
    assert (answer.status, answer.headers["location"]) == (302, "/elsewhere")
    assert len(upstream.seen) == 1


def test_disconnected_client_cancels_the_upstream_request(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    upstream.script = lambda seen: chain([head], cycle([b"2\r\nhi\r\n", Pause(0.01)]))
    with socket.create_connection(("127.0.0.1", gateway.port), 5) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
    until(lambda: upstream.open_connections == 0, "the request upstream to be cancelled", 1.0)
