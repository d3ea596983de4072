"""A race of connections to the addresses of one endpoint (RFC 8305, "Happy Eyeballs").

In a dual-stack cluster a gateway may reach pods by one IP family only. The next address is tried a little later, or at once
when one before it has failed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeVar

HEAD_START: Final = 0.25
"""Seconds that an address has before the next one is tried as well: RFC 8305's Connection Attempt Delay."""


class Closable(Protocol):
    """A connection, as far as the race needs it."""

    def close(self) -> object: ...


C = TypeVar("C", bound=Closable)


async def first_of(
    addresses: Sequence[str], connect: Callable[[str], Awaitable[C]], head_start: float = HEAD_START
) -> C:
    """Return the first connection, and close or cancel all others. Raises the last `OSError` if every address fails."""
    waiting = list(addresses)
    attempts: set[asyncio.Future[C]] = set()
    try:
        while True:
            if waiting:
                attempts.add(asyncio.ensure_future(connect(waiting.pop(0))))
            ended, _ = await asyncio.wait(
                attempts, timeout=head_start if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            failures: list[BaseException] = []
            for attempt in ended:
                failure = attempt.exception()
                if failure is None:
                    attempts.remove(attempt)
                    return attempt.result()
                failures.append(failure)
            attempts -= ended
            if failures and (not isinstance(failures[0], OSError) or not (attempts or waiting)):
                raise failures[0]
    finally:
        for attempt in attempts:
            attempt.add_done_callback(_end)
            attempt.cancel()


def _end(attempt: "asyncio.Future[C]") -> None:
    """Close the connection of a loser; that it could not connect has no meaning any more."""
    if attempt.cancelled():
        return
    failure = attempt.exception()
    if failure is None:
        attempt.result().close()
    elif not isinstance(failure, OSError):
        data = {"message": "unexpected error while connecting", "exception": failure}
        attempt.get_loop().call_exception_handler(data)
