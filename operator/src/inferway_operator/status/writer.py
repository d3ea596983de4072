"""Writes the statuses of objects, and a Kubernetes Event for each refusal."""

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
from inferway_kube.client import Client, path
from inferway_kube.errors import ApiError
from inferway_operator.api_client import FIELD_MANAGER
from inferway_operator.watch.kinds import POLICIES, ROUTES, CachedObject, is_newer

logger = logging.getLogger(__name__)

AT_ONCE: Final = 8
"""Concurrent writes: a restart after an upgrade may write thousands, and the API server has other work."""
_STOPPING: Final = (0, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)
"""HTTP status codes; 0 = no response, or this process is no longer the leader."""
_MAX_NOTE: Final = 1_000
"""Characters of an Event's note; the API server allows 1,024."""
_UNDECLARED: Final = "failed to create typed patch object"
"""The API server's message (status 500) about a field that the definition in the cluster does not declare."""
_KINDS: Final = {"GatewayRoute": ROUTES, "RateLimitPolicy": POLICIES}
_API: Final = f"{API_GROUP}/{API_VERSION}"


@dataclass(frozen=True, slots=True)
class Change:
    """A status to be written."""

    kind: str
    entry: CachedObject
    """The version of the object that the status is for; a newer version makes the write fail."""
    status: Mapping[str, Any]


class StatusWriter:
    """Writes statuses, and keeps what it wrote until the watch delivers it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._written: dict[str, tuple[str, Mapping[str, Any]]] = {}
        self._refused: dict[str, Mapping[str, Any]] = {}
        self._failed: set[str] = set()

    def current(self, entry: CachedObject) -> CachedObject:
        """Return the entry with its newest status, also before the watch delivers our own write."""
        version, status = self._written.get(entry.uid, ("", None))
        if status is None:
            return entry
        if is_newer(entry.version, version) or entry.generation > status["observedGeneration"]:
            del self._written[entry.uid]
            return entry
        return replace(entry, version=version, status=status)

    async def write(self, changes: Iterable[Change]) -> None:
        """Write all statuses. Raises the first `ApiError` for which a retry may help.

        One write goes first, and those that failed last time come last. Once the API server refuses all writes (401, 403,
        429) or does not respond, no more begin.
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
        """Forget all objects but these."""
        kept = frozenset(uids)
        self._written = {uid: written for uid, written in self._written.items() if uid in kept}
        self._refused = {uid: status for uid, status in self._refused.items() if uid in kept}
        self._failed &= kept

    async def _write(self, change: Change) -> None:
        entry = change.entry
        if self._refused.get(entry.uid) == change.status:
            return
        kind = _KINDS[change.kind]
        where = path(kind.paths[0], kind.plural, entry.namespace, entry.name, "status")
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
                # A retry would fail the same way. This is a bug, and must not delay other objects.
                logger.error("status refused by the API server: %s %s: %s", change.kind, entry.id, error)
                self._refused[entry.uid] = change.status
                return
            raise
        self._written[entry.uid] = (written["metadata"]["resourceVersion"], written.get("status") or {})
        await self._create_events(change)

    async def _create_events(self, change: Change) -> None:
        for condition in change.status["conditions"]:
            if not _is_refusal(condition):
                continue
            try:
                await self._client.create(
                    path("/apis/events.k8s.io/v1", "events", change.entry.namespace),
                    _event(change, condition),
                )
            except ApiError as error:
                if error.status != HTTPStatus.CONFLICT:  # the Event exists
                    # Not retried: the status has the same message.
                    logger.warning("Event not created: %s %s: %s", change.kind, change.entry.id, error)


def is_programmed(status: Mapping[str, Any]) -> bool:
    """Return whether every pod serves the object. `status`: as in the API."""
    conditions = status.get("conditions") or ()
    return any(one["type"] == ConditionType.PROGRAMMED and one["status"] == "True" for one in conditions)


def is_refused(status: Mapping[str, Any]) -> bool:
    """Return whether the object is not accepted, or only partly."""
    conditions = status.get("conditions") or ()
    return any(one["type"] == ConditionType.ACCEPTED and _is_refusal(one) for one in conditions)


def _is_refusal(condition: Mapping[str, Any]) -> bool:
    if condition["type"] == ConditionType.ACCEPTED:
        return bool(condition["status"] == "False" or condition["reason"] == Reason.PARTIALLY_INVALID)
    return bool(
        condition["type"] == ConditionType.PROGRAMMED and condition["reason"] in (Reason.REJECTED, Reason.TOO_LARGE)
    )


def _event(change: Change, condition: Mapping[str, Any]) -> dict[str, Any]:
    """Build the Event, named by object and message so that a second one conflicts."""
    entry = change.entry
    content = f"{entry.uid} {condition['type']} {condition['reason']} {condition['message']}"
    suffix = hashlib.sha256(content.encode()).hexdigest()[:16]
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
