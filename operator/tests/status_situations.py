"""Short words for the situations of the status tests: pods `a`, `b`, ... and what they report about one object."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from inferway_contract.acknowledgement import Acknowledgement
from inferway_contract.conditions import Condition, ConditionType, Reason
from inferway_operator.compiler import Verdict
from inferway_operator.status import decision
from inferway_operator.status.programmed import ConfigFragment
from inferway_operator.world.objects import Meta
from inferway_operator.world.pods import PodAck

START = datetime(2026, 1, 1, tzinfo=UTC)

OLD, NEW = "0" * 64, "1" * 64
"""The object's part of the config before it was changed, and since."""
HISTORY = {"r0": "", "r1": OLD, "r2": OLD, "r3": NEW, "r4": NEW}
"""Revisions, and the hash of the object in each: it came with r1 and was changed with r3."""


def at(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


def timestamp(seconds: int) -> str:
    return at(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def ack(
    pod: str, config: str = "", *, refused: str = "", error: str = "", expired: bool = False, unjudged: bool = False
) -> PodAck:
    return PodAck(pod, Acknowledgement(config=config, refused=refused, error=error), expired, unjudged)


def all_at(config: str, count: int = 3) -> list[PodAck]:
    return [ack(name, config) for name in "abcdefgh"[:count]]


def verdict(
    kind: str = "GatewayRoute",
    generation: int = 1,
    *,
    accepted: bool = True,
    shadowed: bool = False,
    created: str = "",
) -> Verdict:
    resolved = ConditionType.RESOLVED_REFS if kind == "GatewayRoute" else ConditionType.TARGETS_RESOLVED
    conditions = [
        Condition(
            type=ConditionType.ACCEPTED,
            status=accepted,
            reason=Reason.ACCEPTED if accepted else Reason.INVALID,
            message="1 rule accepted" if accepted else "spec.rules[0]: is wrong",
        ),
        Condition(type=resolved, status=True, reason=Reason(resolved.value), message="all is there"),
    ]
    if shadowed:
        shadow = Condition(type=ConditionType.SHADOWED, status=True, reason=Reason.SHADOWED, message="by another")
        conditions.append(shadow)
    return Verdict(Meta(kind, "demo", "shop", generation, created), tuple(conditions))


def decide(
    acks: Sequence[PodAck],
    current: Mapping[str, Any] | None = None,
    *,
    about: Verdict | None = None,
    fragment: str = NEW,
    revision: str = "r3",
    carried: Callable[[str], str | None] = HISTORY.get,
    second: int = 0,
    too_large: str = "",
    unpublished: str = "",
) -> dict[str, Any] | None:
    """`status.decide` on a route that was changed with r3, the newest revision, at second 0."""
    chosen = about if about is not None else verdict()
    part = ConfigFragment(chosen.meta.kind, fragment, carried, revision, too_large, unpublished)
    return decision.decide(chosen, part, acks, current, at(second))


def written_status(*arguments: Any, **named: Any) -> dict[str, Any]:
    """The same, where something has to be written."""
    status = decide(*arguments, **named)
    assert status is not None
    return status


def condition(status: Mapping[str, Any], kind: str) -> dict[str, Any]:
    (only,) = [item for item in status["conditions"] if item["type"] == kind]
    assert isinstance(only, dict)
    return only


def condition_line(status: Mapping[str, Any], kind: str = "Programmed") -> str:
    """A condition in one line."""
    item = condition(status, kind)
    return f"{item['status']} {item['reason']}: {item['message']}"
