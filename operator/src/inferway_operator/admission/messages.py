"""What the author of a reviewed object reads: bounded, on lines of their own, in characters that a header can carry.

Kubernetes cuts a warning at 256 characters, and all warnings to one request at 4,096, those of other webhooks included
("Dynamic Admission Control", Response). What is cut here says so; the object's status has all of it.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from inferway_contract.field_errors import FieldError, dotted, printable
from inferway_operator.compiler import messages

WARNING_CHARACTERS: Final = 256
MOST_WARNINGS: Final = 7
"""And one line that says how many more there are: together at most half of what Kubernetes passes on."""

CAUSE_CHARACTERS: Final = 500
MOST_CAUSES: Final = 20

_SEE_STATUS: Final = "more of this kind: see the object's status"


def warnings(found: Sequence[str]) -> list[str]:
    """Each once, the first ones whole or cut, and how many are not there."""
    distinct = list(dict.fromkeys(printable(text) for text in found))
    told = [_cut(text, WARNING_CHARACTERS) for text in distinct[:MOST_WARNINGS]]
    rest = len(distinct) - len(told)
    return [*told, f"{rest} {_SEE_STATUS}"] if rest else told


def message(complaints: Iterable[FieldError]) -> str:
    """All in one line, in the words of the condition `Accepted`."""
    return messages.joined(complaints)


def causes(complaints: Sequence[FieldError]) -> list[FieldError]:
    """The same one by one, for clients that list them."""
    told = [_cause(complaint) for complaint in complaints[:MOST_CAUSES]]
    rest = len(complaints) - len(told)
    return [*told, FieldError((), f"and {rest} more")] if rest else told


def _cause(complaint: FieldError) -> FieldError:
    # A path may hold keys that somebody made up: `dotted` of one step gives it back as it is.
    place = _cut(printable(dotted(complaint.path)), CAUSE_CHARACTERS)
    return FieldError((place,) if place else (), _cut(printable(complaint.message), CAUSE_CHARACTERS))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
