"""L1 to L4 over real sockets: too large or too slow requests are cut, without cost in memory."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from time import monotonic

import pytest

from inferway_fakes.raw_http import codes, head, statuses
from inferway_fakes.yaml_builders import route, rule, to
from inferway_testing.until import DEADLINE

HOST = "host: a.example"
CHUNKED = head(HOST, "transfer-encoding: chunked", method="POST")


@pytest.fixture
def gateway(serve, upstream):
    """Start a gateway with the default size limits."""
    return serve(route(rule("limits: {maxRequestBody: 64Ki}", to(upstream.port))))


def resident():
    """Return the resident bytes of this process, in which the gateway runs too."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def flood(gateway, begin, piece, count):
    """Send the beginning and then pieces, regardless of answers; returns the received bytes."""
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as client:
        received = b""
        try:
            client.sendall(begin)
            for _ in range(count):
                client.sendall(piece)
            while more := client.recv(65536):
                received += more
        except (ConnectionResetError, BrokenPipeError):
            pass
    return received


TOO_LARGE = {
    "a header of 33 KiB": (head(HOST, "x-a: " + "b" * (33 << 10)), 431),
    "101 fields": (head(HOST, *(f"x-{number}: 1" for number in range(100))), 431),
    "a target of 9 KiB": (head(HOST, target="/" + "a" * (9 << 10)), 414),
}


@pytest.mark.case("L1")
@pytest.mark.parametrize("what", TOO_LARGE)
def test_oversized_head_is_rejected_without_memory_growth(gateway, upstream, what):
    data, status = TOO_LARGE[what]
    for _ in range(100):  # after this the allocator holds its memory for heads of this size
        assert statuses(gateway.raw(data, half_close=False)) == [status]
    before = resident()
    for _ in range(500):
        received = gateway.raw(data, half_close=False)
        assert statuses(received) == [status]
        assert b"connection: close" in received.lower()
    assert resident() - before < 4 << 20  # of 16 MiB sent, while the head has 33 KiB
    assert not upstream.seen


@pytest.mark.case("L2")
@pytest.mark.parametrize(
    ("begin", "code"),
    [(b"GET / HTTP/1.1\r\nhost: x\r\nx-a: ", "head_too_large"), (CHUNKED + b"5;a=", "malformed_request")],
    ids=["a head of 64 MiB", "a chunk extension of 64 MiB"],
)
def test_endless_head_or_extension_is_cut_at_its_limit(gateway, upstream, begin, code):
    piece = b"a" * 65536
    flood(gateway, begin, piece, 1024)
    before = resident()
    received = flood(gateway, begin, piece, 1024)
    assert codes(received) in ([code], [])  # a reset may have destroyed it
    assert resident() - before < 1 << 20
    assert gateway.metric("requests_refused_total", reason=code) == 2
    assert not upstream.seen


@pytest.mark.case("L3")
def test_oversized_content_length_is_answered_413_at_once(gateway, upstream):
    received = gateway.raw(head(HOST, "content-length: 65537", method="POST"), half_close=False)
    assert (statuses(received), codes(received)) == ([413], ["body_too_large"])
    assert not upstream.seen


@pytest.mark.case("L3")
def test_oversized_chunked_body_is_answered_413(gateway, upstream):
    chunk = b"4000\r\n" + bytes(0x4000) + b"\r\n"
    received = gateway.raw(CHUNKED + chunk * 5 + b"0\r\n\r\n", half_close=False)
    assert (statuses(received), codes(received)) == ([413], ["body_too_large"])
    assert not upstream.seen  # it keeps complete requests only


@pytest.mark.case("L4")
@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nhost: a.example\r\n"], ids=["silent", "half"])
def test_incomplete_head_is_answered_408_at_the_timeout(serve, upstream, sent):
    gateway = serve(route(rule(to(upstream.port))), head_timeout=0.5)
    started = monotonic()
    received = gateway.raw(sent, half_close=False)
    assert statuses(received) == ([408] if sent else [])
    assert 0.4 <= monotonic() - started <= 2.0
    assert not upstream.seen


@pytest.mark.case("L4")
def test_dripping_head_is_answered_408_at_the_timeout(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))), head_timeout=0.5)
    started = monotonic()
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as client:
        client.settimeout(0.1)
        received = b""
        client.sendall(b"GET / HTTP/1.1\r\nhost: a.example\r\nx-a: ")
        while not received and monotonic() - started < DEADLINE:
            client.sendall(b"b")
            try:
                received = client.recv(65536)
            except TimeoutError:
                continue
    assert statuses(received) == [408]
    assert monotonic() - started <= 2.0
    assert not upstream.seen
