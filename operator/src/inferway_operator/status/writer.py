"""Writes the status of one object, and a Kubernetes Event for each refusal."""

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from inferway_contract.conditions import ConditionType
from inferway_kube.client import Client, path
from inferway_kube.errors import ApiError
from inferway_operator.status import events, leftovers
from inferway_operator.watch.kinds import POLICIES, ROUTES, CachedObject, WatchedKind, is_newer

logger = logging.getLogger(__name__)

KINDS: Final[Mapping[str, WatchedKind]] = {"GatewayRoute": ROUTES, "RateLimitPolicy": POLICIES}


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
        self._events = events.EventLimit()
        self._refused_events: set[str] = set()
        """Namespaces whose last Event was refused."""

    def current(self, entry: CachedObject) -> CachedObject:
        """Return the entry with its newest status, also before the watch delivers our own write."""
        version, status = self._written.get(entry.uid, ("", None))
        if status is None:
            return entry
        if is_newer(entry.version, version) or entry.generation > status["observedGeneration"]:
            del self._written[entry.uid]
            return entry
        return replace(entry, version=version, status=status)

    def forget(self, uids: Iterable[str]) -> None:
        """Forget all objects but these."""
        kept = frozenset(uids)
        self._written = {uid: written for uid, written in self._written.items() if uid in kept}
        self._events.keep(kept)

    async def write(self, change: Change) -> None:
        """Write a status. Raises `ApiError`."""
        entry, kind = change.entry, KINDS[change.kind]
        where = path(kind.paths[0], kind.plural, entry.namespace, entry.name, "status")
        metadata = {"name": entry.name, "namespace": entry.namespace, "uid": entry.uid}
        head = {"apiVersion": events.API, "kind": change.kind}
        # The version is a condition: what is decided here is about that version, also if this process is late.
        body = {**head, "metadata": {**metadata, "resourceVersion": entry.version}, "status": change.status}
        written = await self._client.apply(where, body)
        removal = leftovers.removal(change.status, written.get("status") or {})
        if removal is not None:
            versioned = {**metadata, "resourceVersion": written["metadata"]["resourceVersion"]}
            written = await self._client.merge(where, {**head, "metadata": versioned, "status": removal})
        self._written[entry.uid] = (written["metadata"]["resourceVersion"], written.get("status") or {})
        await self._create_events(change)

    async def _create_events(self, change: Change) -> None:
        entry = change.entry
        for condition in filter(events.is_refusal, change.status["conditions"]):
            if not self._events.may_create(entry.uid, time.monotonic()):
                continue
            try:
                await self._client.create(
                    path("/apis/events.k8s.io/v1", "events", entry.namespace),
                    events.event(change.kind, entry, condition, datetime.now(UTC)),
                )
            except ApiError as error:
                if error.status == HTTPStatus.CONFLICT:
                    continue  # the Event exists
                # Not retried: the status has the same message.
                if entry.namespace not in self._refused_events:
                    logger.warning("Event not created: %s %s: %s", change.kind, entry.id, error)
                self._refused_events.add(entry.namespace)
            else:
                self._refused_events.discard(entry.namespace)


def is_programmed(status: Mapping[str, Any]) -> bool:
    """Return whether every pod serves the object. `status`: as in the API."""
    conditions = status.get("conditions") or ()
    return any(one["type"] == ConditionType.PROGRAMMED and one["status"] == "True" for one in conditions)


def is_refused(status: Mapping[str, Any]) -> bool:
    """Return whether the object is not accepted, or only partly."""
    conditions = status.get("conditions") or ()
    return any(one["type"] == ConditionType.ACCEPTED and events.is_refusal(one) for one in conditions)
