"""Status: what is written into an object, or that nothing is. Pure: no clock, no API server.

Called for every object after every change of anything. All but a few of these calls say None, and a status that is not
written wakes nobody.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from inferway_contract.conditions import Condition, ConditionType, Reason
from inferway_operator.compiler import Verdict
from inferway_operator.status import programmed as programmed_status
from inferway_operator.world.pods import PodAck

_ORDER: Final = {kind.value: place for place, kind in enumerate(ConditionType)}


def decide(
    verdict: Verdict,
    fragment: str,
    carried: Callable[[str], str | None],
    revision: str,
    acks: Sequence[PodAck],
    current: Mapping[str, Any] | None,
    now: datetime,
    too_large: str = "",
) -> dict[str, Any] | None:
    """The whole status of one object, or None where what is there must not, or need not, be written.

    `fragment`: hash of the object's part of the newest published config, "" = it has none. `carried(revision)`: the same
    in the config of that revision, None = nobody knows it any more. `revision`: the newest published one. `acks`: the pods
    that count. `current`: the status as it is; conditions in it that are not ours are passed over. `too_large`: why the
    object could not be published, where its size is why.
    """
    current = current or {}
    generation = verdict.meta.generation
    if _number(current.get("observedGeneration")) > generation:
        return None  # somebody has seen a newer one: ours is the older run
    known = _known_conditions(current)
    moment = _written(now)
    progress = programmed_status.programmed_condition(
        programmed_status.ConfigFragment(verdict.meta.kind, fragment, carried, revision, too_large),
        acks,
        before=_mapping(current.get("dataPlane")),
        was=_mapping(known.get(ConditionType.PROGRAMMED)),
        now=moment,
    )
    judged = [*verdict.conditions, progress.condition]
    if verdict.meta.kind == "RateLimitPolicy":
        judged.append(_enforced(verdict, progress.condition))
    conditions = [_told(condition, generation, known.get(condition.type), moment) for condition in judged]
    made: dict[str, Any] = {
        "observedGeneration": generation,
        "conditions": sorted(conditions, key=lambda condition: _ORDER[condition["type"]]),
    }
    if progress.data_plane is not None:
        made["dataPlane"] = progress.data_plane
    return None if _is_same(made, current, known) else made


def _enforced(verdict: Verdict, programmed: Condition) -> Condition:
    """Whether the policy's limits hold. They are kept in each pod, so they hold where the pods have them."""
    if not programmed.status:
        told = "not by every pod: see Programmed"
        return Condition(type=ConditionType.ENFORCED, status=False, reason=Reason.NOT_PROGRAMMED, message=told)
    is_valid = any(condition.type is ConditionType.ACCEPTED and condition.status for condition in verdict.conditions)
    told = "its limits are enforced" if is_valid else "the limits that were published last are enforced"
    return Condition(type=ConditionType.ENFORCED, status=True, reason=Reason.ENFORCED, message=told)


def _told(condition: Condition, generation: int, known: Mapping[str, Any] | None, moment: str) -> dict[str, Any]:
    status = "True" if condition.status else "False"
    was = known or {}
    lasts = was.get("status") == status and isinstance(was.get("lastTransitionTime"), str)
    return {
        "type": condition.type.value,
        "status": status,
        "reason": condition.reason.value,
        "message": condition.message,
        "observedGeneration": generation,
        "lastTransitionTime": was["lastTransitionTime"] if lasts else moment,
    }


def _is_same(made: Mapping[str, Any], current: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    return (
        made["observedGeneration"] == current.get("observedGeneration")
        and {condition["type"]: condition for condition in made["conditions"]} == known
        and made.get("dataPlane") == current.get("dataPlane")
    )


def _known_conditions(current: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Conditions of ours, by type. Who else writes some of their own into the list keeps them."""
    raw = current.get("conditions")
    found = [_mapping(item) for item in raw] if isinstance(raw, list) else []
    return {str(item["type"]): item for item in found if item.get("type") in _ORDER}


def _written(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
