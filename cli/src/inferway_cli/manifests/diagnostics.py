"""Diagnostics: errors and warnings with file, line and field, safe to print for any input."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from inferway_contract.field_errors import dotted, printable

_LONGEST: Final = 1_000
# Names and keys may be as long as a file. Cut, they leave room for the message.
_LONGEST_PART: Final = 200
MOST_LINES: Final = 200
"""Diagnostics in one report. A file of another format would give one for every line."""


class Diagnostic(NamedTuple):
    """`FILE:LINE: document N, KIND ns/name, spec.rules[0].name: message`, without the unknown parts."""

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


def by_place(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return the diagnostics sorted by file and line; those of one line stay in their order."""
    return sorted(diagnostics, key=lambda diagnostic: (diagnostic.file, diagnostic.line))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def lines(diagnostics: Sequence[Diagnostic]) -> list[str]:
    """Return a line for each of the first diagnostics by file and line, and the number of the others."""
    shown = [str(diagnostic) for diagnostic in by_place(diagnostics)[:MOST_LINES]]
    if len(diagnostics) > MOST_LINES:
        shown.append(f"... and {len(diagnostics) - MOST_LINES:,} more")
    return shown
