"""kopf's tasks that begin again, and its words about an outage: the seam itself. Against a real API server: _answers."""

import asyncio
import inspect
import logging
from types import CodeType
from typing import Any

import pytest
from kopf._cogs.clients import watching
from kopf._core.reactor import observation, orchestration, running

from inferway_operator.enduring import SEAM, begun_again
from inferway_operator.outages import QUIET, Outages


def _names(code: CodeType) -> set[str]:
    inner = (_names(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*inner)


def test_kopf_begins_the_tasks_by_the_names_that_are_replaced() -> None:
    """Fails when kopf calls them otherwise, and the seam has no effect any more."""
    for caller, module, name in (
        (orchestration.spawn_missing_watchers, "queueing", "watcher"),
        (inspect.unwrap(observation.namespace_observer), "queueing", "watcher"),
        (inspect.unwrap(observation.resource_observer), "queueing", "watcher"),
        (running.spawn_tasks, "observation", "namespace_observer"),
        (running.spawn_tasks, "observation", "resource_observer"),
    ):
        assert {module, name} <= _names(caller.__code__), caller
    for owner, name in SEAM:
        assert inspect.iscoroutinefunction(inspect.unwrap(getattr(owner, name))), name


@pytest.mark.case("K1")
def test_a_task_begins_again_until_it_is_cancelled() -> None:
    began: list[int] = []
    third = asyncio.Event()

    async def watch(*, resource: str) -> None:
        began.append(len(began))
        match len(began):
            case 1:
                raise ValueError(resource)
            case 2:  # what kopf does when a worker fails
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    raise RuntimeError("a worker failed") from None
            case _:
                third.set()
                await asyncio.Event().wait()

    async def run() -> None:
        task = asyncio.create_task(begun_again(watch, pause=0.0)(resource="routes"))
        async with asyncio.timeout(5):
            await third.wait()
            task.cancel()
            await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(run())
    assert len(began) == 3


def test_a_task_ends_when_its_end_fails() -> None:
    """Who is cancelled must end, whatever it raises then; or kopf would wait for it for ever."""

    async def watch() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RuntimeError("a worker failed") from None

    async def run() -> None:
        task = asyncio.create_task(begun_again(watch, pause=0.0)())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait([task])
        assert isinstance(task.exception(), RuntimeError)

    asyncio.run(run())


def line(text: str, **more: Any) -> logging.LogRecord:
    """A line of a log."""
    return logging.makeLogRecord({"msg": text, "args": (), **more})


def attempt(number: int, plural: str) -> logging.LogRecord:
    """kopf's words about an attempt."""
    url = f"https://127.0.0.1/apis/inferway.dev/v1alpha1/namespaces/team-{number}/{plural}?watch=true"
    return line(f"Request attempt #{number} failed; will retry: GET {url} -> ClientConnectorError(111)")


def test_kopf_tells_of_an_attempt_in_the_words_that_are_looked_for() -> None:
    from kopf._cogs.clients import api

    assert "Request attempt {idx} failed; will retry: {what} -> {e!r}" in inspect.getsource(api)
    assert watching.logger.name == "kopf._cogs.clients.watching"


def test_an_outage_is_told_once_a_minute_for_each_kind() -> None:
    now = [0.0]
    outages = Outages(lambda: now[0])
    assert outages.filter(attempt(1, "services"))
    assert outages.filter(attempt(1, "gatewayroutes"))
    for number in range(2, 12):
        now[0] += QUIET / 11
        assert not outages.filter(attempt(number, "services"))
    assert not outages.filter(line("services failed", outage="services"))
    now[0] = QUIET
    told = attempt(20, "services")
    assert outages.filter(told)
    assert told.getMessage().endswith("(and 11 times before, untold)")
    assert outages.filter(line("Something else"))
    assert outages.filter(line("Something else"))
