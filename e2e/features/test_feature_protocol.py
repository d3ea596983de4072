"""Bytes on the wire: a request with ambiguous framing is rejected and never reaches the upstream."""

from __future__ import annotations

import re
import socket
from time import monotonic, sleep

import pytest

from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import route, rule, to
from inferway_testing.until import DEADLINE


@pytest.fixture
def gateway(serve, upstream):
    """Start a gateway that forwards everything, with short timeouts."""
    return serve(route(rule(to(upstream.port))), head_timeout=0.5, idle_timeout=0.5)


def statuses(data):
    """Return the statuses of the answers in the received bytes."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]


def head(*lines, target="/", method="GET", version="HTTP/1.1"):
    """Return a request head."""
    return "\r\n".join([f"{method} {target} {version}", *lines, "", ""]).encode("latin-1")


NEXT = head("host: smuggled", target="/smuggled")

# --- framing --------------------------------------------------------------------------------------------------------------

REFUSED = {
    "length and chunked": (head("host: x", "content-length: 5", "transfer-encoding: chunked") + b"0\r\n\r\n", 400),
    "chunked and length": (head("host: x", "transfer-encoding: chunked", "content-length: 5") + b"0\r\n\r\n", 400),
    "two lengths": (head("host: x", "content-length: 5", "content-length: 6") + b"hello", 400),
    "the same length twice": (head("host: x", "content-length: 5", "content-length: 5") + b"hello", 400),
    "a list of lengths": (head("host: x", "content-length: 5, 5") + b"hello", 400),
    "a signed length": (head("host: x", "content-length: +5") + b"hello", 400),
    "a negative length": (head("host: x", "content-length: -5") + b"hello", 400),
    "a hexadecimal length": (head("host: x", "content-length: 0x5") + b"hello", 400),
    "an empty length": (head("host: x", "content-length: ") + b"hello", 400),
    "a huge length": (head("host: x", "content-length: " + "9" * 30) + b"hello", 400),
    "chunked twice": (head("host: x", "transfer-encoding: chunked", "transfer-encoding: chunked") + b"0\r\n\r\n", 400),
    "an empty member": (head("host: x", "transfer-encoding: ,chunked") + b"0\r\n\r\n", 400),
    "a vertical tab": (head("host: x", "transfer-encoding: chunked\x0b") + b"0\r\n\r\n", 400),
    "chunked on HTTP/1.0": (head("host: x", "transfer-encoding: chunked", version="HTTP/1.0") + b"0\r\n\r\n", 400),
    "another coding": (head("host: x", "transfer-encoding: gzip, chunked") + b"0\r\n\r\n", 501),
    "an unknown coding": (head("host: x", "transfer-encoding: xchunked") + b"0\r\n\r\n", 501),
    "no host": (head(), 400),
    "two hosts": (head("host: x", "host: y"), 400),
    "a host with a user": (head("host: me@x"), 400),
    "a host with a space": (head("host: x y"), 400),
    "a host with a path": (head("host: x/y"), 400),
    "a host with a bad port": (head("host: x:port"), 400),
    "an empty host": (head("host:"), 400),
    "a bare LF": (b"GET / HTTP/1.1\nhost: x\n\n", 400),
    "a bare CR": (b"GET / HTTP/1.1\r\nhost: x\r\nx-a: b\rc: d\r\n\r\n", 400),
    "a NUL": (b"GET / HTTP/1.1\r\nhost: x\r\nx-a: b\0c\r\n\r\n", 400),
    "a folded line": (b"GET / HTTP/1.1\r\nhost: x\r\nx-a: b\r\n c\r\n\r\n", 400),
    "a space before the colon": (b"GET / HTTP/1.1\r\nhost: x\r\nx-a : b\r\n\r\n", 400),
    "no name": (b"GET / HTTP/1.1\r\nhost: x\r\n: b\r\n\r\n", 400),
    "a target without slash": (head("host: x", target="path"), 400),
    "a star for GET": (head("host: x", target="*"), 400),
    "HTTP/2.0": (head("host: x", version="HTTP/2.0"), 505),
    "CONNECT": (head("host: x:443", method="CONNECT", target="x:443"), 405),
    "TRACE": (head("host: x", method="TRACE"), 405),
    "an unknown method": (head("host: x", method="BREW"), 501),
    "a long target": (head("host: x", target="/" + "a" * 9000), 414),
    "a long header": (head("host: x", "x-a: " + "b" * 33000), 431),
    "many headers": (head("host: x", *(f"x-{number}: 1" for number in range(101))), 431),
}


def assert_only_this_reaches(upstream, gateway):
    """Assert that nothing sent before reached the upstream: the next ordinary request is its first."""
    assert gateway.request("/ordinary").status == 200
    assert [seen.target for seen in upstream.seen] == ["/ordinary"]
    # A request that was begun and aborted would be counted too.
    assert gateway.metric("http_requests_total", route="default/demo", method="GET") == 1


@pytest.mark.parametrize("what", REFUSED)
def test_ambiguous_request_is_rejected_and_the_connection_closed(gateway, upstream, what):
    data, status = REFUSED[what]
    received = gateway.raw(data + NEXT, half_close=False)  # it is the gateway that closes
    assert statuses(received) == [status]
    assert b"connection: close" in received.lower()
    assert b"application/problem+json" in received
    if status == 405:
        assert b"\r\nallow: " in received.lower()
    assert_only_this_reaches(upstream, gateway)


@pytest.mark.parametrize(
    "chunks",
    [
        b"0x3\r\nabc\r\n",
        b"3_0\r\nabc\r\n",
        b"1" * 17 + b"\r\nabc\r\n",
        b"3\r\nabcd\r\n",
        b"3\nabc\r\n",
        b"-1\r\n",
        b"\r\n",
    ],
    ids=repr,
)
def test_malformed_chunk_is_never_a_complete_request(gateway, upstream, chunks):
    request = head("host: x", "transfer-encoding: chunked", method="POST") + chunks + b"0\r\n\r\n" + NEXT
    received = gateway.raw(request, half_close=False)
    assert statuses(received) in ([400], [])
    assert "/smuggled" not in [seen.target for seen in upstream.seen]


def test_bytes_after_an_oversized_body_are_ignored(serve, upstream):
    gateway = serve(route(rule("limits: {maxRequestBody: 1Ki}", to(upstream.port))))
    too_large = head("host: x", "content-length: 2000", method="POST") + bytes(2000)
    received = gateway.raw(too_large + NEXT, half_close=False)
    assert statuses(received) == [413]
    assert b"connection: close" in received.lower()
    assert_only_this_reaches(upstream, gateway)


# --- what is legal, though odd -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_head", "target"),
    [
        (head("host: x", "x-a:  b \t "), "/"),
        (head("host: x", "x-a:"), "/"),
        (head("Host:\tx"), "/"),
        (head("host: x", target="///a"), "///a"),
        (head("host: x", target="/?"), "/?"),
        (head("host: x", target="/%2F%zz"), "/%2F%zz"),
        (b"\r\n" + head("host: x"), "/"),
        (head("host: [::1]:80"), "/"),
    ],
    ids=repr,
)
def test_unusual_but_legal_request_is_served(gateway, upstream, request_head, target):
    assert statuses(gateway.raw(request_head)) == [200]
    assert upstream.seen[0].target == target


def test_options_asterisk_is_answered_by_the_gateway(gateway, upstream):
    received = gateway.raw(head("host: x", method="OPTIONS", target="*"))
    assert statuses(received) == [204]
    assert b"\r\nallow: " in received.lower()
    assert not upstream.seen


@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
@pytest.mark.parametrize(
    ("framing", "body", "expected"),
    [
        ("x-none: 1", b"", b""),
        ("content-length: 5", b"GET /", b"GET /"),
        ("transfer-encoding: chunked", b"5\r\nGET /\r\n0\r\n\r\n", b"GET /"),
    ],
)
def test_upgrade_is_ignored_and_the_body_stays_a_body(gateway, upstream, upgrade, framing, body, expected):
    request = head("host: x", "connection: upgrade", f"upgrade: {upgrade}", framing, method="POST") + body
    received = gateway.raw(request + head("host: x", "connection: close", target="/next"))
    assert statuses(received) == [200, 200]
    assert [(seen.target, seen.body) for seen in upstream.seen] == [("/", expected), ("/next", b"")]
    assert upstream.seen[0].header("upgrade") is None


# --- one after the other ---------------------------------------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_order(gateway, upstream):
    upstream.script = lambda seen: reply(b"<%b>" % seen.target.encode())
    requests = b"".join(head("host: x", target=f"/{number}") for number in range(20))
    received = gateway.raw(requests)
    assert statuses(received) == [200] * 20
    assert re.findall(rb"</(\d+)>", received) == [b"%d" % number for number in range(20)]
    assert [seen.target for seen in upstream.seen] == [f"/{number}" for number in range(20)]


def test_pipelined_error_is_answered_in_order_and_ends_the_rest(gateway, upstream):
    received = gateway.raw(head("host: x", target="/1") + head("host: x", "host: y") + NEXT, half_close=False)
    assert statuses(received) == [200, 400]
    assert [seen.target for seen in upstream.seen] == ["/1"]


def test_bytes_after_connection_close_are_ignored(gateway, upstream):
    received = gateway.raw(head("host: x", "connection: close") + NEXT + b"\0garbage", half_close=False)
    assert statuses(received) == [200]
    assert b"connection: close" in received
    assert [seen.target for seen in upstream.seen] == ["/"]


def test_request_sent_byte_by_byte_is_served(gateway, upstream):
    request = head("host: x", "content-length: 5", method="POST") + b"hello"
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request:
            client.sendall(bytes([byte]))
        assert statuses(client.recv(65536)) == [200]
    assert upstream.seen[0].body == b"hello"


# --- HTTP/1.0 -----------------------------------------------------------------------------------------------------------------


def test_http_1_0_without_a_host_is_served_and_closed(gateway, upstream):
    received = gateway.raw(head(version="HTTP/1.0"), half_close=False)
    assert statuses(received) == [200]
    assert received.endswith(b"ok")


def test_http_1_0_with_keep_alive_keeps_the_connection(gateway, upstream):
    request = head("host: x", "connection: keep-alive", version="HTTP/1.0")
    received = gateway.raw(request + head("host: x", version="HTTP/1.0"), half_close=False)
    assert statuses(received) == [200, 200]
    assert b"connection: keep-alive" in received.lower()


def test_http_0_9_request_is_closed(gateway, upstream):
    gateway.raw(b"GET /\r\n\r\n", half_close=False)
    assert not upstream.seen


# --- time ---------------------------------------------------------------------------------------------------------------------


def test_incomplete_head_is_answered_408(gateway, upstream):
    started = monotonic()
    received = gateway.raw(b"GET / HTTP/1.1\r\nhost: x\r\n", half_close=False)
    assert statuses(received) == [408]
    assert 0.4 <= monotonic() - started <= 2.0


def test_dripping_head_is_answered_408(gateway, upstream):
    started = monotonic()
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as client:
        client.settimeout(0.1)
        received = b""
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n")
        while not received and monotonic() - started < 5:
            client.sendall(b"x")  # never a colon, always alive
            try:
                received = client.recv(65536)
            except TimeoutError:
                continue
    assert statuses(received) == [408]
    assert monotonic() - started <= 2.0


@pytest.mark.parametrize("first", [b"", head("host: x")], ids=["silent from the start", "after a request"])
def test_idle_connection_is_closed(gateway, upstream, first):
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as client:
        client.sendall(first)
        received = b""
        while piece := client.recv(65536):
            received += piece
    assert statuses(received) == ([200] if first else [])


def test_request_just_before_the_idle_timeout_is_served(gateway, upstream):
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as client:
        client.sendall(head("host: x", target="/1"))
        assert statuses(client.recv(65536)) == [200]
        sleep(0.2)  # shorter than the idle limit
        client.sendall(head("host: x", target="/2"))
        assert statuses(client.recv(65536)) == [200]


def test_endless_header_is_cut_at_its_limit(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as client:
        sent = 0
        try:
            client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nx-a: ")
            while sent < 64 << 20:
                sent += client.send(b"a" * 65536)
        except (ConnectionResetError, BrokenPipeError):
            pass
        else:
            assert statuses(client.recv(65536)) == [431]
    assert not upstream.seen
    assert gateway.metric("requests_refused_total", reason="head_too_large") == 1
