"""Writes the statuses that the schedule offers, a few at a time, and sorts refusals by what they are about.

A status is decided at the moment of its write, by the newest basis and the newest version of the object: whatever has
happened while it waited, the newest state is written.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from inferway_kube.client import Client
from inferway_kube.errors import ApiError, Cause, NotFound, NotLeading
from inferway_operator.status.basis import Basis
from inferway_operator.status.schedule import StatusSchedule
from inferway_operator.status.writer import Change, StatusWriter
from inferway_operator.watch.kinds import CachedObject

logger = logging.getLogger(__name__)

AT_ONCE: Final = 8
"""Concurrent writes: a restart after an upgrade may write thousands, and the API server has other work."""
_MOST_REFUSING: Final = 3
"""Namespaces that may be refused in a row before the API server counts as the reason."""
_UNDECLARED: Final = "failed to create typed patch object"
"""The API server's message (status 500) about a field that the definition in the cluster does not declare."""
_OWN: Final = frozenset(
    {
        *(HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY),
    }
)


def is_about_object(error: ApiError) -> bool:
    """Whether the API server refused this object, and would take others of its namespace."""
    return error.is_denied or (error.is_status and error.status in _OWN) or _UNDECLARED in str(error)


def is_about_operator(error: ApiError) -> bool:
    """Whether no write of this process can work now."""
    if error.cause is not Cause.UNKNOWN:
        return False
    return isinstance(error, NotLeading) or error.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS)


class StatusDispatch:
    """Marks and writes statuses."""

    def __init__(self, client: Client, find: Callable[[str], tuple[str, CachedObject] | None]) -> None:
        """`find` returns the kind and the newest version of an object by its uid, None if there is none."""
        self._find = find
        self._writer = StatusWriter(client)
        self._wake = asyncio.Event()
        self.reset()

    def reset(self) -> None:
        """Forget what was to be written: a term begins."""
        self._schedule = StatusSchedule()
        self._basis: Basis | None = None
        self._reported: dict[str, tuple[int, str]] = {}
        """Refusals that were logged, by uid."""
        self._refusing: set[str] = set()
        """Namespaces that were refused since the last write that worked."""
        self._is_well = True
        self._in_flight = 0
        self._ended_by: ApiError | None = None

    def current(self, entry: CachedObject) -> CachedObject:
        """Return the entry with its newest status, also before the watch delivers our own write."""
        return self._writer.current(entry)

    def offer(self, basis: Basis, entries: Collection[CachedObject], changed: Collection[str]) -> None:
        """Take the newest basis; `entries`: all objects, `changed`: uids of those whose status differs from it."""
        self._basis = basis
        uids = frozenset(entry.uid for entry in entries)
        self._writer.forget(uids)
        self._schedule.keep(uids)
        self._reported = {uid: logged for uid, logged in self._reported.items() if uid in uids}
        for entry in entries:
            if entry.uid in changed:
                self._mark(entry)
            else:
                self._schedule.unmark(entry.uid)
        self._wake.set()

    def notice(self, entry: CachedObject) -> None:
        """The status of an object has changed in the cluster, perhaps by another writer."""
        if self._basis is not None and self._writer.current(entry) is entry:
            self._mark(entry)
            self._wake.set()

    def _mark(self, entry: CachedObject) -> None:
        observed = (entry.status or {}).get("observedGeneration")
        self._schedule.mark(
            entry.uid, entry.namespace, entry.generation, time.monotonic(), is_first=observed != entry.generation
        )

    async def run(self) -> None:
        """Write what is marked. Ends with the first write that works after a failure; raises if none can work now."""
        self._ended_by, self._in_flight = None, 0
        was_well = self._is_well
        async with asyncio.TaskGroup() as tasks:
            while self._ended_by is None and was_well == self._is_well:
                self._wake.clear()
                now = time.monotonic()
                while self._in_flight < (AT_ONCE if self._is_well else 1) and (uid := self._schedule.take(now)):
                    self._in_flight += 1
                    tasks.create_task(self._write(uid))
                await self._pause(self._schedule.wait(now))
        if self._ended_by is not None:
            raise self._ended_by

    async def _pause(self, seconds: float) -> None:
        # While as many are written as may be, the end of one is waited for.
        is_full = self._in_flight >= (AT_ONCE if self._is_well else 1)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if is_full or seconds == float("inf") else seconds):
                await self._wake.wait()

    async def _write(self, uid: str) -> None:
        change = None
        try:
            change = self._change(uid)
            if change is None:
                self._schedule.passed(uid, time.monotonic())
                return
            await self._writer.write(change)
        except NotFound:
            self._schedule.passed(uid, time.monotonic())  # deleted: its event is on the way
        except ApiError as error:
            if error.status == HTTPStatus.CONFLICT and not error.is_denied:
                self._schedule.conflicted(uid, time.monotonic())
            else:
                self._refuse(uid, change, error)
        except Exception:
            # A bug that one object meets must not stop the others.
            logger.exception("unexpected error: status of %s", uid)
            self._schedule.failed(uid, time.monotonic(), is_own=True)
        else:
            self._schedule.wrote(uid, time.monotonic())
            self._reported.pop(uid, None)
            self._refusing.clear()
            self._is_well = True
        finally:
            self._in_flight -= 1
            self._wake.set()

    def _change(self, uid: str) -> Change | None:
        known = self._find(uid)
        if known is None:
            return None
        kind, entry = known[0], self._writer.current(known[1])
        status = self._basis.status(kind, entry, datetime.now(UTC)) if self._basis is not None else None
        return None if status is None else Change(kind, entry, status)

    def _refuse(self, uid: str, change: Change | None, error: ApiError) -> None:
        is_own = is_about_object(error)
        self._schedule.failed(uid, time.monotonic(), is_own=is_own)
        if change is not None:
            refusal = (error.status, error.cause.value)
            if self._reported.get(uid) != refusal and (is_own or change.entry.namespace not in self._refusing):
                self._reported[uid] = refusal
                logger.warning(
                    "status not written, trying again: %s %s: %s", change.kind, change.entry.id, error,
                    extra={"mend": error.remedy} if error.remedy else {},
                )  # fmt: skip
        if is_own:
            return
        if change is not None:
            self._refusing.add(change.entry.namespace)
        if is_about_operator(error) or len(self._refusing) >= _MOST_REFUSING:
            self._is_well = False
            self._ended_by = error


def changed_statuses(basis: Basis, objects: Mapping[str, tuple[str, CachedObject]]) -> dict[str, Mapping[str, Any]]:
    """Return the statuses to write by uid, of objects by uid with their kinds. Pure, for a thread."""
    now = datetime.now(UTC)
    statuses = {uid: basis.status(kind, entry, now) for uid, (kind, entry) in objects.items()}
    return {uid: status for uid, status in statuses.items() if status is not None}
