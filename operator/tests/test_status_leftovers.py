"""Fields of a status that server-side apply leaves, because another manager has them too."""

from typing import Any

import pytest
import status_situations as at

from inferway_operator.status.leftovers import removal

STATUS = at.written_status(at.all_at("r3"))
SHADOWED = {**STATUS["conditions"][0], "type": "Shadowed"}
THEIRS = {"type": "example.com/Audited", "status": "True", "reason": "Audited", "message": "fine"}


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (STATUS, None),
        ({**STATUS, "conditions": [THEIRS, *STATUS["conditions"]]}, None),
        (
            {**STATUS, "conditions": [SHADOWED, THEIRS, *STATUS["conditions"]]},
            {"conditions": [THEIRS, *STATUS["conditions"]]},
        ),
        (
            {**STATUS, "dataPlane": {**STATUS["dataPlane"], "laggards": [{"pod": "x"}]}},
            {"dataPlane": {"laggards": None}},
        ),
        ({"conditions": STATUS["conditions"]}, None),
        ({}, None),
    ],
)
def test_removal_names_only_stale_fields_of_ours(stored: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert removal(STATUS, stored) == expected


def test_removal_of_a_block_that_is_not_written() -> None:
    without = {field: value for field, value in STATUS.items() if field != "dataPlane"}
    assert removal(without, STATUS) == {"dataPlane": None}
