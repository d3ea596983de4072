"""Mistakes as they are told: where, in which manifest, what. Safe to print, whatever the input held."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from inferway_contract.field_errors import dotted, printable

_LONGEST: Final = 1_000
# Names and keys may be as long as a file; what is wrong with them has to stay in sight.
_LONGEST_PART: Final = 200
MOST_TOLD: Final = 200
"""Mistakes in one report. A file of another format has one for every line, and the first ones tell as much."""


class Diagnostic(NamedTuple):
    """`FILE:LINE: document N, KIND ns/name, spec.rules[0].name: message`, as far as each part is known."""

    file: str
    line: int
    where: tuple[str, ...]
    path: tuple[str | int, ...]
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        parts = (*self.where, dotted(self.path)) if self.path else self.where
        subject = ", ".join(_cut(part, _LONGEST_PART) for part in parts)
        text = f"{place}: {subject}: {self.message}" if subject else f"{place}: {self.message}"
        return printable(_cut(text, _LONGEST))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def told(mistakes: Sequence[Diagnostic]) -> list[str]:
    """Each mistake in a line; the excess as a number."""
    lines = [str(mistake) for mistake in mistakes[:MOST_TOLD]]
    if len(mistakes) > MOST_TOLD:
        lines.append(f"... and {len(mistakes) - MOST_TOLD:,} more")
    return lines


def report(mistakes: Sequence[Diagnostic]) -> str:
    """All of them as one text."""
    return "\n".join(told(mistakes))
