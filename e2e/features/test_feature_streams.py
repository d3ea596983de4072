"""S1 to S4: streams are forwarded at once, end when either side does, and cost only their buffers."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from itertools import chain, repeat
from time import monotonic

import pytest

from inferway_dataplane.engine.exchange.client import HOLD_UPSTREAM
from inferway_fakes.faulty_tcp import Ending, FaultyTcp, Flow
from inferway_fakes.scripted.server import ScriptedUpstream
from inferway_fakes.upstream import Close, Pause
from inferway_fakes.yaml_builders import route, rule, to
from inferway_testing.until import DEADLINE, until

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b"9\r\ndata: 1\n\n\r\n"


@contextmanager
def streaming(gateway, *fields, path="/", buffer=0):
    """Request a stream; returns the client's socket."""
    with socket.socket() as client:
        client.settimeout(DEADLINE)
        if buffer:
            client.setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVBUF, buffer
            )  # before it connects, because the window depends on it
        client.connect(("127.0.0.1", gateway.port))
        client.sendall("\r\n".join([f"GET {path} HTTP/1.1", "host: x", *fields, "", ""]).encode())
        yield client


def begin(client):
    """Wait for the head."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(65536)
    assert received.startswith(b"HTTP/1.1 200 ")
    return received


def read_to_end(client):
    """Read until the end; returns the bytes, and whether it ended by a reset."""
    received = b""
    try:
        while piece := client.recv(65536):
            received += piece
    except ConnectionResetError:
        return received, True
    return received, False


# --- S1 ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.case("S1")
def test_events_are_forwarded_at_once_and_not_stored(serve):
    """Each event carries its time of sending, by a clock shared with the client."""
    with ScriptedUpstream() as upstream:
        gateway = serve(route(rule("cache: {ttl: 60s}", to(upstream.port))))
        fields = ["x-fake-sse: 5", "x-fake-pause: 0.5", "accept-encoding: gzip, br", "connection: close"]
        with streaming(gateway, *fields) as client:
            received, lateness = b"", []
            while piece := client.recv(65536):
                now = monotonic()
                received += piece
                lateness += [now - float(line[6:]) for line in piece.decode().splitlines() if line.startswith("data: ")]
        assert len(lateness) == 5
        assert max(lateness) < 0.05
        head = received.partition(b"\r\n\r\n")[0].lower()
        assert b"content-encoding" not in head
        assert b"content-type: text/event-stream" in head
        assert received.endswith(b"0\r\n\r\n")


@pytest.mark.case("S1")
def test_stream_with_no_store_is_requested_each_time(serve):
    with ScriptedUpstream() as upstream:
        gateway = serve(route(rule("cache: {ttl: 60s}", to(upstream.port))))
        for number in (1, 2):
            answer = gateway.request(x_fake_sse="3", x_fake_header="cache-control: no-store")
            assert answer.body.count(b"data: ") == 3
            assert upstream.stats.requests == number


def test_stream_with_content_length_is_forwarded_at_once(serve, upstream):
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n"
    upstream.script = lambda seen: [head, Pause(0.1), b"first half", Pause(2), b"other half"]
    with streaming(serve(route(rule(to(upstream.port))))) as client:
        begin(client)
        started = monotonic()
        assert client.recv(65536) == b"first half"
        assert monotonic() - started < 1.0


# --- S2 ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.case("S2")
@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
def test_disconnected_client_ends_the_upstream_stream(serve, upstream, reset):
    gateway = serve(route(rule(to(upstream.port))))
    upstream.script = lambda seen: chain([HEAD], *repeat([EVENT, Pause(0.05)], 1000))
    with streaming(gateway) as client:
        begin(client)
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    until(lambda: upstream.open_connections == 0, "the upstream's connection to be gone", 1.0)
    assert gateway.active_requests() == (0, 0, 0)


@pytest.mark.case("S2")
def test_disconnected_client_ends_a_silent_stream(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    upstream.script = lambda seen: [HEAD, EVENT, Pause(60)]
    with streaming(gateway) as client:
        begin(client)
    until(lambda: gateway.active_requests() == (0, 0, 0), "the exchange to end", 1.0)
    until(lambda: not gateway.plane.gateway.pools.connections, "the connection to be closed", 1.0)


@pytest.mark.case("S2")
def test_many_disconnected_clients_leave_no_resources(serve):
    """Disconnect 300 times; `bench.soak_local` does it many thousand times."""
    with ScriptedUpstream() as upstream:
        gateway = serve(route(rule(to(upstream.port))))
        fields = ["x-fake-sse: 1000", "x-fake-pause: 0.02"]
        inner = gateway.plane.gateway

        def leave():
            with streaming(gateway, *fields) as client:
                begin(client)

        def is_quiet():
            return gateway.active_requests() == (0, 0, 0) and not inner.cap.connections and not inner.pools.connections

        leave()
        until(is_quiet, "the first one to be gone")
        until(lambda: not upstream.server.connections, "the upstream's side to be gone")
        gateway.metric("connections")
        tasks, descriptors = gateway.tasks(), len(os.listdir("/proc/self/fd"))
        for _ in range(300):
            leave()
        until(is_quiet, "all to be gone", 2.0)
        until(lambda: not upstream.server.connections, "the upstream's side to be gone", 2.0)
        until(lambda: upstream.stats.requests == upstream.stats.aborted == 301, "the upstream to see them leave")
        assert inner.pools.limiter.taken == 0
        assert inner.context.in_flight == 0
        until(lambda: gateway.tasks() <= tasks, "no task to be left")
        until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors, "no descriptor to be left")


# --- S3 ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.case("S3")
def test_slow_reading_client_blocks_only_its_own_upstream(serve):
    size = 64 << 20
    with ScriptedUpstream() as upstream, FaultyTcp(upstream.port) as tcp:
        gateway = serve(route(rule("timeouts: {streamIdle: 1s}", to(tcp.port))))
        with streaming(gateway, f"x-fake-body-size: {size}", buffer=4096) as client:
            begin(client)
            sent = -1

            def stands_still():
                nonlocal sent
                before, sent = sent, tcp.bytes_to_client
                # A busy machine looks the same, except for the bytes in the gateway.
                return before == sent and connection.transport.get_write_buffer_size() > 0

            [connection] = gateway.plane.gateway.cap.connections
            until(stands_still, "the stream to stand still")
            # The gateway's own buffer: at most the high-water mark plus one read (256 KiB in uvloop).
            assert 0 < connection.transport.get_write_buffer_size() <= (64 << 10) + (256 << 10)
            assert sent < size / 4  # kernels and proxies hold the rest
            waited = monotonic()
            for _ in range(20):
                started = monotonic()
                assert gateway.request().status == 200
                assert monotonic() - started < 0.5
            # While the client does not read, the upstream's pause must not time out.
            until(lambda: monotonic() - waited > 1.3, "the time of a silent stream to be over")
            assert gateway.active_requests() == (1, 0, 0)
            client.recv(65536)
        until(lambda: gateway.active_requests() == (0, 0, 0), "the exchange to end", 1.0)


@pytest.mark.case("S3")
def test_paused_client_receives_the_whole_body(serve):
    size = 8 << 20
    with ScriptedUpstream() as upstream:
        gateway = serve(route(rule(to(upstream.port))))
        with streaming(gateway, f"x-fake-body-size: {size}", "connection: close", buffer=4096) as client:
            received = len(begin(client).partition(b"\r\n\r\n")[2])
            [connection] = gateway.plane.gateway.cap.connections
            until(lambda: connection.is_write_paused, "the gateway to wait for the client")
            while piece := client.recv(1 << 20):
                received += len(piece)
        assert received == size


@pytest.mark.case("S3")
def test_slow_reading_upstream_blocks_its_client(serve, upstream):
    size = 32 << 20
    with FaultyTcp(upstream.port, receive_buffer=4096) as tcp:
        gateway = serve(route(rule("limits: {maxRequestBody: 64Mi}", to(tcp.port))))
        assert gateway.request().status == 200
        tcp.change(to_target=Flow(is_stopped=True))
        with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as client:
            client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size)
            client.settimeout(0.5)
            sent = 0
            try:
                while sent < size:
                    sent += client.send(bytes(65536))
            except TimeoutError:
                pass
            assert sent < size / 2  # the kernel's buffers, and a few pieces in the gateway
            [connection] = [one for one in gateway.plane.gateway.cap.connections if one.current is not None]
            [up] = gateway.plane.gateway.pools.connections
            assert connection.holds & HOLD_UPSTREAM
            assert up.transport.get_write_buffer_size() <= (64 << 10) + (256 << 10)


# --- S4 ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.case("S4")
@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "declared"])
@pytest.mark.parametrize("what", ["silent", "closes", "resets", "in the middle of an event"])
def test_aborted_stream_has_no_clean_end(serve, upstream, chunked, what):
    event = EVENT if chunked else b"data: 1\n\n"
    head = HEAD if chunked else b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"
    last = {"silent": [Pause(60)], "in the middle of an event": [event[:5], Pause(0.05), Close()]}.get(
        what, [Pause(0.05), Close()]
    )
    upstream.script = lambda seen: [head, event, *last]
    with FaultyTcp(upstream.port) as tcp:
        gateway = serve(route(rule("timeouts: {streamIdle: 400ms}", to(tcp.port))))
        started = monotonic()
        with streaming(gateway) as client:
            received = begin(client)
            if what == "resets":
                until(lambda: tcp.bytes_to_client >= len(head + event), "the first event to be there")
                tcp.cut_all(Ending.RST)
            more, _ = read_to_end(client)
        received += more
        assert b"data: 1" in received or what == "resets"
        assert not received.endswith(b"0\r\n\r\n")
        if what == "silent":
            assert 0.4 <= monotonic() - started < 1.5
        code = "upstream_timeout" if what == "silent" else "upstream_closed"
        assert gateway.metric("upstream_errors_total", reason=code) == 1
        assert gateway.active_requests() == (0, 0, 0)


@pytest.mark.case("S4")
def test_heartbeat_keeps_a_stream_open(serve, upstream):
    upstream.script = lambda seen: [HEAD, *chain(*repeat([EVENT, Pause(0.3)], 4)), b"0\r\n\r\n"]
    gateway = serve(route(rule("timeouts: {streamIdle: 1s, request: 500ms}", to(upstream.port))))
    started = monotonic()
    assert gateway.request().body == b"data: 1\n\n" * 4
    assert monotonic() - started > 1.1


@pytest.mark.case("S4")
def test_aborted_stream_is_not_stored(serve, upstream):
    upstream.script = lambda seen: [HEAD, EVENT, Pause(0.05), Close()]
    gateway = serve(route(rule("cache: {ttl: 60s}", to(upstream.port))))
    for _ in range(2):
        with streaming(gateway) as client:
            read_to_end(client)
    assert len(upstream.seen) == 2
    assert gateway.metric("cache_entries") == 0
