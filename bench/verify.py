"""Checks that fail a run: a wrong byte, a rejection, an answer from the wrong place.

Four independent checks of each measurement:
- before and after it, a few requests whose answers are compared with what exactly they asked for;
- just before it, a pass of wrk at full load and the same number of connections that compares every body;
- in the measured pass itself, wrk's counts of refusals and socket errors, and the bytes it read for each answer;
- the origin's own count: every proxied request must reach it, no cache hit may.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from bench import answer, load, peers, servers

SAMPLED = (0, 1, 7, 42, 99)
"""Numbers of prompts; all below `answer.CACHED_URLS`."""
WIRE_TOLERANCE = 40
"""Bytes by which the mean answer may differ from the sampled one: header fields with numbers in them vary in width
(Age, RateLimit, x-envoy-upstream-service-time)."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    wire_size: int


def fetch(connection: socket.socket, target: str, headers: dict[str, str]) -> Answer:
    """Send one request on a kept-alive connection. Parsed by hand, because the size on the wire is needed."""
    fields = {"Host": "127.0.0.1", **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    connection.sendall(f"GET {target} HTTP/1.1\r\n{head}\r\n".encode())
    received = b""
    while b"\r\n\r\n" not in received:
        received += _receive(connection)
    head_bytes, _, body = received.partition(b"\r\n\r\n")
    status_line, *lines = head_bytes.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    size = int(headers.get("content-length", "-1"))
    while len(body) < size:
        body += _receive(connection)
    return Answer(int(status_line.split()[1]), headers, body, len(head_bytes) + 4 + len(body))


def _receive(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise servers.BenchError("a connection ended in the middle of an answer")
    return data


def sample(running: peers.Running, numbers: Sequence[int] = SAMPLED) -> int:
    """Compare a few answers byte for byte; returns the size of one on the wire."""
    wire_size = 0
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        for number in numbers:
            given = fetch(connection, answer.path(number), answer.REQUEST_HEADERS)
            _require(running, given.status == 200, f"answered {given.status} to {answer.path(number)}")
            _require(
                running, given.body == answer.body(number), f"wrong bytes for {answer.path(number)}: {given.body!r}"
            )
            for name in running.required_headers:
                _require(running, name in given.headers, f"sent no {name} header: its limits were not judged")
            wire_size = given.wire_size
    return wire_size


def check_pass(running: peers.Running, result: load.Result, wire_size: int) -> None:
    _require(running, result.requests > 0, "answered nothing")
    _require(running, result.refusals == 0, f"refused {result.refusals} of {result.requests} requests")
    _require(running, result.socket_errors == 0, f"had {result.socket_errors} socket errors")
    _require(running, result.wrong == 0, f"gave {result.wrong} wrong answers, the first: {result.example}")
    difference = abs(result.bytes_per_answer - wire_size)
    _require(
        running,
        difference <= WIRE_TOLERANCE,
        f"sent {result.bytes_per_answer:.1f} bytes an answer where {wire_size} were right",
    )


def check_origin(running: peers.Running, reached: int, result: load.Result, connections: int) -> None:
    """Check the origin's count. `reached`: requests that it received during the pass, without the benchmark's queries."""
    if running.case is peers.Case.HIT:
        _require(
            running, reached == 0, f"sent {reached} of {result.requests} requests to the origin: not all were hits"
        )
    else:  # in flight when wrk stopped, after this pass and perhaps still after the one before: seen, but not counted
        extra = reached - result.requests
        holds = 0 <= extra <= 2 * connections
        _require(running, holds, f"answered {result.requests} requests, but the origin saw {reached}")


def check_limits(running: peers.Running, judged: int, result: load.Result) -> None:
    _require(running, judged >= result.requests, f"judged only {judged} of {result.requests} requests by its limits")


def _require(running: peers.Running, holds: bool, complaint: str) -> None:
    if not holds:
        raise servers.BenchError(f"{running.peer} ({running.case}) {complaint}\n{running.server.log_tail(5)}")
