"""The compiled patterns of the live document. Each is compiled once, and kept while a rule has it."""

from collections.abc import Iterable
from typing import Any, Final

import re2

from inferway_contract import patterns, protection
from inferway_dataplane.core.routing.evaluation import Program

Programs = dict[str, Program | None]
"""By pattern; None = it cannot be compiled."""

_UNKNOWN: Final[Any] = object()


class LiteralBeginning:
    """What stands for a pattern that is nothing but a literal beginning; it takes no program of RE2."""

    __slots__ = ("_literal",)
    programsize: Final = 0

    def __init__(self, literal: bytes) -> None:
        self._literal = literal

    def fullmatch(self, text: bytes) -> bool | None:
        """Return whether the pattern matches all of a text; None = it does not, as RE2 returns it."""
        return text.startswith(self._literal) or None


class PatternPrograms:
    """The patterns of one runtime while it is built."""

    def __init__(self, older: Programs) -> None:
        self._older = older
        self._programs: dict[str, Program | None] = {}

    def size(self, pattern: str) -> int:
        """Compile a pattern, unless that happened before, and return its size; 0 for a literal beginning."""
        program = self._program(pattern)
        if program is not None and program.is_literal:
            return 0
        return patterns.size(pattern)

    def is_readable(self, pattern: str) -> bool:
        """Whether the pattern can be compiled."""
        return self._program(pattern) is not None

    def compiled(self, pattern: str) -> Program:
        """Return the compiled pattern. Raises `re2.error` if it cannot be compiled."""
        program = self._program(pattern)
        if program is None:
            raise re2.error(patterns.error_of(pattern))
        return program

    def of(self, used: Iterable[str]) -> Programs:
        """Return the programs of these patterns, for the next runtime."""
        return {pattern: self._program(pattern) for pattern in used}

    def _program(self, pattern: str) -> Program | None:
        program: Program | None = self._programs.get(pattern, _UNKNOWN)
        if program is _UNKNOWN:
            program = self._older.get(pattern, _UNKNOWN)
            if program is _UNKNOWN:
                program = _compiled(pattern)
            self._programs[pattern] = program
        return program


def _compiled(pattern: str) -> Program | None:
    literal = protection.literal_of(pattern)
    if literal is not None:
        return Program(LiteralBeginning(literal))
    try:
        return Program(patterns.compiled(pattern))
    except re2.error:
        return None
