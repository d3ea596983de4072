"""The scripted upstream over real sockets: every header, the modes, the counts, the process."""

import hashlib
import http.client
import json
import os
import re
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic

import pytest

from inferway_fakes.scripted import heads
from inferway_fakes.scripted.modes import Mode
from inferway_fakes.scripted.server import ScriptedUpstream
from inferway_testing.client import request as send
from inferway_testing.process import Process, environment
from inferway_testing.until import until

DEADLINE = 5.0


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream("a") as running:
        yield running


def connect(upstream: ScriptedUpstream) -> socket.socket:
    return socket.create_connection(("127.0.0.1", upstream.port), DEADLINE)


def request(target: str = "/", method: str = "GET", body: bytes = b"", **fake: object) -> bytes:
    """Return the bytes of a request; `body_size=3` is the header `x-fake-body-size: 3`."""
    lines = [f"{method} {target} HTTP/1.1", "host: a"]
    lines += [f"x-fake-{name.replace('_', '-')}: {value}" for name, value in fake.items()]
    if body:
        lines.append(f"content-length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def raw(upstream: ScriptedUpstream, data: bytes) -> bytes:
    """Send bytes and return everything received until the connection ends."""
    with connect(upstream) as client:
        client.sendall(data)
        received = b""
        while piece := client.recv(65536):
            received += piece
        return received


def ask(
    upstream: ScriptedUpstream, target: str = "/", method: str = "GET", body: bytes | None = None, **fake: object
) -> tuple[int, http.client.HTTPMessage, bytes]:
    headers = {f"x-fake-{name.replace('_', '-')}": str(value) for name, value in fake.items()}
    response = send(upstream.port, target, method, body, headers, DEADLINE)
    return response.status, response.headers, response.body


def test_plain_request_is_answered_200(upstream: ScriptedUpstream) -> None:
    status, headers, body = ask(upstream)
    assert (status, headers["x-fake-process"], headers["content-length"], body) == (200, "a", "2", b"ok")


def test_status_header_and_size_directives_are_applied(upstream: ScriptedUpstream) -> None:
    status, headers, body = ask(upstream, status=503, body_size=100_000, header="retry-after: 7")
    assert (status, headers["retry-after"], body) == (503, "7", heads.pattern(100_000))


@pytest.mark.parametrize("status", [204, 304])
def test_status_without_a_body_has_none(upstream: ScriptedUpstream, status: int) -> None:
    assert raw(upstream, request(status=status) + request(close="before-answer")).endswith(b"\r\n\r\n")


def test_head_is_answered_without_a_body_but_with_its_length(upstream: ScriptedUpstream) -> None:
    status, headers, body = ask(upstream, method="HEAD", body_size=10)
    assert (status, headers["content-length"], body) == (200, "10", b"")


def test_delay_comes_before_the_head(upstream: ScriptedUpstream) -> None:
    began = monotonic()
    ask(upstream, delay=0.2)
    assert monotonic() - began >= 0.2


def test_chunks_directive_splits_the_body(upstream: ScriptedUpstream) -> None:
    answer = raw(upstream, request(body_size=10, chunks=3) + request(close="before-answer"))
    assert b"transfer-encoding: chunked" in answer
    assert answer.endswith(b"\r\n\r\n4\r\n0123\r\n3\r\n456\r\n3\r\n789\r\n0\r\n\r\n")


def test_sse_events_carry_their_send_time(upstream: ScriptedUpstream) -> None:
    began = monotonic()
    _, headers, body = ask(upstream, sse=3, pause=0.1)
    times = [float(time) for time in re.findall(rb"data: ([\d.]+)\n\n", body)]
    assert headers["content-type"] == "text/event-stream"
    assert len(times) == 3
    assert began <= times[0] <= times[2] - 0.2


@pytest.mark.parametrize(
    ("place", "seen"),
    [
        ("before-answer", rb""),
        ("after-head", rb"HTTP/1\.1 200 .*\r\n\r\n"),
        ("mid-body", rb"HTTP/1\.1 .*\r\n\r\n01234"),
    ],
)
def test_close_directive_ends_at_the_given_place(upstream: ScriptedUpstream, place: str, seen: bytes) -> None:
    assert re.fullmatch(seen, raw(upstream, request(body_size=10, close=place)), re.DOTALL)
    with pytest.raises(ConnectionResetError):
        raw(upstream, request(body_size=10, close=place, reset=1))
    until(lambda: upstream.stats.answered == 2, "both are counted")
    assert (upstream.stats.closed, upstream.stats.in_flight) == (2, 0)


def test_close_directive_ends_a_stream_mid_body(upstream: ScriptedUpstream) -> None:
    answer = raw(upstream, request(sse=4, close="mid-body"))
    assert answer.count(b"data: ") == 2
    assert not answer.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(("place", "size"), [("before-answer", 0), ("after-head", 0), ("mid-body", 5)])
def test_hang_directive_waits_and_counts_the_aborted_client(upstream: ScriptedUpstream, place: str, size: int) -> None:
    with connect(upstream) as client:
        client.sendall(request(body_size=10, hang=place))
        client.settimeout(0.3)
        received = b""
        with suppress(TimeoutError):
            while piece := client.recv(65536):
                received += piece
            pytest.fail("it did not hang, it closed")
        assert len(received.partition(b"\r\n\r\n")[2]) == size
        assert upstream.stats.in_flight == 1
    until(lambda: upstream.stats.aborted == 1, "the client's disconnect is counted")
    assert (upstream.stats.in_flight, upstream.stats.answered) == (0, 0)


def test_garbage_two_lengths_and_big_head_are_sent(upstream: ScriptedUpstream) -> None:
    garbage = raw(upstream, request(garbage=1000))
    assert len(garbage) == 1000
    assert not garbage.startswith(b"HTTP")
    close = request(close="before-answer")
    assert raw(upstream, request(two_lengths=1) + close).count(b"content-length") == 2
    assert len(raw(upstream, request(big_head=100_000) + close)) > 100_000


def test_informational_responses_precede_the_response(upstream: ScriptedUpstream) -> None:
    answer = raw(upstream, request(informational=2) + request(close="before-answer"))
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"103", b"103", b"200"]


@pytest.mark.parametrize("chunked", [False, True])
def test_echo_directive_returns_the_request(upstream: ScriptedUpstream, chunked: bool) -> None:
    sent = b"x" * 300_000
    head = b"POST /a%2Fb?c=d HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2\r\nx-fake-echo: 1\r\n"
    if chunked:
        data = head + b"transfer-encoding: chunked\r\n\r\n" + b"%x\r\n%b\r\n0\r\n\r\n" % (len(sent), sent)
    else:
        data = head + b"content-length: %d\r\n\r\n%b" % (len(sent), sent)
    answer = raw(upstream, data + request(close="before-answer"))
    echo = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (echo["method"], echo["target"], echo["process"]) == ("POST", "/a%2Fb?c=d", "a")
    assert echo["headers"][:3] == [["Host", "a"], ["X-A", "1"], ["x-a", "2"]]
    assert (echo["bodyLength"], echo["bodySha256"]) == (300_000, hashlib.sha256(sent).hexdigest())


def test_pipelined_requests_are_answered_in_order(upstream: ScriptedUpstream) -> None:
    answer = raw(
        upstream,
        b"".join(request(status=200 + number, delay=0.01) for number in range(30)) + request(close="before-answer"),
    )
    assert [int(status) for status in re.findall(rb"HTTP/1.1 (\d+)", answer)] == [*range(200, 204), *range(204, 230)]
    assert upstream.stats.connections == 1


def test_disconnect_with_queued_requests_is_counted(upstream: ScriptedUpstream) -> None:
    with connect(upstream) as client:
        client.sendall(request(hang="before-answer") + request() * 4)
        until(lambda: upstream.stats.in_flight == 5, "all are read")
    until(lambda: upstream.stats.aborted == 5, "all are aborted")
    assert upstream.stats.in_flight == 0
    assert upstream.stats.open_connections == 0


def test_client_that_does_not_read_blocks_the_response(upstream: ScriptedUpstream) -> None:
    with connect(upstream) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(request(body_size=64 << 20))
        until(lambda: upstream.stats.in_flight == 1, "it is being answered")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: upstream.stats.aborted == 1, "it was not complete when the client left")


@pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\na: " + b"b" * (300 << 10)])
def test_malformed_request_is_answered_400(upstream: ScriptedUpstream, data: bytes) -> None:
    with connect(upstream) as client:
        client.sendall(data)
        assert client.recv(65536).startswith(b"HTTP/1.1 400")
    assert upstream.stats.refused == 1


def test_invalid_directive_gets_400_and_keeps_the_connection(upstream: ScriptedUpstream) -> None:
    answer = raw(upstream, request(stauts=200) + request(status=201) + request(close="before-answer"))
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"400", b"201"]
    assert b"x-fake-stauts" in answer


def test_mode_fails_a_share_until_it_is_reset(upstream: ScriptedUpstream) -> None:
    assert ask(upstream, "/_fake/mode", "PUT", b'{"failShare": 0.5, "failStatus": 502}')[0] == 200
    assert [ask(upstream)[0] for _ in range(4)] == [200, 502, 200, 502]
    assert json.loads(ask(upstream, "/_fake/mode")[2])["failShare"] == 0.5
    assert ask(upstream, "/_fake/mode", "DELETE")[0] == 200
    assert ask(upstream)[0] == 200
    stats = json.loads(ask(upstream, "/_fake/stats")[2])
    assert (stats["requests"], stats["failed"], stats["name"]) == (5, 2, "a")


def test_invalid_mode_changes_nothing(upstream: ScriptedUpstream) -> None:
    status, _, body = ask(upstream, "/_fake/mode", "PUT", b'{"fail": 1}')
    assert (status, upstream.mode) == (400, Mode())
    assert b"fail" in body


def test_mode_sets_latency_hang_and_health(upstream: ScriptedUpstream) -> None:
    upstream.mode = Mode(latency=0.2, health_status=503)
    began = monotonic()
    assert ask(upstream, status=201)[0] == 201
    assert monotonic() - began >= 0.2
    assert ask(upstream, "/healthz")[0] == 503
    upstream.mode = Mode(hang=True)
    with connect(upstream) as client:
        client.sendall(request())
        until(lambda: upstream.stats.in_flight == 1, "it hangs")
        assert ask(upstream, "/healthz")[0] == 200
    upstream.mode = Mode(health_hang=True)
    assert ask(upstream)[0] == 200
    with connect(upstream) as client:
        client.sendall(request("/healthz"))
        until(lambda: upstream.stats.health_requests == 3, "the probe hangs")
    assert (upstream.stats.requests, upstream.stats.in_flight) == (3, 0)


@pytest.mark.parametrize(("target", "method", "status"), [("/_fake/x", "GET", 404), ("/_fake/mode", "POST", 405)])
def test_unknown_control_path_is_rejected(upstream: ScriptedUpstream, target: str, method: str, status: int) -> None:
    assert ask(upstream, target, method)[0] == status


def test_process_prints_its_port_and_exits_with_0() -> None:
    source = os.path.dirname(os.path.dirname(os.path.abspath(heads.__file__)))
    command = [sys.executable, "-m", "inferway_fakes.scripted", "--name", "b", "--lifetime", "30"]
    with Process(command, environment(PYTHONPATH=os.path.dirname(source))) as process:
        [first_line] = until(lambda: process.events, "the first line")
        assert send(first_line["port"]).headers["x-fake-process"] == first_line["name"] == "b"
        assert process.stop() == 0
