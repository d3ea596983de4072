"""Permits for upstream connections: the queue for them, and that every permit comes back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from inferway_dataplane.engine.upstream.connection_limit import ConnectionLimiter, Permit


class Connection:
    """An upstream connection that is idle."""

    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


class LimiterHarness:
    """A room, and how often it asked for a way to be made."""

    def __init__(self, seats: int) -> None:
        self.asked = 0
        self.room: ConnectionLimiter[Any] = ConnectionLimiter(seats, self._make_way)
        self.waiters: list[asyncio.Task[Any]] = []

    def _make_way(self) -> None:
        self.asked += 1

    async def enter(self, endpoint: Any = "a") -> asyncio.Task[Any]:
        """A caller that waits for a permit."""
        task = asyncio.get_running_loop().create_task(self.room.enter(endpoint))
        self.waiters.append(task)
        await run_ready_tasks()
        return task


async def run_ready_tasks() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def run(test: Callable[[LimiterHarness], Awaitable[None]], seats: int = 1) -> None:
    async def main() -> None:
        hall = LimiterHarness(seats)
        await test(hall)
        for task in hall.waiters:
            task.cancel()
        await asyncio.gather(*hall.waiters, return_exceptions=True)

    asyncio.run(main())


def test_permits_are_granted_up_to_the_limit() -> None:
    async def test(hall: LimiterHarness) -> None:
        first, second, third = [await hall.enter() for _ in range(3)]
        assert (first.done(), second.done(), third.done()) == (True, True, False)
        assert (hall.room.taken, hall.asked) == (2, 1)

    run(test, seats=2)


def test_released_permit_goes_to_the_first_waiter() -> None:
    async def test(hall: LimiterHarness) -> None:
        first, second, third = [await hall.enter() for _ in range(3)]
        first.result().leave()
        await run_ready_tasks()
        assert (second.done(), third.done()) == (True, False)
        assert isinstance(second.result(), Permit)
        second.result().leave()
        await run_ready_tasks()
        third.result().leave()
        assert hall.room.taken == 0

    run(test)


def test_permit_released_repeatedly_counts_once() -> None:
    async def test(hall: LimiterHarness) -> None:
        first, second = await hall.enter(), await hall.enter()
        for _ in range(3):
            first.result().leave()
        assert hall.room.taken == 1
        second.result().leave()
        assert hall.room.taken == 0

    run(test, seats=2)


def test_cancelled_waiter_leaves_the_queue() -> None:
    async def test(hall: LimiterHarness) -> None:
        first, second, third = [await hall.enter() for _ in range(3)]
        second.cancel()
        await run_ready_tasks()
        first.result().leave()
        await run_ready_tasks()
        assert third.done()
        third.result().leave()
        assert hall.room.taken == 0

    run(test)


def test_waiter_cancelled_as_its_permit_arrives_releases_it() -> None:
    async def test(hall: LimiterHarness) -> None:
        first, second = await hall.enter(), await hall.enter()
        first.result().leave()
        second.cancel()  # it has the seat already, and does not know
        await run_ready_tasks()
        assert second.cancelled()
        assert hall.room.taken == 0

    run(test)


def test_waiter_cancelled_as_a_connection_arrives_closes_it() -> None:
    async def test(hall: LimiterHarness) -> None:
        await hall.enter()
        second = await hall.enter()
        connection: Any = Connection()
        assert hall.room.hand_over("a", connection)
        second.cancel()
        await run_ready_tasks()
        assert connection.is_closed

    run(test)


def test_idle_connection_goes_to_a_first_waiter_of_its_endpoint() -> None:
    async def test(hall: LimiterHarness) -> None:
        await hall.enter()
        other, same = await hall.enter("b"), await hall.enter("a")
        connection: Any = Connection()
        assert not hall.room.hand_over("a", connection)  # or else `b` might wait forever
        other.cancel()
        await run_ready_tasks()
        assert hall.room.hand_over("a", connection)
        await run_ready_tasks()
        assert same.result() is connection
        assert hall.room.taken == 1  # it sits where it sat

    run(test)


def test_idle_connection_is_not_taken_without_waiters() -> None:
    async def test(hall: LimiterHarness) -> None:
        connection: Any = Connection()
        assert not hall.room.hand_over("a", connection)

    run(test)


def test_timed_out_waiter_leaves_the_queue() -> None:
    async def test() -> None:
        room: ConnectionLimiter[Any] = ConnectionLimiter(1, lambda: None)
        endpoint = object()
        await room.enter(endpoint)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await room.enter(endpoint)
        assert not room.waiting

    asyncio.run(test())
