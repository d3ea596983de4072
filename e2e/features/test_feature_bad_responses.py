"""U2: invalid or ambiguous answers of upstreams. The client gets a 502, and the connection is never reused."""

from __future__ import annotations

import pytest

from inferway_fakes.scripted.server import ScriptedUpstream
from inferway_fakes.upstream import Close, Pause
from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import route, rule, to

HEAD = b"HTTP/1.1 200 OK\r\n"
BAD = {
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "binary": bytes(range(256)) * 4,
    "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2 frames": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64",
    "a status line of HTTP/2": b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "a status of two digits": b"HTTP/1.1 20 OK\r\ncontent-length: 2\r\n\r\nok",
    "a status of 999": b"HTTP/1.1 999 Odd\r\ncontent-length: 2\r\n\r\nok",
    "two lengths that differ": HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\nok!",
    "two lengths that are equal": HEAD + b"content-length: 2\r\ncontent-length: 2\r\n\r\nok",
    "length and chunked": HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "chunked and length": HEAD + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "a negative length": HEAD + b"content-length: -2\r\n\r\nok",
    "a length that is a list": HEAD + b"content-length: 2, 2\r\n\r\nok",
    "another coding": HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "a switch of protocols": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nxxxx",
    "a folded line": HEAD + b"x-a: 1\r\n 2\r\ncontent-length: 2\r\n\r\nok",
    "a space before the colon": HEAD + b"content-length : 2\r\n\r\nok",
    "a NUL in a value": HEAD + b"x-a: a\x00b\r\ncontent-length: 2\r\n\r\nok",
}


@pytest.fixture
def gateway(serve, upstream):
    """Start a gateway that sends all requests to the upstream."""
    return serve(route(rule(to(upstream.port))))


def assert_next_request_served(gateway, upstream, connection):
    """Assert that the next request is served, on the connection of this number."""
    upstream.script = lambda seen: reply(b"well")
    assert gateway.request().body == b"well"
    assert upstream.seen[-1].connection == connection


@pytest.mark.case("U2")
@pytest.mark.parametrize("what", BAD)
def test_malformed_response_is_answered_502_and_disconnected(gateway, upstream, what):
    upstream.script = lambda seen: [BAD[what], Pause(0.05)]
    answer = gateway.request()
    assert (answer.status, answer.code) == (502, "bad_response")
    assert gateway.metric("upstream_errors_total", reason="bad_response") == 1
    assert_next_request_served(gateway, upstream, 2)


@pytest.mark.case("U2")
@pytest.mark.parametrize("size", [(64 << 10) + 1, 1 << 20])
def test_oversized_response_head_is_answered_502(serve, size):
    with ScriptedUpstream() as upstream:
        gateway = serve(route(rule(to(upstream.port))))
        answer = gateway.request(x_fake_big_head=str(size))
        assert (answer.status, answer.code) == (502, "response_head_too_large")
        assert gateway.metric("upstream_errors_total", reason="response_head_too_large") == 1
        assert gateway.request().status == 200
        assert upstream.stats.connections == 2


def test_max_response_header_of_the_rule_is_applied(serve):
    with ScriptedUpstream() as upstream:
        gateway = serve(route(rule("limits: {maxResponseHeader: 4Ki}", to(upstream.port))))
        assert gateway.request(x_fake_big_head="3000").status == 200
        assert gateway.request(x_fake_big_head="5000").code == "response_head_too_large"


@pytest.mark.case("U2")
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize(
    "excess", [b"evil", b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"], ids=["bytes", "an answer"]
)
def test_body_of_a_bodyless_status_is_dropped(gateway, upstream, status, excess):
    upstream.script = lambda seen: [b"HTTP/1.1 " + status.encode() + b"\r\n\r\n" + excess]
    answer = gateway.request()
    assert b"evil" not in answer.body
    assert answer.status in (int(status[:3]), 502)
    assert_next_request_served(gateway, upstream, 2)


@pytest.mark.case("U2")
def test_204_with_content_length_is_502_or_has_no_body(gateway, upstream):
    upstream.script = lambda seen: [b"HTTP/1.1 204 No Content\r\ncontent-length: 4\r\n\r\nevil"]
    received = gateway.raw(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", half_close=False)
    assert b"evil" not in received
    assert received.startswith((b"HTTP/1.1 204 ", b"HTTP/1.1 502 "))
    assert b"content-length: 4" not in received
    assert_next_request_served(gateway, upstream, 2)


@pytest.mark.case("U2")
def test_second_response_is_dropped_with_its_connection(gateway, upstream):
    upstream.script = lambda seen: [b"".join([*reply(b"one"), *reply(b"evil")])]
    assert gateway.request().body == b"one"
    assert_next_request_served(gateway, upstream, 2)


@pytest.mark.case("U2")
@pytest.mark.parametrize("size", [b"zz", b"-2", b"0x2", b"11111111111111111"])
def test_chunk_without_a_size_aborts_the_response(gateway, upstream, size):
    upstream.script = lambda seen: [
        HEAD + b"transfer-encoding: chunked\r\n\r\n",
        Pause(0.05),
        size + b"\r\nok\r\n",
        Close(),
    ]
    received = gateway.raw(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", half_close=False)
    assert received.partition(b"\r\n\r\n")[2] in (b"", b"2\r\nok\r\n")  # and no last chunk
    assert_next_request_served(gateway, upstream, 2)


def test_response_without_a_length_ends_with_its_connection(gateway, upstream):
    upstream.script = lambda seen: [HEAD + b"\r\nup to ", Pause(0.02), b"the end", Close()]
    assert gateway.request().body == b"up to the end"
    assert_next_request_served(gateway, upstream, 2)
