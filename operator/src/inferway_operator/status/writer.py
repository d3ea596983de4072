"""Statuses: writing what is decided of each object, and a Kubernetes Event where its author must mend something."""

import asyncio
import hashlib
import itertools
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from inferway_contract.conditions import ConditionType, Reason
from inferway_contract.resources import API_GROUP, API_VERSION
from inferway_kube.client import path
from inferway_kube.errors import ApiError
from inferway_operator.api_client import FIELD_MANAGER, ApiClient
from inferway_operator.watch.kinds import POLICIES, ROUTES, CachedObject, WatchedKind

logger = logging.getLogger(__name__)

AT_ONCE: Final = 8
"""Writes in flight: a restart after an upgrade may write some thousand, and the API server has other work."""
_STOPPING: Final = (0, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)
"""Of HTTP; 0 = no answer, or this process leads no more."""
_MAX_NOTE: Final = 1_000
"""Characters of an Event's note; the API server allows 1,024."""
_UNDECLARED: Final = "failed to create typed patch object"
"""What the API server says, with status 500, of an applied field that the definition in the cluster does not declare."""
_KINDS: Final = {"GatewayRoute": ROUTES, "RateLimitPolicy": POLICIES}
_API: Final = f"{API_GROUP}/{API_VERSION}"


@dataclass(frozen=True, slots=True)
class Change:
    """A status that is to be written."""

    kind: str
    entry: CachedObject
    """The version of the object that it was decided of: if there is a newer one, it is not written."""
    status: Mapping[str, Any]


class StatusWriter:
    """Writes, and remembers what it wrote until kopf has heard of it."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._written: dict[str, tuple[str, Mapping[str, Any]]] = {}
        self._refused: dict[str, Mapping[str, Any]] = {}
        self._failed: set[str] = set()

    def current(self, entry: CachedObject) -> CachedObject:
        """The entry with the status as it is, also when the event of our own write is still under way."""
        version, status = self._written.get(entry.uid, ("", None))
        if status is None:
            return entry
        if _is_newer(entry.version, version) or entry.generation > status["observedGeneration"]:
            del self._written[entry.uid]
            return entry
        return replace(entry, version=version, status=status)

    async def write(self, changes: Iterable[Change]) -> None:
        """All of them, whatever becomes of each. Raises the first `ApiError` that another attempt may mend.

        One goes ahead of the others, and those that failed last time come last. Once the API server refuses writing as such
        (403, 429) or does not answer, no more are begun.
        """
        rest = iter(sorted(changes, key=lambda change: change.entry.uid in self._failed))
        failures: list[ApiError] = []

        async def write_some(most: int | None = None) -> None:
            for change in itertools.islice(rest, most):
                try:
                    await self._write(change)
                    self._failed.discard(change.entry.uid)
                except ApiError as error:
                    self._failed.add(change.entry.uid)
                    failures.append(error)
                if any(error.status in _STOPPING for error in failures):
                    return

        await write_some(1)
        if not any(error.status in _STOPPING for error in failures):
            async with asyncio.TaskGroup() as tasks:
                for _ in range(AT_ONCE):
                    tasks.create_task(write_some())
        if failures:
            raise next((error for error in failures if error.status in _STOPPING), failures[0])

    def forget(self, uids: Iterable[str]) -> None:
        """Keep nothing but of these objects."""
        kept = frozenset(uids)
        self._written = {uid: said for uid, said in self._written.items() if uid in kept}
        self._refused = {uid: said for uid, said in self._refused.items() if uid in kept}
        self._failed &= kept

    async def _write(self, change: Change) -> None:
        entry = change.entry
        if self._refused.get(entry.uid) == change.status:
            return
        where = _path(_KINDS[change.kind], entry)
        body = {
            "apiVersion": _API,
            "kind": change.kind,
            "metadata": {"name": entry.name, "namespace": entry.namespace, "uid": entry.uid,
                         "resourceVersion": entry.version},
            "status": change.status,
        }  # fmt: skip
        try:
            written = await self._client.apply(where, body)
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return  # deleted: its event is on the way
            if error.status in (HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.BAD_REQUEST) or _UNDECLARED in str(error):
                # Asking again would be answered the same. It is a mistake of ours, and must not hold up the others.
                logger.error("the status of %s %s was refused: %s", change.kind, entry.id, error)
                self._refused[entry.uid] = change.status
                return
            raise
        self._written[entry.uid] = (written["metadata"]["resourceVersion"], written.get("status") or {})
        await self._tell(change)

    async def _tell(self, change: Change) -> None:
        for condition in change.status["conditions"]:
            if not _is_refusal(condition):
                continue
            try:
                await self._client.create(
                    path("/apis/events.k8s.io/v1", "events", change.entry.namespace),
                    _event(change, condition),
                )
            except ApiError as error:
                if error.status != HTTPStatus.CONFLICT:  # it was told before
                    # Events are a courtesy: the same is in the status, which is written.
                    logger.warning("no Event for %s %s: %s", change.kind, change.entry.id, error)


def is_programmed(status: Mapping[str, Any]) -> bool:
    """Whether every pod serves the object."""
    return any(one["type"] == ConditionType.PROGRAMMED and one["status"] == "True" for one in _conditions(status))


def is_refused(status: Mapping[str, Any]) -> bool:
    """Whether it is not accepted, or not all of it."""
    return any(one["type"] == ConditionType.ACCEPTED and _is_refusal(one) for one in _conditions(status))


def _conditions(status: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    found: Iterable[Mapping[str, Any]] = status.get("conditions") or ()
    return found


def _is_newer(version: str, than: str) -> bool:
    return int(version) > int(than) if version.isdecimal() and than.isdecimal() else version != than


def _path(kind: WatchedKind, entry: CachedObject) -> str:
    return path(kind.paths[0], kind.plural, entry.namespace, entry.name, "status")


def _is_refusal(condition: Mapping[str, Any]) -> bool:
    if condition["type"] == ConditionType.ACCEPTED:
        return bool(condition["status"] == "False" or condition["reason"] == Reason.PARTIALLY_INVALID)
    return bool(
        condition["type"] == ConditionType.PROGRAMMED and condition["reason"] in (Reason.REJECTED, Reason.TOO_LARGE)
    )


def _event(change: Change, condition: Mapping[str, Any]) -> dict[str, Any]:
    """One for each object and message: its name is made of both, so that the second one already exists."""
    entry = change.entry
    said = f"{entry.uid} {condition['type']} {condition['reason']} {condition['message']}"
    suffix = hashlib.sha256(said.encode()).hexdigest()[:16]
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{entry.name[:230].rstrip('.-')}.{suffix}", "namespace": entry.namespace},
        "type": "Warning",
        "reason": condition["reason"],
        "action": "Compile" if condition["type"] == ConditionType.ACCEPTED else "Program",
        "note": condition["message"][:_MAX_NOTE],
        "regarding": {
            "apiVersion": _API, "kind": change.kind, "namespace": entry.namespace, "name": entry.name, "uid": entry.uid,
        },
        "reportingController": f"{API_GROUP}/operator",
        "reportingInstance": FIELD_MANAGER,
        "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }  # fmt: skip
