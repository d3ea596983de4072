"""Which object's status is written next. Pure: times are parameters (monotonic seconds).

Namespaces take turns, so that a namespace whose statuses change all the time delays those of others by one write each. An
object whose newest generation has no status yet goes before those that have one.
"""

import heapq
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

BURST: Final = 5
"""Writes of one object in a row, as when its pods report one after the other."""
EVERY: Final = 1.0
"""Seconds for each further write of one object; what changes in between is written together."""
FIRST_RETRY: Final = 0.5
"""Seconds until a refused status is tried again; doubled each time."""
LONGEST_RETRY: Final = 30.0
CONFLICT_RETRY: Final = 0.1
"""Seconds after a conflict: the newer version of the object is on its way."""
_LATER_TURN: Final = 4
"""One of this number of writes begins with an object that has a status, so that a crowd of new objects does not stop the others."""
MOST_OF_NAMESPACE: Final = 4
"""Concurrent writes of one namespace, which a slow webhook may make as slow as it likes."""
MOST_LATER: Final = 2
"""Of them, while they are of objects that have a status: a crowd that changes all the time leaves the machine to others."""


@dataclass(slots=True)
class _Object:
    namespace: str
    generation: int = -1
    is_first: bool = False
    """It has no status for this generation."""
    is_dirty: bool = False
    is_in_flight: bool = False
    waits_until: float = float("inf")
    """The time of its entry in the heap; infinite = it has none."""
    bucket: float = 0.0
    """The time at which its burst is full again (GCRA)."""
    failures: int = 0
    retry_at: float = 0.0


@dataclass(slots=True)
class _Namespace:
    in_flight: int = 0
    is_proven: bool = False
    """Its last write worked. Otherwise its writes go one by one."""
    failures: int = 0
    retry_at: float = 0.0

    def may_write(self, now: float, most: int) -> bool:
        return self.retry_at <= now and self.in_flight < (most if self.is_proven else 1)


@dataclass(slots=True)
class _Lane:
    """Objects that may be written now: by namespace, in the order of their turns."""

    most: int
    """Concurrent writes of a namespace."""
    queues: OrderedDict[str, dict[str, None]] = field(default_factory=OrderedDict)

    def add(self, namespace: str, uid: str) -> None:
        self.queues.setdefault(namespace, {})[uid] = None

    def discard(self, namespace: str, uid: str) -> None:
        queue = self.queues.get(namespace)
        if queue is not None:
            queue.pop(uid, None)
            if not queue:
                del self.queues[namespace]


class StatusSchedule:
    """Objects whose status is to be written, by uid. An object is written once at a time, and the newest state counts."""

    def __init__(self) -> None:
        self._objects: dict[str, _Object] = {}
        self._namespaces: dict[str, _Namespace] = {}
        self._first, self._later = _Lane(MOST_OF_NAMESPACE), _Lane(MOST_LATER)
        self._waiting: list[tuple[float, str]] = []
        """Heap of objects that may not be written yet; an outdated entry is skipped."""
        self._turn = 0

    def mark(self, uid: str, namespace: str, generation: int, now: float, *, is_first: bool) -> None:
        """The status of an object is to be written; `is_first`: it has none for this generation."""
        item = self._objects.setdefault(uid, _Object(namespace))
        if item.generation != generation:
            # Its author has changed it, perhaps because of the refusal.
            item.generation, item.failures, item.retry_at = generation, 0, 0.0
        if item.is_first != is_first:
            self._dequeue(uid, item)
            item.is_first = is_first
        item.is_dirty = True
        self._enqueue(uid, item, now)  # where it is in a queue already, it keeps its place

    def unmark(self, uid: str) -> None:
        """The status of an object is as it should be."""
        item = self._objects.get(uid)
        if item is not None:
            item.is_dirty = False
            self._dequeue(uid, item)

    def keep(self, uids: frozenset[str]) -> None:
        """Forget all objects but these; those that are being written are forgotten later."""
        for uid in [uid for uid, item in self._objects.items() if uid not in uids and not item.is_in_flight]:
            self._dequeue(uid, self._objects.pop(uid))
        used = {item.namespace for item in self._objects.values()}
        self._namespaces = {name: state for name, state in self._namespaces.items() if name in used}

    def take(self, now: float) -> str | None:
        """Return the object to write next; None if none may be written now. Each one needs `wrote` or `failed` later."""
        while self._next_due() <= now:
            _, uid = heapq.heappop(self._waiting)
            item = self._objects[uid]
            item.waits_until = float("inf")
            self._enqueue(uid, item, now)
        self._turn += 1
        lanes = (self._first, self._later) if self._turn % _LATER_TURN else (self._later, self._first)
        return self._take_from(lanes[0], now) or self._take_from(lanes[1], now)

    def _take_from(self, lane: _Lane, now: float) -> str | None:
        for _ in range(len(lane.queues)):
            name, queue = next(iter(lane.queues.items()))
            lane.queues.move_to_end(name)
            namespace = self._namespaces.setdefault(name, _Namespace())
            if not namespace.may_write(now, lane.most):
                continue
            uid = next(iter(queue))
            lane.discard(name, uid)
            item = self._objects[uid]
            item.is_dirty, item.is_in_flight = False, True
            namespace.in_flight += 1
            return uid
        return None

    def wrote(self, uid: str, now: float) -> None:
        """A write has worked."""
        item, namespace = self._landed(uid)
        item.failures, item.retry_at = 0, 0.0
        item.bucket = max(item.bucket, now) + EVERY
        namespace.is_proven, namespace.failures, namespace.retry_at = True, 0, 0.0
        self._enqueue(uid, item, now)

    def passed(self, uid: str, now: float) -> None:
        """There was nothing to write after all."""
        item, _ = self._landed(uid)
        self._enqueue(uid, item, now)

    def conflicted(self, uid: str, now: float) -> None:
        """A write met a newer version of the object."""
        item, _ = self._landed(uid)
        item.is_dirty, item.retry_at = True, now + CONFLICT_RETRY
        self._enqueue(uid, item, now)

    def failed(self, uid: str, now: float, *, is_own: bool) -> None:
        """A write was refused. `is_own`: because of this object; otherwise its neighbours would be refused too."""
        item, namespace = self._landed(uid)
        item.failures += 1
        item.retry_at = now + _pause(item.failures)
        item.is_dirty = True
        if not is_own:
            namespace.is_proven = False
            if namespace.retry_at <= now:  # otherwise one of the same moment has counted
                namespace.failures += 1
                namespace.retry_at = now + _pause(namespace.failures)
        self._enqueue(uid, item, now)

    def wait(self, now: float) -> float:
        """Return the seconds until `take` may return another object, if nothing else happens."""
        times = [self._next_due()]
        for lane in (self._first, self._later):
            for name in lane.queues:
                namespace = self._namespaces.get(name)
                if namespace is None or namespace.may_write(max(now, namespace.retry_at), lane.most):
                    times.append(now if namespace is None else namespace.retry_at)
        return max(0.0, min(times) - now)

    def _next_due(self) -> float:
        """Return the time at which the next object may be written again; drops outdated entries of the heap."""
        while self._waiting:
            due, uid = self._waiting[0]
            item = self._objects.get(uid)
            if item is not None and item.is_dirty and item.waits_until == due:
                return due
            heapq.heappop(self._waiting)
        return float("inf")

    def _landed(self, uid: str) -> tuple[_Object, _Namespace]:
        item = self._objects[uid]
        item.is_in_flight = False
        namespace = self._namespaces[item.namespace]
        namespace.in_flight -= 1
        return item, namespace

    def _enqueue(self, uid: str, item: _Object, now: float) -> None:
        if not item.is_dirty or item.is_in_flight:
            return
        due = max(item.retry_at, item.bucket - BURST * EVERY)
        if due <= now:
            item.waits_until = float("inf")
            self._lane(item).add(item.namespace, uid)
        elif due < item.waits_until:
            item.waits_until = due
            heapq.heappush(self._waiting, (due, uid))

    def _dequeue(self, uid: str, item: _Object) -> None:
        item.waits_until = float("inf")
        self._lane(item).discard(item.namespace, uid)

    def _lane(self, item: _Object) -> _Lane:
        return self._first if item.is_first else self._later


def _pause(failures: int) -> float:
    return float(min(FIRST_RETRY * 2 ** min(failures - 1, 10), LONGEST_RETRY))
