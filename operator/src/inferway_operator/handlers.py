"""The kopf surface: startup, cleanup, and the events of our two kinds.

    kopf run --all-namespaces -m inferway_operator.handlers

That is the command which `python -m inferway_operator` supervises. kopf writes nothing: only event handlers, which need
neither finalizers nor a last-handled annotation, and no peering. The objects themselves come by reflectors
(`watch/reflectors.py`); an event of kopf is a second sign that one has changed (docs/decisions/0009).
"""

import asyncio
import itertools
import logging
import os
import threading
from collections.abc import Iterator
from typing import Any, Final

import kopf

from inferway_operator import supervisor
from inferway_operator.process import Operator
from inferway_operator.settings import HttpSettings, OperatorSettings, refuse_unknown
from inferway_operator.watch.kinds import POLICIES, ROUTES, WatchedKind

INACTIVITY: Final = 50.0
"""Seconds. A watch that brings nothing for this time, not even a bookmark, is opened again where it was: it may be frozen."""
LAST: Final = 8.0
"""Seconds that kopf has to end after the operator has stopped."""


class _Backoffs:
    """Seconds between attempts; without an end, as kopf gives up the whole operator with a request that it gives up."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((0.2, 0.5, 1.0), itertools.repeat(2.0))


def limit_log() -> None:
    """Drop kopf's lines, except those about its activities and about errors in a handler of an object."""
    # It logs every attempt of every watch. The reflectors meet the same outages, and log each of them once.
    logging.getLogger("kopf").setLevel(logging.CRITICAL)
    logging.getLogger("kopf.activities").setLevel(logging.WARNING)
    logging.getLogger("kopf.objects").setLevel(logging.ERROR)


# PERMANENT, or kopf would try again in a minute, and seem to run meanwhile.
@kopf.on.startup(errors=kopf.ErrorsMode.PERMANENT)
async def start(settings: kopf.OperatorSettings, memo: Any, **_: Any) -> None:
    """Configure kopf and begin to wait for the Lease."""
    memo.first_tasks = asyncio.all_tasks()
    refuse_unknown(os.environ)
    settings.peering.standalone = True
    settings.posting.enabled = False  # status/writer.py writes Events
    settings.watching.inactivity_timeout = INACTIVITY
    settings.watching.connect_timeout = 5.0
    settings.networking.connect_timeout = 5.0
    settings.networking.request_timeout = 30.0
    settings.networking.error_backoffs = _Backoffs()
    settings.queueing.idle_timeout = 1.0
    limit_log()
    memo.operator = Operator(OperatorSettings(), HttpSettings())
    await memo.operator.start()
    supervisor.report_start()


@kopf.on.cleanup()
async def stop(memo: Any, **_: Any) -> None:
    """Stop working, so that another operator may at once. Raises when a bug is the reason: the exit code is 1 then."""
    operator: Operator = memo.operator
    failure = operator.failure()
    await operator.stop()
    # Requests that kopf has left under way: it would wait 5 s for them.
    for task in asyncio.all_tasks() - {*memo.first_tasks, asyncio.current_task()}:
        task.cancel()
    last = threading.Timer(LAST, os._exit, (1,))
    last.daemon = True
    last.start()
    if failure:
        raise kopf.PermanentError(failure)


def _watch(kind: WatchedKind) -> None:
    """Notice all events of a kind."""

    @kopf.on.event(group=kind.group, version=kind.versions[0], plural=kind.plural, id=f"notice-{kind.id}")
    async def notice(type: str | None, body: kopf.Body, uid: str, memo: Any, **_: Any) -> None:  # noqa: A002 - kopf's
        operator: Operator = memo.operator
        if operator.settings.watches(body.metadata.namespace or ""):
            version = "" if type == "DELETED" else str(body.metadata["resourceVersion"])
            operator.reflectors.expect(kind, uid, version)


for _kind in (ROUTES, POLICIES):
    _watch(_kind)
