"""Messages of an admission response: bounded, printable, one per line, as an HTTP header can carry them.

Kubernetes cuts a warning at 256 characters, and all warnings of one request at 4,096, including those of other webhooks
("Dynamic Admission Control", Response). Cuts are marked; the object's status has the full list.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from inferway_contract.field_errors import FieldError, dotted, printable
from inferway_operator.compiler import messages

WARNING_CHARACTERS: Final = 256
MOST_WARNINGS: Final = 7
"""One more line has the number of the rest: together at most half of Kubernetes' limit."""

CAUSE_CHARACTERS: Final = 500
MOST_CAUSES: Final = 20

_SEE_STATUS: Final = "more of this kind: see the object's status"


def warnings(texts: Sequence[str]) -> list[str]:
    """Return the first distinct warnings, cut to size, and the number of the rest."""
    distinct = list(dict.fromkeys(printable(text) for text in texts))
    shown = [_cut(text, WARNING_CHARACTERS) for text in distinct[:MOST_WARNINGS]]
    rest = len(distinct) - len(shown)
    return [*shown, f"{rest} {_SEE_STATUS}"] if rest else shown


def message(errors: Iterable[FieldError]) -> str:
    """Join the errors in one line, as in the condition `Accepted`."""
    return messages.joined(errors)


def causes(errors: Sequence[FieldError]) -> list[FieldError]:
    """Return the first errors as causes, cut to size, and the number of the rest."""
    shown = [_cause(error) for error in errors[:MOST_CAUSES]]
    rest = len(errors) - len(shown)
    return [*shown, FieldError((), f"and {rest} more")] if rest else shown


def _cause(error: FieldError) -> FieldError:
    # A path may hold keys of any text: `dotted` returns a single step unchanged.
    place = _cut(printable(dotted(error.path)), CAUSE_CHARACTERS)
    return FieldError((place,) if place else (), _cut(printable(error.message), CAUSE_CHARACTERS))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
