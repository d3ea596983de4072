"""kopf's tasks that must never end, so that they do not: whatever ends one but being cancelled, it begins again after a pause.

kopf (1.45) ends the whole process where a watch meets what its authors did not think of: an event of type ERROR that is not
410, 404, a proxy's page in place of JSON, a date in Retry-After. To begin again is to list again, which is right after any
of them, and `Observed` keeps what was known meanwhile. Decision 0008 says why it is done here and not by ending.
"""

import asyncio
import functools
import logging
import os
import threading
from collections.abc import Callable, Collection, Coroutine
from contextlib import AsyncExitStack
from contextvars import ContextVar
from types import ModuleType
from typing import Any, Final, ParamSpec

import kopf
from kopf._cogs.clients import watching
from kopf._core.reactor import observation, queueing

from inferway_operator import process
from inferway_operator.kopf_patches import rediscover_kinds
from inferway_operator.kube import leader_election, outage_log
from inferway_operator.reconcile import retry_loop, status_loop

logger = logging.getLogger(__name__)

PAUSE: Final = 2.0
"""Seconds before it begins again: what fails always costs the API server one list in so many."""

AGAIN: Final = 1.0
"""Seconds between two cancellations of an attempt that is to end: kopf loses one that meets the end of a stream."""

LAST: Final = 10.0
"""Seconds that kopf has to end by itself, once all of ours has ended. It waits 5 s for tasks of its own that are left, and
cancels them only then."""

P = ParamSpec("P")

_streams: ContextVar[AsyncExitStack] = ContextVar("streams")
"""Closes what the attempt that runs has opened."""


def begun_again(begin: Callable[P, Coroutine[Any, Any, None]], pause: float = PAUSE) -> Callable[P, Any]:
    """The same task, without an end but being cancelled."""

    @functools.wraps(begin)
    async def forever(*args: P.args, **kwargs: P.kwargs) -> None:
        what = str(kwargs.get("resource") or begin.__name__)
        while True:
            # A task of its own: kopf cancels the one that watches when a worker fails, and means to end with an error.
            attempt = asyncio.create_task(_attempt(lambda: begin(*args, **kwargs)), name=f"attempt of {what}")
            try:
                await asyncio.wait([attempt])
            except asyncio.CancelledError:
                await _end_of(attempt, what)
                raise
            error = _error(attempt)
            if isinstance(error, kopf.LoginError):
                raise error  # 401: kopf never tries the same credentials again, and would be deaf for ever; another process does
            kind = outage_log.kind_of(error)
            told = {"outage": kind if kind in outage_log.WORDS else what.partition(".")[0]}
            logger.warning("%s failed; will begin again: %s", what, repr(error), exc_info=_trace(error), extra=told)
            await asyncio.sleep(pause)

    return forever


def closed_after(watch: Callable[P, Any]) -> Callable[P, Any]:
    """The same stream, closed when the attempt ends. kopf leaves it to the garbage collector where not the stream fails but
    what is made of its events; it keeps a connection and a task, for which each stop would wait 5 s."""

    @functools.wraps(watch)
    def opened(*args: P.args, **kwargs: P.kwargs) -> Any:
        stream = watch(*args, **kwargs)
        _streams.get().push_async_callback(stream.aclose)
        return stream

    return opened


SEAM: Final[tuple[tuple[ModuleType, str, Callable[..., Any]], ...]] = (
    (queueing, "watcher", begun_again),  # of one kind in one namespace
    (observation, "namespace_observer", begun_again),  # which namespaces there are
    (observation, "resource_observer", begun_again),  # which kinds there are
    (watching, "infinite_watch", closed_after),  # what a watcher reads
)
"""What is replaced in kopf, and by what. It calls them by these names of these modules."""


def install() -> None:
    """Make kopf's tasks endure, and its words about an outage few. Once, before it starts any of them."""
    observe = functools.partial(rediscover_kinds.observe_resources, observation.resource_observer)
    observation.resource_observer = functools.wraps(observation.resource_observer)(observe)
    for module, name, replacement in SEAM:
        setattr(module, name, replacement(getattr(module, name)))
    told = outage_log.OutageLogFilter()
    for speaker in (watching, observation, retry_loop, status_loop, leader_election, rediscover_kinds, process):
        speaker.logger.addFilter(told)
    logger.addFilter(told)


def end_at_last(first: Collection[asyncio.Task[Any]]) -> None:
    """End what kopf has left under way, which is all but the tasks that it began with: it would wait 5 s for them. A scan of
    the API leaves its requests where a signal comes; and where one watch was refused (401), the others wait for credentials.

    And end the process in a moment, whatever kopf does. Nothing of ours is under way any more when this is called.
    """
    for task in asyncio.all_tasks() - {*first, asyncio.current_task()}:
        task.cancel()
    last = threading.Timer(LAST, _end, (asyncio.get_running_loop(),))
    last.daemon = True
    last.start()


def _end(loop: asyncio.AbstractEventLoop) -> None:
    left = ", ".join(sorted(task.get_name() for task in asyncio.all_tasks(loop)))
    logger.critical("kopf did not end within %s s; ending without it; left are: %s", LAST, left)
    os._exit(1)


async def _attempt(begin: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async with AsyncExitStack() as streams:
        _streams.set(streams)
        await begin()


async def _end_of(attempt: asyncio.Task[None], what: str) -> None:
    """Cancel it until it has ended. What it raises then is told, and is no reason to end otherwise than in order."""
    while not attempt.done():
        attempt.cancel()
        await asyncio.wait([attempt], timeout=AGAIN)
    if not attempt.cancelled() and (error := attempt.exception()) is not None:
        logger.warning("%s failed while it ended: %s", what, repr(error), exc_info=_trace(error))


def _error(attempt: asyncio.Task[None]) -> BaseException:
    """Why it ended, which it never should."""
    if attempt.cancelled():
        # By kopf itself: the time limit of a silent watch, when it is up while an event is handed on, cancels the watcher.
        return asyncio.CancelledError("it was cancelled from within")
    return attempt.exception() or RuntimeError("it ended without an error")


def _trace(error: BaseException) -> BaseException | None:
    """kopf says so where an event could not be worked on at all; what is behind it is what must be known."""
    return error if isinstance(error, RuntimeError) and error.__cause__ is not None else None
