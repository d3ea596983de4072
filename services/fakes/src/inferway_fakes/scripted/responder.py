"""Executes an order: bytes, pauses, closes, in the order that a client sees them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

from inferway_fakes.scripted import heads
from inferway_fakes.scripted.directives import LONGEST, Order, Where

GARBAGE = b"\x00\x16\x03\x01 this is not HTTP \xff\n"


@dataclass(slots=True)
class Seen:
    """A request as it arrived. Its body is counted and hashed, and kept for control requests only."""

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    keeps_alive: bool
    body_length: int = 0
    digest: hashlib._Hash | None = None
    kept: bytearray = field(default_factory=bytearray)

    def document(self, process: str) -> dict[str, object]:
        """Return the body for `x-fake-echo`."""
        return {
            "process": process,
            "method": self.method.decode("latin-1"),
            "target": self.target.decode("latin-1"),
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in self.headers],
            "bodyLength": self.body_length,
            "bodySha256": (self.digest or hashlib.sha256()).hexdigest(),
        }


class Wire(Protocol):
    """The connection for answers."""

    async def write(self, data: bytes) -> None:
        """Send, and wait while the client does not read. Raises `ConnectionError` if it has disconnected."""


class CloseHereError(Exception):
    """The order ends the connection here."""

    def __init__(self, reset: bool) -> None:
        super().__init__("closed by order")
        self.is_reset = reset


async def perform(order: Order, seen: Seen, wire: Wire, process: str) -> None:
    """Answer a request. Raises `CloseHereError`, and `ConnectionError` if the client disconnects."""
    try:
        async with asyncio.timeout(LONGEST):
            await _perform(order, seen, wire, process)
    except TimeoutError:
        raise CloseHereError(reset=True) from None


async def _perform(order: Order, seen: Seen, wire: Wire, process: str) -> None:
    if order.delay:
        await asyncio.sleep(order.delay)
    await _stop_at(Where.BEFORE_ANSWER, order)
    if order.garbage:
        await wire.write((GARBAGE * (order.garbage // len(GARBAGE) + 1))[: order.garbage])
        raise CloseHereError(reset=False)
    for _ in range(order.informational):
        await wire.write(heads.head(103, [("link", "</style.css>; rel=preload; as=style")]))
    body = json.dumps(seen.document(process)).encode() if order.echo else b"ok" if order.body_size is None else None
    size = len(body) if body is not None else order.body_size or 0
    head = heads.head(order.status, _fields(order, seen, size, process))
    if not heads.has_body(seen.method, order.status):
        await wire.write(head)
        await _stop_at(Where.AFTER_HEAD, order)
    elif order.sse:
        await wire.write(head)
        await _stop_at(Where.AFTER_HEAD, order)
        await _events(order, wire)
    elif order == _PLAIN and body is not None:
        await wire.write(head + body)
    else:
        await wire.write(head)
        await _stop_at(Where.AFTER_HEAD, order)
        await _body(order, body if body is not None else heads.pattern(size), wire)


_PLAIN = Order.model_validate({})


def _fields(order: Order, seen: Seen, size: int, process: str) -> list[tuple[str, str]]:
    fields = [("x-fake-process", process), *order.headers]
    if order.big_head:
        fields.append(("x-fake-big", "b" * order.big_head))
    names = {name.lower() for name, _ in order.headers}
    if "content-type" not in names:
        kind = "text/event-stream" if order.sse else "application/json" if order.echo else "text/plain"
        fields.append(("content-type", kind))
    if not seen.keeps_alive:
        fields.append(("connection", "close"))
    if order.status == 204:
        return fields
    if order.sse or order.chunks:
        return [*fields, ("transfer-encoding", "chunked")]
    fields.append(("content-length", str(size)))
    if order.two_lengths:
        fields.append(("content-length", str(size + 1)))
    return fields


async def _events(order: Order, wire: Wire) -> None:
    for number in range(order.sse):
        if number:
            await asyncio.sleep(order.pause)
        if number == order.sse // 2:
            await _stop_at(Where.MID_BODY, order)
        await wire.write(chunk(b"id: %d\ndata: %.6f\n\n" % (number, monotonic())))
    await wire.write(chunk(b""))


async def _body(order: Order, body: bytes, wire: Wire) -> None:
    sizes = heads.pieces(len(body), order.chunks or max(1, -(-len(body) // heads.PIECE)))
    if order.close is Where.MID_BODY or order.hang is Where.MID_BODY:
        sizes = sizes if len(sizes) > 1 else heads.pieces(len(body), 2)
    start = 0
    for number, size in enumerate(sizes):
        if number:
            await asyncio.sleep(order.pause)
        if number == (len(sizes) + 1) // 2:
            await _stop_at(Where.MID_BODY, order)
        piece = body[start : start + size]
        await wire.write(chunk(piece) if order.chunks else piece)
        start += size
    await _stop_at(Where.MID_BODY, order)  # a body too short to have a middle
    if order.chunks:
        await wire.write(chunk(b""))


def chunk(data: bytes) -> bytes:
    """Return a chunk (RFC 9112, 7.1); no data = the last chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


async def _stop_at(place: Where, order: Order) -> None:
    if order.hang is place:
        await asyncio.sleep(2 * LONGEST)  # `perform` ends it
    if order.close is place:
        raise CloseHereError(order.reset)
