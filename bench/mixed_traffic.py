"""Traffic of many kinds at once, for a soak. Each kind is a coroutine that runs until stopped, with a separate tally.

Answers are compared: echoes by hash, patterns by size, streams by their events.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench.clients import Answer, Client, Lost, UnansweredError, request
from bench.tally import Tally

WITHIN = 30.0
"""Seconds an answer may take."""
POSTED = b"0123456789abcdef" * 6400
CHUNKED_SIZE = 200_000
LARGE = 2 << 20
EVENTS = 20


@dataclass(slots=True)
class Traffic:
    """The target of requests, and the stop signal: `stopping` is read between requests."""

    port: int
    stopping: asyncio.Event
    aborts_per_second: float
    aborted: int = 0
    """Streams aborted by clients."""


Kind = Callable[[Traffic, Tally], Awaitable[None]]


async def _in_turn(
    traffic: Traffic,
    tally: Tally,
    data: Callable[[int], bytes],
    pause: float,
    is_wanted: Callable[[Answer], bool] = lambda answer: answer.status == 200,
) -> None:
    """Send one request after the other on a kept connection."""
    client: Client | None = None
    number = 0
    while not traffic.stopping.is_set():
        if client is None or not client.is_open:
            client = await tally.connect(traffic.port)
        if client is None:
            await asyncio.sleep(0.5)
            continue
        await tally.ask(client, data(number), WITHIN, is_wanted)
        number += 1
        await asyncio.sleep(pause)
    if client is not None:
        client.leave()


async def hits(traffic: Traffic, tally: Tally) -> None:
    """Request a hundred targets repeatedly, from the cache."""
    await _in_turn(traffic, tally, lambda number: request(f"/cached/{number % 100}", x_fake_body_size=2000), 0.005)


async def misses(traffic: Traffic, tally: Tally) -> None:
    """Request unique targets, whose answers are stored, so that the cache evicts continuously."""
    await _in_turn(
        traffic, tally, lambda number: request(f"/cached/{id(tally)}/{number}", x_fake_body_size=20_000), 0.01
    )


async def posts(traffic: Traffic, tally: Tally) -> None:
    """Send bodies of 100 KiB, compared by hash."""
    wanted = hashlib.sha256(POSTED).hexdigest()

    def is_wanted(answer: Answer) -> bool:
        return answer.status == 200 and json.loads(answer.body)["bodySha256"] == wanted

    data = request("/echo", "POST", POSTED, x_fake_echo=1)
    await _in_turn(traffic, tally, lambda _: data, 0.05, is_wanted)


async def chunked(traffic: Traffic, tally: Tally) -> None:
    """Request answers of unknown length, in fifty pieces."""
    data = request("/chunked", x_fake_body_size=CHUNKED_SIZE, x_fake_chunks=50)
    await _in_turn(traffic, tally, lambda _: data, 0.05, lambda answer: answer.size == CHUNKED_SIZE)


async def streams(traffic: Traffic, tally: Tally) -> None:
    """Read event streams of two seconds to their end."""
    data = request("/events", x_fake_sse=EVENTS, x_fake_pause=0.1)
    await _in_turn(traffic, tally, lambda _: data, 0.05, lambda answer: answer.body.count(b"data: ") == EVENTS)


async def readers(traffic: Traffic, tally: Tally) -> None:
    """Read 2 MiB slowly through a small window: the upstream is faster than the client."""
    data = request("/large", x_fake_body_size=LARGE, close=True)
    while not traffic.stopping.is_set():
        client = await tally.connect(traffic.port, receive_buffer=8192)
        if client is not None:
            client.read_slowly(0.01)
            await tally.ask(client, data, WITHIN, lambda answer: answer.size == LARGE)
            client.leave()
        await asyncio.sleep(0.2)


async def leavers(traffic: Traffic, tally: Tally) -> None:
    """Disconnect in the middle of a stream, after its first event."""
    data = request("/events", x_fake_sse=1000, x_fake_pause=0.05)
    loop = asyncio.get_running_loop()
    began, number = loop.time(), 0
    async with asyncio.TaskGroup() as group:
        while not traffic.stopping.is_set():
            group.create_task(_leave_in_the_middle(traffic, tally, data))
            number += 1
            await asyncio.sleep(max(0.0, began + number / traffic.aborts_per_second - loop.time()))


async def _leave_in_the_middle(traffic: Traffic, tally: Tally, data: bytes) -> None:
    client = await tally.connect(traffic.port)
    if client is None:
        return
    try:
        await client.ask(data, WITHIN, lambda _: client.leave())
    except UnansweredError as error:
        # The client itself cuts after the first byte; any other end is caused by the gateway.
        if error.lost is Lost.CUT and not client.is_open:
            traffic.aborted += 1
            tally.answered += 1
        else:
            tally.fail(str(error.lost))
    else:
        tally.fail("a stream of 50 s ended")


KINDS: dict[str, tuple[Kind, int]] = {
    "hits": (hits, 4),
    "misses": (misses, 2),
    "posts": (posts, 2),
    "chunked": (chunked, 2),
    "streams": (streams, 20),
    "slow readers": (readers, 5),
    "leaving clients": (leavers, 1),
}
"""Each with how many of it run at once."""
