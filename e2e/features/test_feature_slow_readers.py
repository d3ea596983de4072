"""Clients that send requests and do not read: their cost for the gateway, and when they are cut."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from itertools import repeat
from time import monotonic, sleep

import pytest

from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import direct_response, route, rule, to
from inferway_testing.until import DEADLINE, until

KIB = 1 << 10
LETTERS = "abcdefgh"
CACHE = "cache: {ttl: 60s}"


@contextmanager
def client_of(gateway, *, receives=0):
    """Open a raw connection. `receives`: bytes of its receive buffer, small so that it fills soon."""
    with socket.socket() as connection:
        if receives:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        connection.settimeout(DEADLINE)
        connection.connect(("127.0.0.1", gateway.port))
        yield connection


def buffered(gateway):
    """Return the bytes that the gateway buffers for its clients, without the kernel's buffers."""
    return sum(one.transport.get_write_buffer_size() for one in list(gateway.plane.gateway.cap.connections))


def resident():
    """Return the resident bytes of this process (the gateway runs in it; a client that does not read needs none)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def send_until_blocked(connection, piece):
    """Send at most 64 MiB until the peer has taken nothing for half a second; returns the bytes taken."""
    connection.settimeout(0.5)
    sent = 0
    try:
        while sent < 64 << 20:
            sent += connection.send(piece)
    except TimeoutError:
        connection.settimeout(DEADLINE)
    return sent


def next_answer(file):
    """Read the next answer, which has a Content-Length; returns status and body."""
    status = int(file.readline().split(b" ")[1])
    length = 0
    while (line := file.readline()) != b"\r\n":
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return status, file.read(length)


@pytest.fixture
def cached(serve, upstream):
    """Start a gateway with a cached body of 200 KiB for each of `/a` to `/h`, filled with the letter."""
    gateway = serve(route(rule(CACHE, to(upstream.port))), head_timeout=2.0)
    upstream.script = lambda seen: reply(seen.target[1].encode() * (200 * KIB))
    for letter in LETTERS:
        gateway.request(f"/{letter}")
    return gateway


def test_unread_pipelined_hits_cost_little_and_stay_in_order(cached):
    letters = [LETTERS[number * number % 23 % 8] for number in range(5_000)]
    data = b"".join(b"GET /%b HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n\r\n" % (one.encode(), cached.port) for one in letters)
    before = resident()
    with client_of(cached) as client:
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        until(lambda: buffered(cached) > 0, "the client's buffers to be full")
        (connection,) = cached.plane.gateway.cap.connections
        until(lambda: connection.is_write_paused and connection.holds, "the gateway to read no more")
        # An answer may begin while a byte of it has room: 64 KiB, and one more answer.
        most = kept = 0
        for _ in range(30):
            sleep(0.01)
            most, kept = max(most, buffered(cached)), max(kept, len(connection.waiting))
        assert most < 300 * KIB
        assert kept <= 16 * KIB // (len(data) // 5_000)
        assert resident() - before < 16 << 20
        # Others are served meanwhile.
        assert cached.request("/a").status == 200
        with client.makefile("rb", buffering=1 << 20) as file:
            for number, letter in enumerate(letters):
                status, body = next_answer(file)
                assert (status, len(body)) == (200, 200 * KIB), number
                assert {body[:1], body[-1:]} == {letter.encode()}, number
        sender.join(DEADLINE)
        assert not connection.waiting
    assert cached.metric("connections_cut_total") == 0


def test_unread_small_responses_cost_little_memory(serve):
    gateway = serve(route(rule(direct_response("hello"))))
    request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
    with client_of(gateway, receives=16 * KIB) as client:
        assert send_until_blocked(client, request * 1_000) < 64 << 20  # the gateway reads no more
        assert buffered(gateway) < 300 * KIB
        (connection,) = gateway.plane.gateway.cap.connections
        assert len(connection.waiting) <= 16 * KIB // len(request)
        assert gateway.request().status == 200


ENDLESS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def test_client_that_reads_no_stream_is_cut_at_the_timeout(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))), unread_timeout=0.5)
    piece = b"10000\r\n" + bytes(64 * KIB) + b"\r\n"

    def script(seen):
        yield ENDLESS
        yield from repeat(piece)

    upstream.script = script
    with client_of(gateway) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 200"
        until(lambda: gateway.metric("connections_cut_total", reason="not_reading") == 1, "it to be cut", 5.0)
        until(lambda: upstream.open_connections == 0, "the upstream to be released", 5.0)
        assert not gateway.plane.gateway.cap.connections
        received = b""
        while rest := client.recv(1 << 20):
            received = received[-16:] + rest
        assert not received.endswith(b"0\r\n\r\n")  # never a clean end


def test_slow_reading_client_is_not_cut(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))), unread_timeout=1.5)
    spells, spell = 12, 700_000
    body = bytes(spells * spell)
    upstream.script = lambda seen: reply(body)
    started = monotonic()
    with client_of(gateway, receives=64 * KIB) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        with client.makefile("rb") as file:
            received = 0
            for _ in range(spells):
                sleep(0.2)
                received += len(file.read(spell))
            received += len(file.read())
    assert received > len(body)
    assert monotonic() - started > 1.5
    assert gateway.metric("connections_cut_total") == 0


def test_unread_connection_closed_by_the_gateway_is_cut(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))), unread_timeout=0.5)
    upstream.script = lambda seen: reply(bytes(200 * KIB), headers={"connection": "close"})
    data = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 500 + b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    with client_of(gateway, receives=16 * KIB) as client:
        client.sendall(data)
        until(lambda: gateway.metric("connections_cut_total", reason="not_reading") == 1, "it to be cut", 5.0)
        assert not gateway.plane.gateway.cap.connections
        assert gateway.metric("connections") == 0
