"""Following: what follows a publication, in tasks of its own beside it - statuses, and garbage. A crowd of statuses or an API
server that refuses them must not hold up the next publication.

Only the newest outcome counts. Both tasks look at the documents only while no publication is under way, or pods would be
seen that acknowledge what nobody here knows yet.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from inferway_contract.acknowledgement import RENEW_SECONDS
from inferway_operator.compiler import Compilation
from inferway_operator.kube import client as kube_client
from inferway_operator.kube import outage_log
from inferway_operator.metrics import OperatorMetrics
from inferway_operator.publish import plan as publish_plan
from inferway_operator.publish.config_maps import Store
from inferway_operator.publish.published_state import ParsedConfig
from inferway_operator.reconcile import retry_loop
from inferway_operator.reconcile.data_plane_presence import DataPlanePresence
from inferway_operator.reconcile.term import Outcome
from inferway_operator.status import decision, writer
from inferway_operator.status.acknowledgements import Acknowledgements, carried
from inferway_operator.status.writer import Change, StatusWriter
from inferway_operator.watch import kinds
from inferway_operator.watch.object_cache import ObjectCache
from inferway_operator.watch.resync import Resync

logger = logging.getLogger(__name__)

_MOST_WRITES: Final = 200
"""Statuses that are written before somebody looks whether there is a newer outcome."""
_KINDS: Final = (("GatewayRoute", kinds.ROUTES), ("RateLimitPolicy", kinds.POLICIES))
_FOREVER: Final = float("inf")


class StatusLoop:
    """Writes statuses and collects garbage, by the newest outcome."""

    def __init__(
        self,
        client: kube_client.Kube,
        observed: ObjectCache,
        auditor: Resync,
        store: Store,
        metrics: OperatorMetrics,
        attendance: DataPlanePresence,
    ) -> None:
        self.documents = asyncio.Lock()
        """Held by whoever changes what is published."""
        self._observed = observed
        self._auditor = auditor
        self._store = store
        self._metrics = metrics
        self._attendance = attendance
        self._statuses = StatusWriter(client)
        self._listened = -_FOREVER
        self._newest: Outcome | None = None
        self._judged: tuple[Compilation, str, object] | None = None
        """By what the last statuses were decided that were all written."""
        self._to_tell, self._tell_within = asyncio.Event(), _FOREVER
        self._to_sweep, self._sweep_within = asyncio.Event(), _FOREVER

    # --- the newest outcome ----------------------------------------------------------------------------------------------

    def hand_over(self, outcome: Outcome) -> None:
        """This is the newest outcome."""
        self._newest = outcome
        self._to_tell.set()
        self._to_sweep.set()

    def withdraw(self) -> None:
        """There is none until one is handed over: a publication is under way."""
        self._newest = None

    async def run(self) -> None:
        """For a term: until cancelled."""
        self.withdraw()
        self._judged = None
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(retry_loop.retry_forever(self._tell, "statuses", self._observed), name="statuses")
            tasks.create_task(retry_loop.retry_forever(self._sweep, "garbage", self._observed), name="garbage")

    # --- statuses --------------------------------------------------------------------------------------------------------

    async def _tell(self) -> None:
        await _wait(self._to_tell, self._tell_within)
        self._tell_within = 0.0  # until it is done, it is to be done
        self._tell_within = await self._write_statuses()

    async def _write_statuses(self) -> float:
        """Returns after how many seconds time alone may have changed them."""
        await self._listen()
        async with self.documents:
            outcome = self._newest
            said = Acknowledgements.of(self._observed, time.monotonic())
            if outcome is None:
                return _FOREVER
            configs = dict(outcome.term.configs)
        within = min(said.next_expiry, self._attendance.note(len(said.counted), time.monotonic()))
        judged = (outcome.compilation, outcome.revision, said.counted)
        if self._judged is not None and judged[0] is self._judged[0] and judged[1:] == self._judged[1:]:
            return within
        objects = self._objects()
        changes = await asyncio.to_thread(_decide, outcome, said, configs, objects)
        self._count(objects, changes)
        for first in range(0, len(changes), _MOST_WRITES):
            await self._statuses.write(changes[first : first + _MOST_WRITES])
            if self._newest is not outcome:
                return _FOREVER  # a newer one is handed over, or will be
        self._judged = judged
        return within

    async def _listen(self) -> None:
        """Nobody is called silent before the API server was asked."""
        now = time.monotonic()
        if not Acknowledgements.of(self._observed, now).has_unresponsive or now - self._listened < RENEW_SECONDS:
            return
        try:
            await self._auditor.listen()
        except kube_client.KubeError as error:
            # And nobody is silent: see `Auditor.listen`.
            logger.warning("%s", error, extra={"outage": outage_log.kind_of(error)})
        else:
            self._listened = time.monotonic()

    def _objects(self) -> Mapping[tuple[str, str], kinds.CachedObject]:
        found = {
            (kind_name, entry.id): self._statuses.current(entry)
            for kind_name, kind in _KINDS
            for entry in self._observed.entries(kind)
        }
        self._statuses.forget(entry.uid for entry in found.values())
        return found

    def _count(self, objects: Mapping[tuple[str, str], kinds.CachedObject], changes: Iterable[Change]) -> None:
        """How the resources are, with the changes that are about to be written."""
        newer = {change.entry.uid: change.status for change in changes}
        for kind, _ in _KINDS:
            found = [newer.get(entry.uid, entry.status) or {} for (of, _), entry in objects.items() if of == kind]
            self._metrics.counted(kind, len(found))
            self._metrics.judged(
                kind,
                programmed=sum(writer.is_programmed(one) for one in found),
                refused=sum(writer.is_refused(one) for one in found),
            )

    # --- garbage ---------------------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        await _wait(self._to_sweep, self._sweep_within)
        self._sweep_within = 0.0
        self._sweep_within = await self._collect_garbage()

    async def _collect_garbage(self) -> float:
        """Returns after how many seconds there may be some."""
        async with self.documents:
            outcome = self._newest
            if outcome is None:
                return _FOREVER
            term = outcome.term
            said = Acknowledgements.of(self._observed, time.monotonic())
            due, term.unneeded_since = publish_plan.garbage(
                term.published, term.configs, said.reported, term.unneeded_since, time.monotonic()
            )
        for name in due:
            async with self.documents:  # or the shard might be published anew while it is being deleted
                if self._newest is not outcome:
                    return _FOREVER
                await self._store.delete(name)
                term.published = replace(term.published, shards=term.published.shards - {name})
        return publish_plan.MIN_AGE if term.unneeded_since else _FOREVER


async def _wait(event: asyncio.Event, most: float) -> None:
    """Until the event, or so many seconds; then it has not happened any more."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(most if most < _FOREVER else None):
            await event.wait()
    event.clear()


def _decide(
    outcome: Outcome,
    said: Acknowledgements,
    configs: Mapping[str, ParsedConfig],
    objects: Mapping[tuple[str, str], kinds.CachedObject],
) -> Sequence[Change]:
    now = datetime.now(UTC)
    changes = []
    for verdict in outcome.compilation.verdicts:
        meta = verdict.meta
        entry = objects.get((meta.kind, meta.id))
        if entry is None or entry.value.meta != meta:
            continue  # deleted, or newer than what was compiled: the next round is under way
        key = f"{meta.kind}/{meta.id}"
        decided = decision.decide(
            verdict,
            outcome.wanted.parsed.fragments.get(key, ""),
            carried(key, configs),
            outcome.revision,
            said.counted,
            entry.status,
            now,
            outcome.wanted.too_large.get(key, ""),
        )
        if decided is not None:
            changes.append(Change(meta.kind, entry, decided))
    return changes
