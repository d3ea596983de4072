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
from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import Any, Final, ParamSpec

import kopf
from kopf._cogs.clients import watching
from kopf._core.reactor import observation, queueing

from inferway_operator import attempts, following, leadership, outages, rediscovering, running

logger = logging.getLogger(__name__)

PAUSE: Final = 2.0
"""Seconds before it begins again: what fails always costs the API server one list in so many."""

LAST: Final = 5.0
"""Seconds that kopf has to end by itself, once all of ours has ended."""

SEAM: Final[tuple[tuple[ModuleType, str], ...]] = (
    (queueing, "watcher"),  # of one kind in one namespace
    (observation, "namespace_observer"),  # which namespaces there are
    (observation, "resource_observer"),  # which kinds there are
)
"""What is replaced in kopf. It calls them by these names of these modules."""

P = ParamSpec("P")


def begun_again(begin: Callable[P, Coroutine[Any, Any, None]], pause: float = PAUSE) -> Callable[P, Any]:
    """The same task, without an end but being cancelled."""

    @functools.wraps(begin)
    async def forever(*args: P.args, **kwargs: P.kwargs) -> None:
        own = asyncio.current_task()
        while True:
            # A task of its own: kopf cancels the one that watches when a worker fails, and means to end with an error.
            attempt = asyncio.create_task(begin(*args, **kwargs))
            try:
                await attempt
            except kopf.LoginError:
                raise  # 401: kopf never tries the same credentials again, and would be deaf for ever; another process does
            except Exception as error:
                if own is not None and own.cancelling():
                    raise
                what = str(kwargs.get("resource") or begin.__name__)
                kind = outages.kind_of(error)
                told = {"outage": kind if kind in outages.WORDS else what.partition(".")[0]}
                logger.warning("%s failed; will begin again: %s", what, repr(error), exc_info=_trace(error), extra=told)
            await asyncio.sleep(pause)

    return forever


def install() -> None:
    """Make kopf's tasks endure, and its words about an outage few. Once, before it starts any of them."""
    observe = functools.partial(rediscovering.observe_resources, observation.resource_observer)
    observation.resource_observer = functools.wraps(observation.resource_observer)(observe)
    for module, name in SEAM:
        setattr(module, name, begun_again(getattr(module, name)))
    told = outages.Outages()
    for speaker in (watching, observation, attempts, following, leadership, rediscovering, running):
        speaker.logger.addFilter(told)
    logger.addFilter(told)


def end_at_last() -> None:
    """End the process in a moment, whatever kopf does: it waits for ever for credentials where one of several watches was
    refused (401) and others were about to ask again. Nothing of ours is under way any more when this is called."""
    last = threading.Timer(LAST, _end)
    last.daemon = True
    last.start()


def _end() -> None:
    logger.critical("kopf did not end within %s s; ending without it", LAST)
    os._exit(1)


def _trace(error: Exception) -> BaseException | None:
    """kopf says so where an event could not be worked on at all; what is behind it is what must be known."""
    return error if isinstance(error, RuntimeError) and error.__cause__ is not None else None
