"""The kopf surface: event handlers, startup and cleanup. They say that something changed, and decide nothing.

    kopf run --all-namespaces -m inferway_operator.handlers
    kopf run -n team-a -n team-b -n inferway-system -m inferway_operator.handlers    # INFERWAY_OPERATOR_NAMESPACES=team-a,team-b

kopf writes nothing: only event handlers, which need neither finalizers nor a last-handled annotation, and no
peering, which is no leader election (kube/leader_election.py).
"""

import asyncio
import gc
import itertools
import logging
import os
from collections.abc import Iterator
from typing import Any, Final

import kopf

from inferway_operator.kopf_patches import restart_watchers
from inferway_operator.process import Operator
from inferway_operator.settings import HttpSettings, OperatorSettings, refuse_unknown
from inferway_operator.watch.kinds import KINDS, LEASES, PODS, WatchedKind

INACTIVITY: Final = 50.0
"""Seconds. A watch that says nothing for so long, not even a bookmark, is opened again from where it was: so a frozen one is
noticed, also when the connection looks alive. The API server keeps events for at least 75 s, so nothing is lost by it."""


class _Backoffs:
    """Seconds between attempts; without an end, for kopf gives up a whole operator with a request that it gives up."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((0.2, 0.5, 1.0), itertools.repeat(2.0))


# PERMANENT, or kopf would try again in a minute, and seem to run meanwhile.
@kopf.on.startup(errors=kopf.ErrorsMode.PERMANENT)
async def start(settings: kopf.OperatorSettings, memo: Any, **_: Any) -> None:
    """Configure kopf and begin to wait for the Lease."""
    memo.first_tasks = asyncio.all_tasks()
    refuse_unknown(os.environ)
    told = OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False  # status/writer.py tells what is to be told
    settings.watching.inactivity_timeout = INACTIVITY
    settings.watching.connect_timeout = 5.0
    settings.networking.connect_timeout = 5.0
    settings.networking.request_timeout = 30.0
    settings.networking.error_backoffs = _Backoffs()
    settings.queueing.idle_timeout = 1.0
    for kind in (PODS, LEASES):
        key = (kind.group, kind.versions[0], kind.plural)
        settings.watching.label_selectors[key] = told.selector(kind.id)
        settings.watching.field_selectors[key] = f"metadata.namespace={told.namespace}"
    # It tells of every event of every object that a handler has succeeded; Leases have one every five seconds.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    # A compilation makes some hundred thousand objects, none of them a cycle. With Python's own thresholds the collector
    # walks through everything that is kept dozens of times meanwhile, and takes as long as the compiler itself.
    gc.set_threshold(100_000, 20, 20)
    memo.operator = Operator(told, HttpSettings())
    await memo.operator.start()


@kopf.on.cleanup()
async def stop(memo: Any, **_: Any) -> None:
    """Stop working, so that another operator may at once. Raises when a mistake of ours is why: the exit code is 1 then."""
    operator: Operator = memo.operator
    ailment = operator.ailment()
    await operator.stop()
    restart_watchers.end_at_last(memo.first_tasks)
    if ailment:
        raise kopf.PermanentError(ailment)


def _watch(kind: WatchedKind) -> None:
    """Notice all events of a kind."""
    # Of an optional kind the version is the API server's to choose.
    version = None if kind.is_optional else kind.versions[0]

    @kopf.on.event(group=kind.group, version=version, plural=kind.plural, id=f"notice-{kind.id}")
    async def notice(type: str | None, body: kopf.Body, uid: str, memo: Any, **_: Any) -> None:  # noqa: A002 - kopf's
        operator: Operator = memo.operator
        if not operator.is_relevant(kind, body.metadata.namespace or ""):
            return
        if type == "DELETED":
            operator.observed.forget(kind, uid)
            return
        operator.observed.notice(kind, dict(body))
        if type is None:
            operator.observed.notice_listing()


restart_watchers.install()
for _kind in KINDS:
    _watch(_kind)
