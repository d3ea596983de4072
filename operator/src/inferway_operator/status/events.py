"""Kubernetes Events about refusals: which conditions cause one, and its content within the bounds of events.k8s.io/v1. Pure."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from inferway_contract.conditions import ConditionType, Reason
from inferway_contract.resources import API_GROUP, API_VERSION
from inferway_operator.api_client import FIELD_MANAGER
from inferway_operator.watch.kinds import CachedObject

API: Final = f"{API_GROUP}/{API_VERSION}"
MAX_NOTE: Final = 1_024
"""Bytes of a note in UTF-8, as the API server bounds it."""
MAX_WORD: Final = 128
"""Bytes of a reason and of an action."""
BURST: Final = 10
"""Events of one object in a row."""
EVERY: Final = 60.0
"""Seconds for each further Event of one object. Events are kept for an hour, and their author may change the object often."""
_CUT: Final = "..."


def is_refusal(condition: Mapping[str, Any]) -> bool:
    """Return whether the condition is worth an Event: the object is not accepted as a whole, or never programmed."""
    if condition["type"] == ConditionType.ACCEPTED:
        return bool(condition["status"] == "False" or condition["reason"] == Reason.PARTIALLY_INVALID)
    return bool(
        condition["type"] == ConditionType.PROGRAMMED and condition["reason"] in (Reason.REJECTED, Reason.TOO_LARGE)
    )


def event(kind: str, entry: CachedObject, condition: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Build the Event, named by object and message so that a second one conflicts."""
    content = f"{entry.uid} {condition['type']} {condition['reason']} {condition['message']}"
    suffix = hashlib.sha256(content.encode(errors="backslashreplace")).hexdigest()[:16]
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{entry.name[:230].rstrip('.-')}.{suffix}", "namespace": entry.namespace},
        "type": "Warning",
        "reason": cut(condition["reason"], MAX_WORD),
        "action": "Compile" if condition["type"] == ConditionType.ACCEPTED else "Program",
        "note": cut(condition["message"], MAX_NOTE),
        "regarding": {
            "apiVersion": API, "kind": kind, "namespace": entry.namespace, "name": entry.name, "uid": entry.uid,
        },
        "reportingController": f"{API_GROUP}/operator",
        "reportingInstance": FIELD_MANAGER,
        "eventTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }  # fmt: skip


def cut(text: str, most: int) -> str:
    """Return the text within `most` bytes of UTF-8; a cut one ends with `...`, after a whole character."""
    encoded = text.encode(errors="backslashreplace")
    if len(encoded) <= most:
        return encoded.decode()
    return encoded[: most - len(_CUT)].decode(errors="ignore") + _CUT


class EventLimit:
    """Bounds the Events of each object; times are parameters (monotonic seconds)."""

    def __init__(self) -> None:
        self._full_at: dict[str, float] = {}

    def may_create(self, uid: str, now: float) -> bool:
        """Take one Event of the object's burst, if there is one."""
        full_at = max(self._full_at.get(uid, 0.0), now) + EVERY
        if full_at - now > BURST * EVERY:
            return False
        self._full_at[uid] = full_at
        return True

    def keep(self, uids: Iterable[str]) -> None:
        """Forget all objects but these."""
        self._full_at = {uid: self._full_at[uid] for uid in uids if uid in self._full_at}
