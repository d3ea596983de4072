"""Connections that occupy a gateway: a head byte by byte, a body byte by byte, a large answer hardly read.

Each worker holds one connection and reconnects when it is cut; `Cuts` records when and how.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import statistics
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic

from bench import clients

AGAIN = 0.25
"""Seconds until a worker reconnects after a cut."""


class Kind(StrEnum):
    HEAD = "slow head"
    BODY = "slow body"
    READER = "slow reader"


@dataclass(slots=True)
class Cuts:
    """The cut connections of one kind."""

    opened: int = 0
    open_now: int = 0
    not_accepted: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """A status, or how the connection ended without one."""
    ages: list[float] = field(default_factory=list)
    """Seconds each connection lasted."""

    def describe(self) -> str:
        """Return a cell of the table."""
        cut = "none cut"
        if self.ages:
            reasons = ", ".join(f"{reason} {count}" for reason, count in self.reasons.most_common(4))
            ages = f"{min(self.ages):.1f} to {max(self.ages):.1f} s (median {statistics.median(self.ages):.1f})"
            cut = f"{len(self.ages)} cut after {ages} ({reasons})"
        kept_out = f"; {self.not_accepted} not accepted" if self.not_accepted else ""
        return f"{self.opened} opened, {self.open_now} open at the end; {cut}{kept_out}"


async def hold(kind: Kind, port: int, cuts: Cuts, pace: float, answer_size: int) -> None:
    """Keep one slow connection open until cancelled. `pace`: seconds between two bytes, or between two small reads."""
    while True:
        sock = socket.socket()
        sock.setblocking(False)
        try:
            if kind is Kind.READER:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            if not await _connect(sock, port):
                cuts.not_accepted += 1
                await asyncio.sleep(4 * AGAIN)
                continue
            cuts.opened += 1
            cuts.open_now += 1
            began = monotonic()
            try:
                reason = await (
                    _read_slowly(sock, pace, answer_size) if kind is Kind.READER else _send(kind, sock, pace)
                )
                cuts.reasons[reason] += 1
                cuts.ages.append(monotonic() - began)
            finally:
                # At the end of the run the task is cancelled here; its connection was open.
                cuts.open_now -= not asyncio.current_task().cancelling()
        finally:
            sock.close()
        await asyncio.sleep(AGAIN)


async def _connect(sock: socket.socket, port: int) -> bool:
    try:
        # Never `wait_for`: before Python 3.12 it loses a cancellation that comes together with the result.
        async with asyncio.timeout(5.0):
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    except (OSError, TimeoutError):
        return False
    return True


async def _send(kind: Kind, sock: socket.socket, pace: float) -> str:
    """Send a byte at a time forever; returns how the connection was cut."""
    loop = asyncio.get_running_loop()
    start = b"GET /plain HTTP/1.1\r\nhost: bench.example\r\nx-slow: "
    if kind is Kind.BODY:
        start = (
            clients.request("/plain", "POST")[:-4].replace(b"content-length: 0", b"content-length: 100000")
            + b"\r\n\r\n"
        )
    try:
        await loop.sock_sendall(sock, start)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pace):
                    return _reason(await loop.sock_recv(sock, 4096))
            await loop.sock_sendall(sock, b"x")
    except ConnectionError:
        return "reset"


async def _read_slowly(sock: socket.socket, pace: float, answer_size: int) -> str:
    """Read a few hundred bytes at a time; returns how the connection was cut."""
    loop = asyncio.get_running_loop()
    read = 0
    try:
        await loop.sock_sendall(sock, clients.request("/large", x_fake_body_size=answer_size))
        while True:
            piece = await loop.sock_recv(sock, 256)
            if not piece:
                return "closed in the middle of the answer" if read else "closed without an answer"
            if not read and not piece.startswith(b"HTTP/1.1 200"):
                return _reason(piece)
            read += len(piece)
            await asyncio.sleep(pace)
    except ConnectionError:
        return "reset"


def _reason(received: bytes) -> str:
    if not received:
        return "closed without an answer"
    return f"status {received[9:12].decode('latin-1')}"
