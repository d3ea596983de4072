"""Waiting: the value of the condition, the deadline, the message."""

import asyncio
import threading
from time import monotonic

import pytest

from inferway_testing.until import until, until_async


def test_until_returns_the_value_of_the_condition() -> None:
    values = iter([0, "", [], "value"])
    assert until(lambda: next(values), "a value") == "value"
    values = iter([None, 7])
    assert asyncio.run(until_async(lambda: next(values), "a value")) == 7


def test_until_fails_after_its_deadline_with_the_message() -> None:
    began = monotonic()
    with pytest.raises(AssertionError, match=r"^not within 0\.1 s: the end$"):
        until(lambda: False, "the end", 0.1)
    assert 0.1 <= monotonic() - began < 2
    with pytest.raises(AssertionError, match="the latest state"):
        asyncio.run(until_async(lambda: False, lambda: "the latest state", 0.1))


def test_until_async_lets_the_loop_run() -> None:
    async def scenario() -> None:
        event = asyncio.Event()
        asyncio.get_running_loop().call_later(0.02, event.set)
        await until_async(event.is_set, "the event")

    asyncio.run(scenario())


def test_until_sees_changes_of_other_threads() -> None:
    event = threading.Event()
    threading.Timer(0.02, event.set).start()
    until(event.is_set, "the event")
