"""Decides the status of an object, or that it stays as it is. Pure: no clock, no API server.

Called for every object after every change. Nearly all calls return None, and a status that is not written causes no event.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from inferway_contract.conditions import Condition, ConditionType, Reason
from inferway_operator.compiler import Verdict
from inferway_operator.status.programmed import ConfigFragment, programmed_condition
from inferway_operator.world.pods import PodAck

_ORDER: Final = {kind.value: place for place, kind in enumerate(ConditionType)}


def decide(
    verdict: Verdict, part: ConfigFragment, acks: Sequence[PodAck], current: Mapping[str, Any] | None, now: datetime
) -> dict[str, Any] | None:
    """Return the status to write for one object, or None to leave it as it is.

    `part`: the object's part of the newest published config. `acks`: the pods that count. `current`: the status as it is;
    foreign conditions in it are ignored.
    """
    current = current or {}
    generation = verdict.meta.generation
    observed = current.get("observedGeneration")
    if isinstance(observed, int) and observed > generation:
        return None  # written for a newer generation: this run is older
    old_conditions = _own_conditions(current)
    timestamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    programmed, data_plane = programmed_condition(
        part,
        acks,
        before=_mapping(current.get("dataPlane")),
        was=_mapping(old_conditions.get(ConditionType.PROGRAMMED)),
        now=timestamp,
    )
    decided = [*verdict.conditions, programmed]
    if verdict.meta.kind == "RateLimitPolicy":
        decided.append(_enforced(verdict, programmed))
    conditions = [_written(item, generation, old_conditions.get(item.type), timestamp) for item in decided]
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "conditions": sorted(conditions, key=lambda condition: _ORDER[condition["type"]]),
    }
    if data_plane is not None:
        status["dataPlane"] = data_plane
    return None if _is_same(status, current, old_conditions) else status


def _enforced(verdict: Verdict, programmed: Condition) -> Condition:
    """Decide `Enforced`: each pod enforces the limits that it has."""
    if not programmed.status:
        message = "not enforced by every pod: see Programmed"
        return Condition(type=ConditionType.ENFORCED, status=False, reason=Reason.NOT_PROGRAMMED, message=message)
    is_valid = any(condition.type is ConditionType.ACCEPTED and condition.status for condition in verdict.conditions)
    message = "limits enforced" if is_valid else "the last published limits are enforced"
    return Condition(type=ConditionType.ENFORCED, status=True, reason=Reason.ENFORCED, message=message)


def _written(condition: Condition, generation: int, old: Mapping[str, Any] | None, timestamp: str) -> dict[str, Any]:
    """Return the condition as Kubernetes has it; an unchanged status keeps its transition time."""
    status = "True" if condition.status else "False"
    old = old or {}
    is_unchanged = old.get("status") == status and isinstance(old.get("lastTransitionTime"), str)
    return {
        "type": condition.type.value,
        "status": status,
        "reason": condition.reason.value,
        "message": condition.message,
        "observedGeneration": generation,
        "lastTransitionTime": old["lastTransitionTime"] if is_unchanged else timestamp,
    }


def _is_same(status: Mapping[str, Any], current: Mapping[str, Any], old_conditions: Mapping[str, Any]) -> bool:
    return (
        status["observedGeneration"] == current.get("observedGeneration")
        and {condition["type"]: condition for condition in status["conditions"]} == old_conditions
        and status.get("dataPlane") == current.get("dataPlane")
    )


def _own_conditions(current: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return our conditions by type; other controllers may keep theirs in the same list."""
    raw = current.get("conditions")
    items = [_mapping(item) for item in raw] if isinstance(raw, list) else []
    return {str(item["type"]): item for item in items if item.get("type") in _ORDER}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
