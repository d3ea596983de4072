"""After a publication: statuses are decided and written, and garbage is collected, in tasks of their own.

Neither a crowd of statuses nor an API server that refuses them may hold up the next publication. Only the newest outcome
counts. Both tasks look at the documents only while no publication is under way, or they would meet pods that acknowledge a
config which is not known here yet.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from inferway_contract.acknowledgement import RENEW_SECONDS
from inferway_kube.api_health import ApiHealth
from inferway_kube.client import Client
from inferway_kube.errors import ApiError
from inferway_operator.compiler import Compilation
from inferway_operator.metrics import OperatorMetrics
from inferway_operator.publish import plan as publish_plan
from inferway_operator.publish.config_maps import ConfigMaps
from inferway_operator.reconcile.data_plane_presence import DataPlanePresence
from inferway_operator.reconcile.term import Outcome
from inferway_operator.status import basis, dispatch, writer
from inferway_operator.status.acknowledgements import Acknowledgements
from inferway_operator.watch import kinds
from inferway_operator.watch.object_cache import ObjectCache
from inferway_operator.watch.reflectors import Reflectors

logger = logging.getLogger(__name__)

_FOREVER: Final = float("inf")


class StatusLoop:
    """Writes statuses and collects garbage, by the newest outcome."""

    def __init__(
        self,
        client: Client,
        cache: ObjectCache,
        reflectors: Reflectors,
        config_maps: ConfigMaps,
        metrics: OperatorMetrics,
        presence: DataPlanePresence,
        health: ApiHealth,
    ) -> None:
        self.documents = asyncio.Lock()
        """Held while what is published changes."""
        self._cache = cache
        self._reflectors = reflectors
        self._config_maps = config_maps
        self._metrics = metrics
        self._presence = presence
        self._health = health
        self._dispatch = dispatch.StatusDispatch(client, self._find)
        cache.on_status = self._dispatch.notice
        self._refreshed_at = -_FOREVER
        self._newest: Outcome | None = None
        self._decided: tuple[Compilation, str, str, object] | None = None
        """By what the last statuses were decided."""
        self._has_statuses, self._statuses_within = asyncio.Event(), _FOREVER
        self._has_garbage, self._garbage_within = asyncio.Event(), _FOREVER

    # --- the newest outcome ----------------------------------------------------------------------------------------------

    def set_outcome(self, outcome: Outcome) -> None:
        """This is the newest outcome."""
        self._newest = outcome
        self._has_statuses.set()
        self._has_garbage.set()

    def invalidate(self) -> None:
        """A publication is under way: until it sets its outcome there is none."""
        self._newest = None

    def begin_term(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """Forget the term before. Returns what is to be attempted over and over, by name."""
        self.invalidate()
        self._decided = None
        self._dispatch.reset()
        return {
            "statuses": self._update_statuses,
            "writes of statuses": self._dispatch.run,
            "garbage": self._sweep,
        }

    # --- statuses --------------------------------------------------------------------------------------------------------

    async def _update_statuses(self) -> None:
        await _wait(self._has_statuses, self._statuses_within)
        self._statuses_within = 0.0  # a failed attempt is repeated at once, not after the time of the last result
        self._statuses_within = await self._decide_statuses()

    async def _decide_statuses(self) -> float:
        """Return the seconds after which time alone may have changed them."""
        await self._refresh_leases()
        async with self.documents:
            outcome = self._newest
            acknowledged = Acknowledgements.of(self._cache, time.monotonic())
            if outcome is None:
                return _FOREVER
            configs = dict(outcome.term.configs)
        within = min(acknowledged.next_expiry, self._presence.note(len(acknowledged.counted), time.monotonic()))
        unpublished = outcome.wanted.unpublished
        decided_by = (
            outcome.wanted.compilation,
            outcome.revision,
            outcome.obstacle,
            (unpublished, acknowledged.counted),
        )
        if self._decided is not None and decided_by[0] is self._decided[0] and decided_by[1:] == self._decided[1:]:
            return within
        objects = self._objects()
        newest = basis.Basis(
            verdicts=basis.by_name(outcome.wanted.compilation.verdicts),
            fragments=outcome.wanted.parsed.fragments,
            too_large=outcome.wanted.too_large,
            unpublished=unpublished,
            obstacle=outcome.obstacle,
            revision=outcome.revision,
            configs=configs,
            acks=acknowledged.counted,
        )
        changed = await asyncio.to_thread(dispatch.changed_statuses, newest, objects)
        self._count(objects, changed)
        self._dispatch.offer(newest, [entry for _, entry in objects.values()], changed)
        self._decided = decided_by
        return within

    async def _refresh_leases(self) -> None:
        """List the Leases before a pod is called silent: it may be the watch that is frozen."""
        now = time.monotonic()
        if not Acknowledgements.of(self._cache, now).has_unresponsive or now - self._refreshed_at < RENEW_SECONDS:
            return
        try:
            await self._reflectors.refresh(kinds.LEASES)
        except ApiError as error:
            # Pods cannot reach the API server either: their grace periods begin again.
            self._cache.excuse_silence()
            self._health.failed(kinds.LEASES.plural, error)
        else:
            self._refreshed_at = time.monotonic()

    def _find(self, uid: str) -> tuple[str, kinds.CachedObject] | None:
        for name, kind in writer.KINDS.items():
            if (entry := self._cache.find(kind, uid)) is not None:
                return name, entry
        return None

    def _objects(self) -> Mapping[str, tuple[str, kinds.CachedObject]]:
        return {
            entry.uid: (name, self._dispatch.current(entry))
            for name, kind in writer.KINDS.items()
            for entry in self._cache.entries(kind)
            if not entry.is_deleted  # it has left the config: its last status stays
        }

    def _count(
        self, objects: Mapping[str, tuple[str, kinds.CachedObject]], changed: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Count the resources by their statuses, those that are about to be written included."""
        for kind in writer.KINDS:
            statuses = [changed.get(uid) or entry.status or {} for uid, (of, entry) in objects.items() if of == kind]
            programmed, refused = sum(map(writer.is_programmed, statuses)), sum(map(writer.is_refused, statuses))
            self._metrics.counted(kind, len(statuses), programmed, refused)

    # --- garbage ---------------------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        await _wait(self._has_garbage, self._garbage_within)
        self._garbage_within = 0.0
        self._garbage_within = await self._collect_garbage()

    async def _collect_garbage(self) -> float:
        """Return the seconds after which there may be some."""
        async with self.documents:
            outcome = self._newest
            if outcome is None or outcome.obstacle:
                return _FOREVER  # or it is unknown what a write that was refused has left
            term = outcome.term
            acknowledged = Acknowledgements.of(self._cache, time.monotonic())
            due, term.unneeded_since = publish_plan.garbage(
                term.published, term.configs, acknowledged.reported, term.unneeded_since, time.monotonic()
            )
        for name in due:
            async with self.documents:  # or the shard might be published again while it is being deleted
                if self._newest is not outcome:
                    return _FOREVER
                await self._config_maps.delete(name)
                term.published = replace(term.published, shards=term.published.shards - {name})
        return publish_plan.MIN_AGE if term.unneeded_since else _FOREVER


async def _wait(event: asyncio.Event, most: float) -> None:
    """Wait for the event, `most` seconds at most, and clear it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(most if most < _FOREVER else None):
            await event.wait()
    event.clear()
