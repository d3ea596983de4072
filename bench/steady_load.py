"""Load at a steady rate, independent of the answers; its requests are the record of a fault."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from time import monotonic

from bench import clients
from bench.ejection import Outcome
from bench.tally import Tally

PATIENCE = 5.0
"""Seconds until a client gives up."""
SLOW = 0.8
"""Seconds above which an answer counts as bad."""


class Load:
    """Requests at a steady rate on kept connections; every one is recorded."""

    def __init__(self, port: int, rate: float) -> None:
        self._port, self._period = port, 1 / rate
        self._idle: list[clients.Client] = []
        self._outcomes: list[Outcome] = []
        self.tally = Tally()

    async def run(self, stopping: asyncio.Event) -> None:
        """Send requests until `stopping` is set, then wait for those in flight."""
        began, sent = monotonic(), 0
        async with asyncio.TaskGroup() as group:
            while not stopping.is_set():
                group.create_task(self._one())
                sent += 1
                await asyncio.sleep(max(0.0, began + sent * self._period - monotonic()))
        for client in self._idle:
            client.leave()

    async def _one(self) -> None:
        at = monotonic()
        client = self._idle.pop() if self._idle else await self.tally.connect(self._port)
        is_whole = False
        if client is not None:
            answer = await self.tally.ask(client, clients.request("/plain"), PATIENCE)
            is_whole = answer is not None and answer.status == 200
            if client.is_open:
                self._idle.append(client)
        took = monotonic() - at
        self._outcomes.append(Outcome(at, took, is_whole and took < SLOW, not is_whole))

    def since(self, moment: float) -> list[Outcome]:
        """Return all outcomes, with times relative to `moment` (monotonic)."""
        return [replace(one, at=one.at - moment) for one in self._outcomes]
