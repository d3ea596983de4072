"""The condition `Ready`: whether an object does what its author wrote, for tools that know one condition. Pure.

`kubectl wait --for=condition=Ready`, `helm --wait` and Flux (kstatus) wait until it is True for the newest generation.
"""

from collections.abc import Iterable
from typing import Final

from inferway_contract.conditions import Condition, ConditionType, Reason

_REQUIRED: Final = (
    ConditionType.ACCEPTED,
    ConditionType.RESOLVED_REFS,
    ConditionType.TARGETS_RESOLVED,
    ConditionType.PROGRAMMED,
)
"""In their order: the first that is not fulfilled is the reason. `Enforced` follows from `Programmed`."""


def ready_condition(conditions: Iterable[Condition]) -> Condition:
    """Decide `Ready` from the other conditions of an object."""
    by_type = {condition.type: condition for condition in conditions}
    for kind in _REQUIRED:
        condition = by_type.get(kind)
        if condition is not None and not _is_fulfilled(condition):
            message = f"{kind.value}: {condition.message}"
            return Condition(type=ConditionType.READY, status=False, reason=condition.reason, message=message)
    message = "valid, resolved and served by every pod"
    return Condition(type=ConditionType.READY, status=True, reason=Reason.READY, message=message)


def _is_fulfilled(condition: Condition) -> bool:
    # Rules that return 500 are not what the author wrote, although the others are served.
    return condition.status and condition.reason is not Reason.PARTIALLY_INVALID
