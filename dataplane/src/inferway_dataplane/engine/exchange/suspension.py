"""Holds an exchange between two stages: until a coroutine returns, or until the request's body is complete."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from inferway_dataplane.core.messages import problems
from inferway_dataplane.engine.exchange import local_reply
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.engine.exchange.hooks import Work
from inferway_dataplane.engine.http1 import serialize


class Suspension(Work):
    """A stage's coroutine under way. It is cancelled when the exchange ends without it."""

    __slots__ = ("_exchange", "_task", "connection")

    def __init__(self, exchange: Exchange, stage: Coroutine[Any, Any, bool]) -> None:
        self._exchange = exchange
        self.connection = None
        self._task = asyncio.get_running_loop().create_task(self._run(stage))
        # A task that is cancelled before its first step leaves the stage unstarted.
        self._task.add_done_callback(lambda _: stage.close())

    def release(self) -> None:
        self._task.cancel()

    async def _run(self, stage: Coroutine[Any, Any, bool]) -> None:
        exchange = self._exchange
        try:
            is_decided = await stage
            if is_decided and not exchange.is_finished:
                exchange.wait_for(None)
                exchange.advance()
        except Exception:
            local_reply.fail(exchange)


def suspend(exchange: Exchange, stage: Coroutine[Any, Any, bool]) -> bool:
    """Run the rest of a stage as a task; returns False, so that a stage can end with `return suspend(...)`.

    The coroutine returns as a stage does: True, and the next stage follows; False, and it has ended the exchange.
    """
    exchange.wait_for(Suspension(exchange, stage))
    return False


def await_body(exchange: Exchange, limit: int, decide: Callable[[bytes], bool]) -> bool:
    """Call `decide` with the whole body, at most `limit` bytes; a stage can end with `return await_body(...)`.

    `decide` returns as a stage does. A body of more than `limit` bytes ends the exchange with 413.
    """
    block = exchange.head.block
    body = exchange.body
    if block.content_length > limit or (body is not None and body.size > limit):
        return local_reply.refuse(exchange, problems.BODY_TOO_LARGE)

    def on_complete(content: bytes) -> None:
        try:
            if decide(content):
                exchange.advance()
        except Exception:
            local_reply.fail(exchange)

    if block.expects_continue and not exchange.is_request_complete:
        exchange.client.write(serialize.CONTINUE)
    exchange.gate_body(on_complete, limit)
    return False
