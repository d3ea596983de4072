"""Fields of a status that another manager keeps although the operator does not write them any more. Pure.

Server-side apply removes a field only if no other manager has it. A status that a backup or a person wrote has such fields.
"""

from collections.abc import Mapping
from typing import Any, Final

from inferway_contract.conditions import ConditionType

_OURS: Final = frozenset(kind.value for kind in ConditionType)


def removal(status: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the merge patch (RFC 7396) that removes them from the stored status; None if there are none.

    `status`: as applied. `stored`: as the API server has it since. Conditions of other controllers stay.
    """
    wanted = {condition["type"] for condition in status["conditions"]}
    conditions = stored.get("conditions") or []
    kept = [condition for condition in conditions if condition["type"] in wanted or condition["type"] not in _OURS]
    patch: dict[str, Any] = {} if len(kept) == len(conditions) else {"conditions": kept}
    block, stored_block = status.get("dataPlane"), stored.get("dataPlane")
    if block is None and stored_block is not None:
        patch["dataPlane"] = None
    elif block is not None and (extra := (stored_block or {}).keys() - block.keys()):
        patch["dataPlane"] = dict.fromkeys(sorted(extra))
    return patch or None
