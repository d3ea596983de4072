"""What is observed of the cluster: an entry of every object of every kind, and what has changed since it was asked.

kopf brings the objects, by listing and watching. They are kept here and not in kopf's indexes for two reasons
(docs/decisions/0007): an index forgets nothing that was deleted while a watch had to list again (410 Gone), so that the
object would be served for ever; and with indexes kopf holds every object back until all are indexed, in a way that takes
the square of their number.

Two things are not known from watching alone, and the documents depend on both (K2): whether everything was listed that
exists, and whether everything still exists that was. So `auditing` compares the entries with lists of its own: before
anything is published, whenever kopf lists again, and from time to time.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, ValuesView
from dataclasses import replace
from typing import Any

from inferway_contract.acknowledgement import LEASE_SECONDS
from inferway_operator.watch.kinds import (
    KINDS,
    LEASES,
    PODS,
    SERVICES,
    SLICES,
    CachedObject,
    Manifest,
    WatchedKind,
    cached_object,
)
from inferway_operator.world.objects import ServiceObject, SliceObject
from inferway_operator.world.pods import LeaseState, PodState

Listed = Mapping[str, str]
"""A list of the API server: resourceVersions by uid."""


class ObjectCache:
    """Entries of every kind, and whether they have changed."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, CachedObject]] = {kind.id: {} for kind in KINDS}
        self._uids: dict[tuple[str, str, str], str] = {}
        """By kind, namespace and name."""
        self._heard: dict[str, float] = {}
        self._first_seen: dict[str, float] = {}
        self._listed_leases: frozenset[str] | None = None
        self._excused = float("-inf")
        self._waiting = asyncio.Event()
        self._first_mark = 0.0
        self._last_mark = 0.0
        self.is_world_dirty = True
        """Something that the compiler looks at has changed."""
        self.has_lost_ours = False
        """A route or policy is gone: deleted, or its definition."""
        self.named_services: frozenset[str] | None = None
        """Ids of the Services that routes name; the changes of others are kept and wake nobody. None = all may matter."""
        self.listed_again_at: float | None = None
        """When (monotonic) kopf was first seen to list since the last audit; None = it was not."""
        self.relisting = asyncio.Event()
        """It was."""

    def entries(self, kind: WatchedKind) -> ValuesView[CachedObject]:
        """All objects of the kind."""
        return self._entries[kind.id].values()

    def has(self, kind: WatchedKind, uid: str, version: str) -> bool:
        """Whether this version of an object has been seen, or a newer one."""
        return _is_seen(self._entries[kind.id].get(uid), version)

    def leases(self) -> list[LeaseState]:
        """What pods say of themselves, renewed when that was heard here (monotonic seconds), not when they say it was.

        Clocks of nodes differ, so a pod's own time is compared with nothing but itself; leader elections do the same. So a
        Lease that is merely there was renewed nobody knows when: its next renewal is awaited from then on.
        """
        return [
            replace(
                found.value,
                renewed=self._heard.get(found.uid, float("-inf")),
                awaited_since=max(self._first_seen[found.uid], self._excused),
            )
            for found in self.entries(LEASES)
        ]

    def pods(self) -> list[PodState]:
        """The data plane's; each is awaited from when it was seen to be Ready, or since somebody can hear it."""
        return [
            replace(found.value, ready_since=max(found.value.ready_since, self._excused))
            for found in self.entries(PODS)
        ]

    @staticmethod
    def _since(before: CachedObject | None, now: CachedObject) -> CachedObject:
        was_ready = before is not None and before.value.is_ready
        since = before.value.ready_since if before is not None and was_ready else time.monotonic()
        return replace(now, value=replace(now.value, ready_since=since))

    def excuse_silence(self) -> None:
        """Who could not ask the API server until now has heard of nobody, and pods could not renew: all are awaited anew."""
        self._excused = time.monotonic()

    # --- changes ----------------------------------------------------------------------------------------------------

    def notice(self, kind: WatchedKind, manifest: Manifest) -> None:
        """An object looks like this. Wakes whoever waits, if anything in it matters."""
        known = self._entries[kind.id]
        uid = manifest["metadata"]["uid"]
        before = known.get(uid)
        now = cached_object(kind, manifest, before)
        if kind is PODS:
            now = self._since(before, now)
        # One name has one object: the other one was deleted, and while kopf lists again nobody may tell of it.
        namesake = known.get(self._uids.get(_key(kind, now), uid))
        if namesake is not None and namesake.uid != uid:
            if _is_older(now, namesake):
                return
            self.forget(kind, namesake.uid)
        self._uids[_key(kind, now)] = uid
        known[uid] = now
        is_proof = kind is LEASES and self._hear(before, now)
        if before is None or _telling(before) != _telling(now) or is_proof:
            self._mark(kind, before, now)

    def _hear(self, before: CachedObject | None, now: CachedObject) -> bool:
        """Note when a Lease was heard of; whether that is news, for it had not been heard of for too long."""
        moment = time.monotonic()
        if before is None:
            self._first_seen[now.uid] = moment
            # What a list brings may have been written at any time. What was not in the last one is younger than that.
            is_renewed = self._listed_leases is not None and now.uid not in self._listed_leases
        else:
            is_renewed = before.value.renewed != now.value.renewed
        if not is_renewed:
            return False
        was = self._heard.get(now.uid, float("-inf"))
        self._heard[now.uid] = moment
        return moment - was > LEASE_SECONDS

    def forget(self, kind: WatchedKind, uid: str) -> None:
        """An object is gone."""
        before = self._entries[kind.id].pop(uid, None)
        self._heard.pop(uid, None)
        self._first_seen.pop(uid, None)
        if before is not None:
            if self._uids.get(_key(kind, before)) == uid:
                del self._uids[_key(kind, before)]
            self.has_lost_ours |= kind.is_ours
            self._mark(kind, before)

    def _mark(self, kind: WatchedKind, *versions: CachedObject | None) -> None:
        if self.named_services is None or kind not in (SERVICES, SLICES):
            self.mark(is_world=kind is not LEASES)
        elif any(_service(version) in self.named_services for version in versions):
            self.mark(is_world=True)

    def notice_listing(self) -> None:
        """kopf lists a kind, for the first time or again."""
        if self.listed_again_at is None:
            self.listed_again_at = time.monotonic()
            self.relisting.set()

    def mark(self, *, is_world: bool) -> None:
        """Something is to be done."""
        self.is_world_dirty |= is_world
        self._last_mark = time.monotonic()
        if not self._waiting.is_set():
            self._first_mark = self._last_mark
            self._waiting.set()

    async def wait(self, hold_off: float, max_hold_off: float, most: float | None = None) -> None:
        """Until something changed and then nothing did for `hold_off`, or at most `max_hold_off` after the first change.

        Returns after `most` too (all in seconds; None = never).
        """
        try:
            async with asyncio.timeout(most):
                await self._waiting.wait()
        except TimeoutError:
            return
        while True:
            until = min(self._last_mark + hold_off, self._first_mark + max_hold_off)
            rest = until - time.monotonic()
            if rest <= 0:
                break
            await asyncio.sleep(rest)
        self._waiting.clear()

    # --- audits -----------------------------------------------------------------------------------------------------

    def uids(self, kind: WatchedKind) -> frozenset[str]:
        """Of all objects. Taken before a list is asked for: what is among them and not in the list is gone."""
        return frozenset(self._entries[kind.id])

    def audit(self, kind: WatchedKind, before: Iterable[str], listed: Listed) -> list[str]:
        """Forget what is gone; the uids that are missing here, or older than in the list: kopf is behind with them."""
        if kind is LEASES:
            self._listed_leases = frozenset(listed)
        for uid in before:
            if uid not in listed:
                self.forget(kind, uid)
        return [uid for uid, version in listed.items() if not self.has(kind, uid, version)]


def _telling(found: CachedObject) -> Any:
    """What must be equal so that nothing has happened: a Lease that is renewed says nothing new."""
    if isinstance(found.value, LeaseState):
        return replace(found.value, renewed=0.0)
    if isinstance(found.value, PodState):
        return replace(found.value, ready_since=0.0)
    return (found.generation, found.value)


def _service(found: CachedObject | None) -> str:
    """Which Service a Service or EndpointSlice is about; "" = none."""
    match found.value if found is not None else None:
        case ServiceObject(id=service) | SliceObject(service=service):
            return service
        case _:
            return ""


def _key(kind: WatchedKind, found: CachedObject) -> tuple[str, str, str]:
    return (kind.id, found.namespace, found.name)


def _is_older(one: CachedObject, other: CachedObject) -> bool:
    """Which of two objects of one name came first. Of one second, the versions tell (see `_is_seen`)."""
    if one.created != other.created:
        return one.created < other.created
    return one.version.isdecimal() and other.version.isdecimal() and int(one.version) < int(other.version)


def _is_seen(found: CachedObject | None, version: str) -> bool:
    """Versions of one kind are numbers that grow (KEP-5504 made it a promise); anything else is seen when it is equal."""
    if found is None:
        return False
    if found.version.isdecimal() and version.isdecimal():
        return int(found.version) >= int(version)
    return found.version == version
