"""Bodies in both directions: chunked or with a length, large, slow, rejected, absent, and streamed piece by piece."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import contextmanager
from itertools import repeat
from time import monotonic

import pytest

from inferway_fakes.upstream import Close, Pause
from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import direct_response, route, rule, to
from inferway_testing.until import DEADLINE, until

MIB = 1 << 20


@contextmanager
def client_of(gateway):
    """Open a raw connection to the gateway."""
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as connection:
        yield connection


def read_until(connection, mark):
    """Read until these bytes have arrived."""
    received = b""
    while mark not in received:
        piece = connection.recv(65536)
        assert piece, f"the connection ended after {received!r}"
        received += piece
    return received


def read_to_end(connection):
    """Read until the gateway closes."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


# --- chunked and counted --------------------------------------------------------------------------------------------------


def test_chunked_request_body_is_forwarded_chunked(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=DEADLINE)
    connection.request("POST", "/", body=iter([b"one", b"two" * 1000, b"three"]), encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()
    seen = upstream.seen[0]
    assert seen.body == b"one" + b"two" * 1000 + b"three"
    assert seen.header("transfer-encoding") == "chunked"
    assert seen.header("content-length") is None


def test_chunked_response_is_forwarded_chunked(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    upstream.script = lambda seen: [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        *[b"5\r\nhello\r\n"] * 3,
        b"0\r\n\r\n",
    ]
    answer = gateway.request()
    assert answer.body == b"hello" * 3
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.headers["content-length"] is None


def test_response_ended_by_close_is_forwarded_whole(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    upstream.script = lambda seen: [b"HTTP/1.1 200 OK\r\n\r\nuntil ", b"the end", Close()]
    assert gateway.request().body == b"until the end"


def test_chunked_response_to_http_1_0_is_sent_unchunked(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    upstream.script = lambda seen: reply(b"hello", chunked=True)
    data = gateway.raw(b"GET / HTTP/1.0\r\nhost: x\r\n\r\n")
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert body == b"hello"


def test_request_trailers_are_read_and_dropped(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    data = gateway.raw(
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        b"2\r\nhi\r\n0\r\nx-forwarded-for: 1.2.3.4\r\nauthorization: me\r\nhost: evil\r\n\r\n"
        b"GET /next HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    assert data.count(b"HTTP/1.1 200 ") == 2
    assert [seen.target for seen in upstream.seen] == ["/", "/next"]
    assert upstream.seen[0].body == b"hi"
    for seen in upstream.seen:
        assert seen.header("authorization") is None
        assert not any("1.2.3.4" in value or "evil" in value for _, value in seen.headers)


# --- large and slow ---------------------------------------------------------------------------------------------------------


def test_large_upload_arrives_whole(serve, upstream):
    gateway = serve(route(rule("limits: {maxRequestBody: 64Mi}", to(upstream.port))))
    body = bytes(range(256)) * (32 * MIB // 256)
    assert gateway.request("/", "POST", body=body).status == 200
    assert upstream.seen[0].body == body


def test_large_download_arrives_whole(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    body = bytes(range(256)) * (32 * MIB // 256)
    upstream.script = lambda seen: reply(body)
    assert gateway.request().body == body


def test_client_that_does_not_read_blocks_the_upstream(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    total, written = 256 * MIB, []

    def script(seen):
        yield b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total
        for piece in repeat(bytes(MIB), total // MIB):
            yield piece
            written.append(len(piece))

    upstream.script = script
    with client_of(gateway) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        read_until(client, b"\r\n\r\n")
        wait_until_stable(lambda: len(written))
        # Only the bytes of the kernel's buffers: the gateway itself keeps 64 KiB.
        assert sum(written) <= 32 * MIB
        # Others are served meanwhile.
        upstream.script = lambda seen: reply(b"quick")
        assert gateway.request().body == b"quick"


def test_upstream_that_does_not_read_blocks_the_client(serve):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gateway = serve(route(rule("limits: {maxRequestBody: 1Gi}", to(listener.getsockname()[1]))))
        with client_of(gateway) as client:
            client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (256 * MIB))
            listener.settimeout(DEADLINE)
            accepted, _ = listener.accept()
            with accepted:
                sent = send_until_blocked(client, 256 * MIB)
                assert 64 << 10 <= sent <= 32 * MIB
                # It continues as soon as the upstream reads.
                accepted.settimeout(DEADLINE)
                read = 0
                while read < sent:
                    read += len(accepted.recv(MIB))
                assert client.send(b"x") == 1


def wait_until_stable(count):
    """Wait until a count has not changed for a while, so that all flows have stopped."""
    last, since = count(), monotonic()

    def is_at_rest():
        nonlocal last, since
        if count() != last:
            last, since = count(), monotonic()
        return monotonic() - since > 0.3

    until(is_at_rest, "the stream to stop")


def send_until_blocked(connection, most):
    """Send until the peer takes nothing more for a while; returns the number of bytes taken."""
    connection.settimeout(0.5)
    sent = 0
    while sent < most:
        try:
            sent += connection.send(bytes(MIB))
        except TimeoutError:
            return sent
    return sent


# --- limits -----------------------------------------------------------------------------------------------------------------


def test_content_length_over_the_limit_is_answered_413(serve, upstream):
    gateway = serve(route(rule("limits: {maxRequestBody: 1Ki}", to(upstream.port))))
    with client_of(gateway) as client:
        client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1025\r\n\r\n")  # and no byte of it
        answer = read_until(client, b"}")
    assert b" 413 " in answer
    assert b'"code":"body_too_large"' in answer
    assert not upstream.seen


def test_chunked_body_over_the_limit_is_answered_413(serve, upstream):
    gateway = serve(route(rule("limits: {maxRequestBody: 1Ki}", to(upstream.port))))
    with client_of(gateway) as client:
        client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        client.sendall(b"200\r\n" + bytes(512) + b"\r\n")
        client.sendall(b"201\r\n" + bytes(513) + b"\r\n0\r\n\r\n")
        answer = read_to_end(client)
    assert b" 413 " in answer
    assert not upstream.seen  # it never saw a complete request


def test_body_of_exactly_the_limit_passes(serve, upstream):
    gateway = serve(route(rule("limits: {maxRequestBody: 1Ki}", to(upstream.port))))
    assert gateway.request("/", "POST", body=bytes(1024)).status == 200


def test_stalled_body_is_answered_408_and_releases_the_upstream(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))), body_idle_timeout=0.5)
    with client_of(gateway) as client:
        client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf")
        answer = read_to_end(client)
    assert b" 408 " in answer
    assert b'"code":"request_too_slow"' in answer
    assert not upstream.seen
    until(lambda: upstream.open_connections == 0, "the upstream to be released")


# --- Expect: 100-continue ---------------------------------------------------------------------------------------------------

EXPECTING = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n"


def test_expecting_client_gets_100_then_the_response(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    with client_of(gateway) as client:
        client.sendall(EXPECTING)
        assert read_until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"body")
        assert read_until(client, b"ok").startswith(b"HTTP/1.1 200 OK\r\n")
    assert upstream.seen[0].body == b"body"
    assert upstream.seen[0].header("expect") is None


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (rule("filters: [{type: RequestRedirect, requestRedirect: {hostname: else.test}}]"), b" 302 "),
        (rule("limits: {maxRequestBody: 2}", 'backendRefs: [{url: "http://127.0.0.1:1"}]'), b" 413 "),
        (rule("matches: [{path: {value: /other}}]", direct_response("other")), b" 404 "),
    ],
    ids=["a redirect", "too large", "no route"],
)
def test_rejected_request_gets_no_100_continue(serve, text, status):
    gateway = serve(route(text))
    with client_of(gateway) as client:
        client.sendall(EXPECTING)
        answer = read_until(client, b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1" + status)


def test_unknown_expectation_is_answered_417(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    assert b" 417 " in gateway.raw(b"POST / HTTP/1.1\r\nhost: x\r\nexpect: the-best\r\ncontent-length: 0\r\n\r\n")
    assert not upstream.seen


# --- answers without a body ---------------------------------------------------------------------------------------------------


def test_head_gets_the_fields_of_get_without_a_body(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    upstream.script = lambda seen: [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-a: 1\r\n\r\n" + (b"" if seen.method == "HEAD" else b"hello")
    ]
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=DEADLINE)
    for method, body in (("HEAD", b""), ("GET", b"hello"), ("HEAD", b""), ("GET", b"hello")):
        connection.request(method, "/")
        answer = connection.getresponse()
        assert (answer.status, answer.headers["content-length"], answer.read()) == (200, "5", body)
    connection.close()
    assert upstream.connections == 1


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_response_without_a_body_keeps_the_connection_usable(serve, upstream, status):
    gateway = serve(route(rule(to(upstream.port))))
    upstream.script = lambda seen: [b"HTTP/1.1 %b\r\nx-a: 1\r\n\r\n" % status.encode()]
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=DEADLINE)
    for _ in range(3):
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (int(status[:3]), b"")
        assert answer.headers["transfer-encoding"] is None
        assert answer.headers["content-length"] is None
    connection.close()
    assert upstream.connections == 1


def test_local_reply_to_head_has_no_body(serve):
    gateway = serve(route(rule("matches: [{path: {value: /other}}]", direct_response("other"))))
    data = gateway.raw(b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert data.startswith(b"HTTP/1.1 404 ")
    assert data.endswith(b"\r\n\r\n")


# --- streams ------------------------------------------------------------------------------------------------------------------


def test_stream_events_are_forwarded_without_delay(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    sent = []

    def script(seen):
        yield b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        for number in range(5):
            event = b"data: %d\n\n" % number
            sent.append(monotonic())
            yield b"%x\r\n%b\r\n" % (len(event), event)
            yield Pause(0.1)
        yield b"0\r\n\r\n"

    upstream.script = script
    with client_of(gateway) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        late = []
        for number in range(5):
            read_until(client, b"data: %d\n\n" % number)
            late.append(monotonic() - sent[number])
        assert read_to_end(client).endswith(b"0\r\n\r\n")
    assert sorted(late)[2] < 0.05, late


def test_request_body_is_forwarded_piece_by_piece(serve):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        gateway = serve(route(rule(to(listener.getsockname()[1]))))
        with client_of(gateway) as client:
            client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
            accepted, _ = listener.accept()
            with accepted:
                accepted.settimeout(DEADLINE)
                read_until(accepted, b"\r\n\r\n")
                for piece in (b"first", b"second"):
                    client.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
                    read_until(accepted, piece + b"\r\n")
                client.sendall(b"0\r\n\r\n")
                read_until(accepted, b"0\r\n\r\n")
                accepted.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone")
                assert read_until(client, b"done").startswith(b"HTTP/1.1 200 ")


def test_early_hints_precede_the_response(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    upstream.script = lambda seen: [b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n", Pause(0.02), *reply(b"late")]
    data = gateway.raw(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert data.startswith(b"HTTP/1.1 103 ")
    assert b"link: </a.css>" in data
    assert data.endswith(b"late")


def test_response_before_the_end_of_the_request_is_forwarded(serve, upstream):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        gateway = serve(route(rule(to(listener.getsockname()[1]))))
        with client_of(gateway) as client:
            client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\npart")
            accepted, _ = listener.accept()
            with accepted:
                read_until(accepted, b"part")
                body = json.dumps({"error": "no"}).encode()
                accepted.sendall(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
                assert read_until(client, body).startswith(b"HTTP/1.1 401 ")
