"""Decides the status of an object, or that it stays as it is. Pure: no clock, no API server.

Called for every object after every change. Nearly all calls return None, and a status that is not written causes no event.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from inferway_contract.conditions import MAX_MESSAGE, Condition, ConditionType, Reason
from inferway_operator.compiler import Verdict
from inferway_operator.status.programmed import ConfigFragment, programmed_condition
from inferway_operator.status.ready import ready_condition
from inferway_operator.world.pods import PodAck

_TIME: Final = re.compile(r"[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}Z")
_ORDER: Final = {kind.value: place for place, kind in enumerate(ConditionType)}


def decide(
    verdict: Verdict, part: ConfigFragment, acks: Sequence[PodAck], current: Mapping[str, Any] | None, now: datetime
) -> dict[str, Any] | None:
    """Return the status to write for one object, or None to leave it as it is.

    `part`: the object's part of the newest published config. `acks`: the pods that count. `current`: the status of the
    very version of the object that `verdict` is about; foreign conditions in it are ignored. The caller writes with that
    version as a condition, so a run that is older than the object cannot overwrite a newer status.
    """
    current = current or {}
    generation = verdict.meta.generation
    # As conditions write times, which compare as text; "" where it is unknown.
    created = verdict.meta.created if _TIME.fullmatch(verdict.meta.created) else ""
    # Never before the creation, also when the clocks of the API server and of this process differ.
    timestamp = max(now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), created)
    old_conditions = _own_conditions(current)
    # A status of another object, out of a backup: its history is not this object's.
    known = current if _is_of(generation, created, current, old_conditions) else {}
    known_conditions = old_conditions if known else {}
    programmed, data_plane = programmed_condition(
        part,
        acks,
        before=_mapping(known.get("dataPlane")),
        was=_mapping(known_conditions.get(ConditionType.PROGRAMMED)),
        now=timestamp,
    )
    decided = [*verdict.conditions, programmed]
    if verdict.meta.kind == "RateLimitPolicy":
        decided.append(_enforced(verdict, programmed))
    decided.append(ready_condition(decided))
    conditions = [_written(item, generation, known_conditions.get(item.type), timestamp) for item in decided]
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "conditions": sorted(conditions, key=lambda condition: _ORDER[condition["type"]]),
    }
    if data_plane is not None:
        status["dataPlane"] = data_plane
    return None if _is_same(status, current, old_conditions) else status


def _is_of(
    generation: int, created: str, current: Mapping[str, Any], conditions: Mapping[str, Mapping[str, Any]]
) -> bool:
    """Whether the status can have been written for this object: not for a later generation, nor before its creation."""
    observed = current.get("observedGeneration")
    if type(observed) is int and observed > generation:
        return False
    times = (condition.get("lastTransitionTime") for condition in conditions.values())
    return not any(isinstance(time, str) and time < created for time in times)


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
        "message": condition.message[:MAX_MESSAGE],
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
