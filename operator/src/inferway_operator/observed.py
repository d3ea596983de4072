"""What is observed of the cluster: kopf's indexes without what is known to be gone, and what has changed since it was asked.

kopf keeps the indexes by watching. There are two things that it does not do, and the document depends on both (K2):

- Nothing here is complete until every kind was listed. kopf calls no event handler before it has indexed all objects of all
  kinds, but that does not say that it has reached all kinds and namespaces, nor how old its picture is.
- When a watch has to list again (410 Gone), kopf hears nothing of what was deleted meanwhile: such an object would be served
  for ever.

So `audit` compares the indexes with lists of the API server's own: before anything is published, whenever kopf lists again,
and from time to time.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from inferway_contract.acknowledgement import LEASE_SECONDS
from inferway_operator.acks import LeaseState
from inferway_operator.entries import KINDS, LEASES, Entry, Kind

Index = Mapping[str, Iterable[Entry]]
"""A kopf index: by uid, a store of one entry."""
Listed = Mapping[str, str]
"""A list of the API server: resourceVersions by uid."""


class Observed:
    """Entries of every kind, and whether they have changed."""

    def __init__(self) -> None:
        self._indexes: Mapping[str, Index] = {kind.id: {} for kind in KINDS}
        self._last: dict[str, Any] = {}
        self._renewed: dict[str, float] = {}
        self._gone: set[str] = set()
        self._waiting: asyncio.Event = asyncio.Event()
        self._first_mark = 0.0
        self._last_mark = 0.0
        self.is_world_dirty = True
        """Something that the compiler looks at has changed."""
        self.listed_again_at: float | None = None
        """When (monotonic) kopf was first seen to list a kind again since the last audit; None = it was not."""

    def connect(self, indexes: Mapping[str, Index]) -> None:
        """Read from these indexes from now on."""
        self._indexes = indexes

    def entries(self, kind: Kind) -> Iterator[Entry]:
        """All objects of the kind."""
        for uid, store in self._indexes[kind.id].items():
            if uid not in self._gone:
                yield from store

    def find(self, kind: Kind, uid: str) -> Entry | None:
        """The entry of this object."""
        return next(iter(self._indexes[kind.id].get(uid, ())), None)

    # --- changes ----------------------------------------------------------------------------------------------------

    def notice(self, kind: Kind, found: Entry) -> None:
        """An object is in its index like this. Wakes whoever waits, if it matters."""
        self._gone.discard(found.uid)
        value = _telling(found)
        if self._last.get(found.uid) == value and not self._came_back(found):
            return
        self._last[found.uid] = value
        self.mark(is_world=kind is not LEASES)

    def forget(self, kind: Kind, uid: str) -> None:
        """An object is in its index no more."""
        self._renewed.pop(uid, None)
        if self._last.pop(uid, None) is not None:
            self.mark(is_world=kind is not LEASES)

    def notice_listing(self) -> None:
        """kopf lists a kind, for the first time or again."""
        if self.listed_again_at is None:
            self.listed_again_at = time.monotonic()
            self.mark(is_world=False)  # or nobody would look until the next audit is due

    def _came_back(self, found: Entry) -> bool:
        """Whether a Lease is renewed that had expired."""
        if not isinstance(found.value, LeaseState):
            return False
        before = self._renewed.get(found.uid, found.value.renewed)
        self._renewed[found.uid] = found.value.renewed
        return found.value.renewed - before > LEASE_SECONDS

    def mark(self, *, is_world: bool) -> None:
        """Something is to be done."""
        self.is_world_dirty |= is_world
        self._last_mark = time.monotonic()
        if not self._waiting.is_set():
            self._first_mark = self._last_mark
            self._waiting.set()

    async def wait(self, hold_off: float, max_hold_off: float, most: float) -> None:
        """Until something changed and then nothing did for `hold_off`, or at most `max_hold_off` after the first change.

        Returns after `most` too (all in seconds): time alone changes what is to be done.
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

    def uids(self, kind: Kind) -> frozenset[str]:
        """Of all objects in the index. Taken before a list is asked for, so that what is not in the list is gone."""
        return frozenset(self._indexes[kind.id])

    def audit(self, kind: Kind, before: Iterable[str], listed: Listed) -> list[str]:
        """Leave out what is gone; the uids that are missing here, or older than in the list: kopf is behind with them."""
        gone = {uid for uid in before if uid not in listed and uid not in self._gone}
        if gone:
            self._gone |= gone
            self.mark(is_world=True)
        self._gone &= {uid for index in self._indexes.values() for uid in index}
        return [uid for uid, version in listed.items() if not self.has(kind, uid, version)]

    def has(self, kind: Kind, uid: str, version: str) -> bool:
        """Whether this version of an object has been seen, or a newer one."""
        return _is_seen(self.find(kind, uid), version)


def _telling(found: Entry) -> Any:
    """What must be equal so that nothing has happened: a Lease that is renewed says nothing new."""
    if isinstance(found.value, LeaseState):
        return replace(found.value, renewed=0.0)
    return (found.generation, found.value)


def _is_seen(found: Entry | None, version: str) -> bool:
    """Versions of one kind are numbers that grow (KEP-5504 made it a promise); anything else is seen when it is equal."""
    if found is None:
        return False
    if found.version.isdecimal() and version.isdecimal():
        return int(found.version) >= int(version)
    return found.version == version
