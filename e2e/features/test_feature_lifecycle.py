"""Connections and streams that end at random moments give back everything: real sockets, a real process.

The model without sockets is `dataplane/tests/lifecycle`.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from time import monotonic
from typing import Any

import pytest

from inferway_fakes.yaml_builders import route, rule, to
from inferway_testing.client import request
from inferway_testing.process import run_gateway

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

GAUGES = ("requests_in_flight", "connections")
SECONDS = 60
STREAMS = 200
ROUNDS = 10
EVENT = b"9\r\ndata: 1\n\n\r\n"
GROWTH = 2 << 20
"""Bytes by which memory may grow in the second half of the rounds: less than 200 streams take."""


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by a reset."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class RandomOrigin:
    """Answers `/steady` well, streams `/stream` until either side ends it, and everything else at random."""

    def __init__(self, choices: random.Random) -> None:
        self._choices = choices
        self.streams: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def __aenter__(self) -> RandomOrigin:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answer(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass  # the gateway ended it, or its body was cut
        finally:
            self.streams.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        target = head.split(b" ", 2)[1]
        is_early = target.startswith(b"/random") and self._choices.random() < 0.1
        if not is_early:
            await self._read_body(reader, head.lower())
        whole = b"HTTP/1.1 200 OK\r\nx-echo: %b\r\ncontent-length: %d\r\n\r\n%b" % (target, len(target), target)
        if target.startswith(b"/stream"):
            return await self._stream(reader, writer)
        if target.startswith(b"/random"):
            await asyncio.sleep(self._choices.choice((0, 0, 0, 0.01, 0.05, 0.3)))
            kind = self._choices.randrange(9)
            if kind == 0:
                reset(writer)
                return False
            if kind == 1:
                return False
            if kind == 2:
                writer.write(whole[: self._choices.randrange(len(whole))])
                await writer.drain()
                return False
            if kind == 3:
                writer.write(b"HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n")
            elif kind == 4:
                writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + EVENT * 3)
                await asyncio.sleep(0.02)
                whole = self._choices.choice((b"0\r\n\r\n", b"zz\r\n"))
            elif kind == 5:
                whole = b"no HTTP at all\r\n\r\n"
        writer.write(whole)
        await writer.drain()
        return not is_early

    async def _read_body(self, reader: asyncio.StreamReader, head: bytes) -> None:
        if b"transfer-encoding: chunked" in head:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                await reader.readexactly(size + 2)
            await reader.readexactly(2)
        elif b"content-length: " in head:
            await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        self.streams.add(writer)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        while not writer.is_closing() and not reader.at_eof():
            writer.write(EVENT)
            await writer.drain()
            await asyncio.sleep(0.05)
        return False


class Crowd:
    """Clients of one gateway."""

    def __init__(self, port: int, choices: random.Random) -> None:
        self._port = port
        self._choices = choices
        self.answers = 0
        """Right answers to `/steady`."""

    async def misbehave(self, until: float) -> None:
        """Connections of one client after the other, each with something odd."""
        while monotonic() < until:
            with suppress(OSError, asyncio.IncompleteReadError):  # the gateway or the client has cut it
                await self._misbehave_once()

    async def _misbehave_once(self) -> None:
        choices = self._choices
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            data = b"".join(self._request() for _ in range(choices.choice((1, 1, 2, 3, 5))))
            if choices.random() < 0.2:
                data = data[: choices.randrange(len(data))]
            while data:
                cut = choices.choice((len(data), choices.randrange(len(data)) + 1))
                writer.write(data[:cut])
                data = data[cut:]
                await asyncio.sleep(choices.choice((0, 0, 0.001, 0.02)))
            if choices.random() < 0.2:
                writer.write_eof()
            if choices.random() < 0.7:
                await asyncio.wait_for(reader.read(choices.choice((1, 50_000))), choices.choice((0.01, 0.1, 0.5)))
        except TimeoutError:
            pass  # it waits no longer
        finally:
            if choices.random() < 0.5:
                reset(writer)
            else:
                writer.close()

    def _request(self) -> bytes:
        choices = self._choices
        kind = choices.randrange(10)
        head = b"%b /random?%d HTTP/1.1\r\nhost: a\r\n%b\r\n"
        number = choices.randrange(50)
        if kind < 4:
            return head % (b"GET", number, b"")
        if kind < 6:
            return head % (b"POST", number, b"content-length: 5\r\n") + b"hello"
        if kind < 8:
            return head % (b"POST", number, b"transfer-encoding: chunked\r\n") + b"5\r\nhello\r\n0\r\n\r\n"
        if kind < 9:
            return head % (b"POST", number, b"transfer-encoding: chunked\r\n") + b"zz\r\n"
        return b"GET /\x00 HTTP/1.1\r\n\r\n"

    async def ask_steadily(self, until: float) -> None:
        """One client that does everything right, and must get every answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        number = 0
        while monotonic() < until:
            number += 1
            target = b"/steady?%d" % number
            writer.write(b"GET %b HTTP/1.1\r\nhost: a\r\n\r\n" % target)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            assert head.startswith(b"HTTP/1.1 200 "), head
            assert b"x-echo: %b\r\n" % target in head, (target, head)
            assert await reader.readexactly(len(target)) == target
            self.answers += 1
            await asyncio.sleep(0.01)
        writer.close()

    async def stream(self, origin: RandomOrigin) -> None:
        """Open a stream, and end it at a random moment from either side."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(b"GET /stream HTTP/1.1\r\nhost: a\r\n\r\n")
            if self._choices.random() < 0.9:
                await reader.readuntil(b"data")
            await asyncio.sleep(self._choices.random())
            if self._choices.random() < 0.4 and origin.streams:
                reset(self._choices.choice(sorted(origin.streams, key=id)))
        except (OSError, asyncio.IncompleteReadError):
            pass  # the other side was first
        finally:
            if self._choices.random() < 0.5:
                reset(writer)
            else:
                writer.close()


async def metrics(port: int) -> dict[str, float]:
    """All samples of the process, by name and labels."""
    text = (await asyncio.to_thread(request, port, "/metrics")).body.decode()
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def gauges(port: int) -> dict[str, float]:
    """Those of `GAUGES` that are not 0."""
    samples = await metrics(port)
    return {name: samples[name] for name in GAUGES if samples[name]}


async def until_empty(port: int, within: float) -> float:
    """Wait until every gauge is 0; the seconds that it took."""
    began = monotonic()
    left: dict[str, float] = {}
    while monotonic() - began < within:
        left = await gauges(port)
        if not left:
            return monotonic() - began
        await asyncio.sleep(0.05)
    raise AssertionError(f"after {within} s: {left}")


def run(directory: Any, test: Callable[[Any, RandomOrigin, Crowd, random.Random], Coroutine[Any, Any, None]]) -> None:
    """Run a test with an origin, a gateway in a process of its own, and clients. Its log must have no error."""
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    choices = random.Random(seed)  # noqa: S311 - it chooses what clients do

    async def main() -> None:
        async with RandomOrigin(choices) as origin:
            text = route(rule(to(origin.port)))
            with await asyncio.to_thread(run_gateway, directory, text, "--no-access-log") as gateway:
                port = await asyncio.to_thread(gateway.port)
                await test(gateway, origin, Crowd(port, choices), choices)
                broken = [line for line in gateway.lines if "Traceback" in line or '"level":"error"' in line]
                assert not broken, broken[:3]

    asyncio.run(main())


def test_random_ends_over_sockets_give_back_everything(tmp_path) -> None:
    async def test(gateway, origin, crowd, choices) -> None:
        end = monotonic() + SECONDS
        async with asyncio.TaskGroup() as group:
            for _ in range(24):
                group.create_task(crowd.misbehave(end))
            for _ in range(4):
                group.create_task(crowd.ask_steadily(end))
        admin = gateway.port("admin")
        # A client that has sent its FIN has half a second, a lingering connection two.
        took = await until_empty(admin, 4)
        samples = await metrics(admin)
        print(f"{crowd.answers} right answers next to {SECONDS} s of broken ones; gauges 0 after {took:.2f} s")
        assert crowd.answers > 4 * SECONDS
        assert not [name for name, value in samples.items() if name.startswith("circuit_open") and value]

    run(tmp_path, test)


def test_killed_streams_leave_nothing_behind(tmp_path) -> None:
    async def test(gateway, origin, crowd, choices) -> None:
        admin = await asyncio.to_thread(gateway.port, "admin")
        resident: list[int] = []
        times: list[float] = []
        for _ in range(ROUNDS):
            async with asyncio.TaskGroup() as group:
                for _ in range(STREAMS):
                    group.create_task(crowd.stream(origin))
            times.append(await until_empty(admin, 1))
            resident.append(gateway.resident())
        megabytes = ", ".join(f"{size / (1 << 20):.1f}" for size in resident)
        print(f"{ROUNDS} rounds of {STREAMS} streams: gauges 0 after at most {max(times):.2f} s; MiB: {megabytes}")
        assert resident[-1] - resident[ROUNDS // 2] < GROWTH, megabytes

    run(tmp_path, test)
