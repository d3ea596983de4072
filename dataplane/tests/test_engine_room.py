"""Permits for upstream connections: the queue for them, and that every permit comes back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from inferway_dataplane.engine.upstream.connection_limit import ConnectionLimiter, Permit


class Connection:
    """An upstream connection that is idle."""

    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


class Hall:
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
        await turn()
        return task


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def run(test: Callable[[Hall], Awaitable[None]], seats: int = 1) -> None:
    async def main() -> None:
        hall = Hall(seats)
        await test(hall)
        for task in hall.waiters:
            task.cancel()
        await asyncio.gather(*hall.waiters, return_exceptions=True)

    asyncio.run(main())


def test_seats_are_given_as_long_as_there_are_any() -> None:
    async def test(hall: Hall) -> None:
        first, second, third = [await hall.enter() for _ in range(3)]
        assert (first.done(), second.done(), third.done()) == (True, True, False)
        assert (hall.room.taken, hall.asked) == (2, 1)

    run(test, seats=2)


def test_a_seat_that_is_given_back_goes_to_the_first_in_the_line() -> None:
    async def test(hall: Hall) -> None:
        first, second, third = [await hall.enter() for _ in range(3)]
        first.result().leave()
        await turn()
        assert (second.done(), third.done()) == (True, False)
        assert isinstance(second.result(), Permit)
        second.result().leave()
        await turn()
        third.result().leave()
        assert hall.room.taken == 0

    run(test)


def test_a_seat_is_given_back_once_however_often_it_is_said() -> None:
    async def test(hall: Hall) -> None:
        first, second = await hall.enter(), await hall.enter()
        for _ in range(3):
            first.result().leave()
        assert hall.room.taken == 1
        second.result().leave()
        assert hall.room.taken == 0

    run(test, seats=2)


def test_who_stops_waiting_leaves_the_line() -> None:
    async def test(hall: Hall) -> None:
        first, second, third = [await hall.enter() for _ in range(3)]
        second.cancel()
        await turn()
        first.result().leave()
        await turn()
        assert third.done()
        third.result().leave()
        assert hall.room.taken == 0

    run(test)


def test_who_stops_waiting_in_the_turn_in_which_a_seat_comes_gives_it_back() -> None:
    async def test(hall: Hall) -> None:
        first, second = await hall.enter(), await hall.enter()
        first.result().leave()
        second.cancel()  # it has the seat already, and does not know
        await turn()
        assert second.cancelled()
        assert hall.room.taken == 0

    run(test)


def test_who_stops_waiting_in_the_turn_in_which_a_connection_comes_closes_it() -> None:
    async def test(hall: Hall) -> None:
        await hall.enter()
        second = await hall.enter()
        connection: Any = Connection()
        assert hall.room.hand_over("a", connection)
        second.cancel()
        await turn()
        assert connection.is_closed

    run(test)


def test_an_idle_connection_goes_to_the_first_in_the_line_if_it_is_for_the_same_endpoint() -> None:
    async def test(hall: Hall) -> None:
        await hall.enter()
        other, same = await hall.enter("b"), await hall.enter("a")
        connection: Any = Connection()
        assert not hall.room.hand_over("a", connection)  # or else `b` might wait forever
        other.cancel()
        await turn()
        assert hall.room.hand_over("a", connection)
        await turn()
        assert same.result() is connection
        assert hall.room.taken == 1  # it sits where it sat

    run(test)


def test_without_a_line_it_is_not_taken() -> None:
    async def test(hall: Hall) -> None:
        connection: Any = Connection()
        assert not hall.room.hand_over("a", connection)

    run(test)
