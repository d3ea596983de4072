"""U3: a kept-alive connection that the upstream closes at its reuse, and requests that are resent without `retry`."""

from __future__ import annotations

import pytest

from inferway_fakes.faulty_tcp import Ending, FaultyTcp
from inferway_fakes.upstream import Close
from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import route, rule, to

CAP = 200_000
"""Bytes of all request bodies that are kept for another try."""


class Racing:
    """An upstream that answers the first request of each connection and closes at the second, once it has read it."""

    def __init__(self):
        self.known = set()

    def __call__(self, seen):
        if seen.connection in self.known:
            return [Close()]
        self.known.add(seen.connection)
        return reply()


@pytest.fixture
def racing(serve, upstream):
    """Start a gateway with one idle connection, which will be closed at the next request."""
    upstream.script = Racing()
    gateway = serve(route(rule(to(upstream.port))), retry_body_bytes=CAP)
    assert gateway.request("/first").status == 200
    return gateway


def bodies(upstream):
    """Return the bodies that the upstream received after the first request."""
    return [(seen.method, seen.body, seen.connection) for seen in upstream.seen[1:]]


@pytest.mark.case("U3")
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
def test_idempotent_request_on_a_closed_connection_is_resent(racing, upstream, method):
    assert racing.request("/second", method).status == 200
    assert bodies(upstream) == [(method, b"", 1), (method, b"", 2)]
    # The upstream may close an idle connection, so this is not a failure and not an error.
    assert racing.metric("upstream_errors_total") == 0


@pytest.mark.case("U3")
@pytest.mark.parametrize("size", [1, 100_000])
def test_put_with_a_body_is_resent(racing, upstream, size):
    body = bytes(number % 251 for number in range(size))
    assert racing.request("/second", "PUT", body=body).status == 200
    assert bodies(upstream) == [("PUT", body, 1), ("PUT", body, 2)]


@pytest.mark.case("U3")
def test_put_with_a_chunked_body_is_resent_whole(racing, upstream):
    sent = b"PUT / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    assert racing.raw(sent, half_close=False).startswith(b"HTTP/1.1 200 ")
    assert bodies(upstream) == [("PUT", b"abcde", 1), ("PUT", b"abcde", 2)]


@pytest.mark.case("U3")
def test_put_with_a_body_over_the_cap_is_answered_502(racing, upstream):
    answer = racing.request("/second", "PUT", body=bytes(CAP))
    assert (answer.status, answer.code) == (502, "upstream_closed")
    assert len(bodies(upstream)) == 1
    assert racing.metric("retries_total", reason="body_not_kept") == 1


@pytest.mark.case("U3")
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_request_that_is_not_idempotent_is_answered_502(racing, upstream, method):
    answer = racing.request("/second", method, body=b"pay")
    assert (answer.status, answer.code) == (502, "upstream_closed")
    assert bodies(upstream) == [(method, b"pay", 1)]
    assert racing.metric("upstream_errors_total", reason="upstream_closed") == 1


@pytest.mark.case("U3")
@pytest.mark.parametrize("ending", list(Ending))
def test_request_that_crosses_the_close_is_resent_if_idempotent(serve, upstream, ending):
    with FaultyTcp(upstream.port) as tcp:
        gateway = serve(route(rule(to(tcp.port))))
        assert gateway.request("/first").status == 200
        tcp.arm_race(ending)
        assert gateway.request("/second").status == 200
        assert gateway.request("/third", "POST", body=b"pay").status == 502
    assert [seen.target for seen in upstream.seen] == ["/first", "/second"]


@pytest.mark.case("U3")
def test_request_is_resent_only_once(serve, upstream):
    # Every connection but the first is closed at its first request.
    upstream.script = lambda seen: reply() if len(upstream.seen) == 1 else [Close()]
    gateway = serve(route(rule(to(upstream.port))), retry_body_bytes=CAP)
    assert gateway.request("/first").status == 200
    answer = gateway.request("/second")
    assert (answer.status, answer.code) == (502, "upstream_closed")
    assert [seen.target for seen in upstream.seen] == ["/first", "/second", "/second"]


@pytest.mark.case("U3")
def test_request_is_not_resent_after_a_partial_response(serve, upstream):
    begun = [b"HTTP/1.1 200 OK\r\ncontent-le", Close()]
    upstream.script = lambda seen: reply() if len(upstream.seen) == 1 else begun
    gateway = serve(route(rule(to(upstream.port))), retry_body_bytes=CAP)
    assert gateway.request("/first").status == 200
    assert gateway.request("/second").status == 502
    assert len(upstream.seen) == 2
