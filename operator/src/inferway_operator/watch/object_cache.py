"""What is observed of the cluster: every object of every kind, and what has changed since it was last asked.

Reflectors feed it (`reflectors`), each a part of its own: a list replaces what the part held, so an object that was deleted
during an outage goes too (docs/decisions/0009).
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence, ValuesView
from dataclasses import replace
from typing import Any, Final

from inferway_contract.acknowledgement import LEASE_SECONDS
from inferway_contract.document import Policy
from inferway_operator.watch.kinds import (
    GRANTS,
    KINDS,
    LEASES,
    NAMESPACES,
    PODS,
    POLICIES,
    ROUTES,
    SERVICES,
    SLICES,
    CachedObject,
    Manifest,
    WatchedKind,
    cached_object,
    is_newer,
)
from inferway_operator.world.objects import ServiceObject
from inferway_operator.world.pods import LeaseState, PodState
from inferway_operator.world.stored_slices import StoredSlice
from inferway_operator.world.world import Settings, World

_TURN: Final = 0.01
"""Seconds of parsing a list before other tasks have a turn. The largest object takes twice as long."""


class ObjectCache:
    """Objects of every kind, and whether they have changed."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, CachedObject]] = {kind.id: {} for kind in KINDS}
        self._renewed: dict[str, float] = {}
        self._first_seen: dict[str, float] = {}
        self.are_leases_listed = False
        self._excused = float("-inf")
        self._waiting = asyncio.Event()
        self._first_mark = 0.0
        self._last_mark = 0.0
        self.is_world_dirty = True
        """Something that the compiler looks at has changed."""
        self.has_lost_ours = False
        """A route or policy is gone, or about to go: deleted, or its definition."""
        self.on_status: Callable[[CachedObject], None] = lambda entry: None
        """Called when the status of a known route or policy has changed, also by a write of this operator."""
        self.named_services: frozenset[str] | None = None
        """Ids of the Services that routes name; changes of others do not wake the reconciler. None = all do."""

    def find(self, kind: WatchedKind, uid: str) -> CachedObject | None:
        """Return an object by its uid."""
        return self._entries[kind.id].get(uid)

    def entries(self, kind: WatchedKind) -> ValuesView[CachedObject]:
        """All objects of the kind."""
        return self._entries[kind.id].values()

    def world(self, settings: Settings, last_published: Mapping[str, Policy], replicas: int) -> World:
        """Return a snapshot for the compiler; the parameters are those fields of it that are not observed."""

        def values(kind: WatchedKind) -> tuple[Any, ...]:
            # None is what cannot be read of Kubernetes' own kinds.
            return tuple(
                entry.value for entry in self.entries(kind) if entry.value is not None and not entry.is_deleted
            )

        return World(
            settings=settings,
            routes=values(ROUTES),
            policies=values(POLICIES),
            services=values(SERVICES),
            slices=values(SLICES),
            grants=tuple(grant for grants in values(GRANTS) for grant in grants),
            # One that is being deleted counts until the end: its objects leave the config.
            namespaces=tuple(entry.value for entry in self.entries(NAMESPACES) if entry.value is not None),
            last_published=last_published,
            replicas=replicas,
        )

    def is_current(self, kind: WatchedKind, uid: str, version: str) -> bool:
        """Whether the cache holds this version of an object, or a newer one; "" = whether it holds none."""
        entry = self._entries[kind.id].get(uid)
        if entry is None or not version:
            return entry is None and not version
        return not is_newer(version, entry.version)

    def leases(self) -> list[LeaseState]:
        """Return the pods' Leases, with the time at which a renewal arrived here (monotonic seconds).

        Clocks of nodes differ, so a pod's own time is compared with itself only, as leader elections do. The time of the
        renewal in a first list is unknown; the next renewal is awaited from then on.
        """
        return [
            replace(
                entry.value,
                renewed=self._renewed.get(entry.uid, float("-inf")),
                awaited_since=max(self._first_seen[entry.uid], self._excused),
            )
            for entry in self.entries(LEASES)
        ]

    def pods(self) -> list[PodState]:
        """Return the data plane's pods. The grace period of each begins when it is Ready, or at the end of an outage."""
        return [
            replace(entry.value, ready_since=max(entry.value.ready_since, self._excused))
            for entry in self.entries(PODS)
        ]

    def excuse_silence(self) -> None:
        """Restart every pod's grace period: during an outage neither side could communicate."""
        self._excused = time.monotonic()

    # --- changes ----------------------------------------------------------------------------------------------------

    def notice(self, kind: WatchedKind, manifest: Manifest) -> None:
        """Take an object's present state. Wakes `wait` if a relevant part differs."""
        known = self._entries[kind.id]
        uid = manifest["metadata"]["uid"]
        before = known.get(uid)
        if before is not None and before.version == manifest["metadata"]["resourceVersion"]:
            return  # listed again
        now = cached_object(kind, manifest, before)
        if kind is PODS:
            was_ready = before is not None and before.value.is_ready
            since = before.value.ready_since if before is not None and was_ready else time.monotonic()
            now = replace(now, value=replace(now.value, ready_since=since))
        known[uid] = now
        if kind.is_ours and before is not None and before.status != now.status:
            self.on_status(now)
        if kind.is_ours and now.is_deleted and not (before is not None and before.is_deleted):
            self.has_lost_ours = True
        is_proof = kind is LEASES and self._note_renewal(before, now)
        if before is None or _relevant(before) != _relevant(now) or is_proof:
            self._mark(kind, before, now)

    def _note_renewal(self, before: CachedObject | None, now: CachedObject) -> bool:
        """Note the time of a renewal. Returns whether the Lease had expired before it."""
        moment = time.monotonic()
        if before is None:
            self._first_seen[now.uid] = moment
            # What the first list brings may have been written at any time. What comes later is younger than that list.
            is_renewed = self.are_leases_listed
        else:
            is_renewed = before.value.renewed != now.value.renewed
        if not is_renewed:
            return False
        last = self._renewed.get(now.uid, float("-inf"))
        self._renewed[now.uid] = moment
        return moment - last > LEASE_SECONDS

    def forget(self, kind: WatchedKind, uid: str) -> None:
        """Drop an object."""
        before = self._entries[kind.id].pop(uid, None)
        self._renewed.pop(uid, None)
        self._first_seen.pop(uid, None)
        if before is not None:
            self.has_lost_ours |= kind.is_ours
            self._mark(kind, before)

    def _mark(self, kind: WatchedKind, *versions: CachedObject | None) -> None:
        if self.named_services is None or kind not in (SERVICES, SLICES):
            self.mark(is_world=kind is not LEASES)
        elif any(_service(version) in self.named_services for version in versions):
            self.mark(is_world=True)

    def mark(self, *, is_world: bool) -> None:
        """Wake `wait`; `is_world`: the compiler's input has changed."""
        self.is_world_dirty |= is_world
        self._last_mark = time.monotonic()
        if not self._waiting.is_set():
            self._first_mark = self._last_mark
            self._waiting.set()

    async def wait(self, hold_off: float, max_hold_off: float, most: float | None = None) -> None:
        """Wait for a change and then for `hold_off` without one, at most `max_hold_off` after the first change.

        Returns after `most` too (all in seconds; None = never).
        """
        try:
            async with asyncio.timeout(most):
                await self._waiting.wait()
        except TimeoutError:
            return
        while True:
            rest = min(self._last_mark + hold_off, self._first_mark + max_hold_off) - time.monotonic()
            if rest <= 0:
                break
            await asyncio.sleep(rest)
        self._waiting.clear()


class Part:
    """What one reflector feeds: the objects of a kind, or those of them in one namespace (its `Store`)."""

    def __init__(self, cache: ObjectCache, kind: WatchedKind) -> None:
        self._cache = cache
        self._kind = kind
        self._uids: set[str] = set()

    async def replace(self, manifests: Sequence[Manifest]) -> None:
        """The part holds exactly these objects. Parsing some thousand of them takes seconds, which others need as well."""
        for uid in self._uids - {manifest["metadata"]["uid"] for manifest in manifests}:
            self._forget(uid)
        began = time.monotonic()
        for manifest in manifests:
            self.upsert(manifest)
            if time.monotonic() - began > _TURN:
                await asyncio.sleep(0)
                began = time.monotonic()
        self._cache.are_leases_listed |= self._kind is LEASES

    def upsert(self, manifest: Manifest) -> None:
        """An object was created, or changed."""
        self._uids.add(manifest["metadata"]["uid"])
        self._cache.notice(self._kind, manifest)

    def remove(self, manifest: Manifest) -> None:
        """An object was deleted."""
        self._forget(manifest["metadata"]["uid"])

    def _forget(self, uid: str) -> None:
        self._uids.discard(uid)
        self._cache.forget(self._kind, uid)


def _relevant(entry: CachedObject) -> Any:
    """Return the part whose change is relevant; the time of a renewal is not."""
    if isinstance(entry.value, LeaseState):
        return replace(entry.value, renewed=0.0)
    if isinstance(entry.value, PodState):
        return replace(entry.value, ready_since=0.0)
    return (entry.generation, entry.value, entry.is_deleted)


def _service(entry: CachedObject | None) -> str:
    """Return the id of the Service that a Service or EndpointSlice is about; "" = none."""
    match entry.value if entry is not None else None:
        case ServiceObject(id=service) | StoredSlice(service=service):
            return service
        case _:
            return ""
