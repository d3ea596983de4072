"""What matching a request with patterns may cost. Beyond it the request is refused, and never falls to a broader rule.

RE2 takes time in proportion to program and text: where its cache of states is too small for a pattern, each byte of the
text visits each instruction. A hostname may have thousands of patterns, so that one request could hold up all others.
"""

from collections.abc import Callable
from typing import Any, Final

MOST_STEPS: Final = 4_000_000
"""Of one request: instructions of a pattern times bytes of the value, over all patterns that are tried. One such step takes
6 ns at most (`(?:[ab]?[ab]*){100}x`), so all take 25 ms; with usual patterns, a step takes from 0.01 to 1 ns."""
TRIED_STEPS: Final = 500
"""Added for each pattern that is tried: a call of RE2 takes about 2 µs, whatever the pattern."""
KNOWN_STEPS: Final = 50
"""Added where the result is known, or RE2 is not needed for it: 0.2 µs."""


class TooCostly(Exception):  # noqa: N818 - it names what the request is, and becomes the code `matching_too_costly`
    """The patterns of a hostname cannot be tried with this request."""


class Program:
    """A compiled pattern. `size`: instructions of its program; 0 for a literal beginning, which needs none."""

    __slots__ = ("fullmatch", "size")

    def __init__(self, regex: Any) -> None:
        self.fullmatch: Callable[[bytes], object] = regex.fullmatch
        self.size: int = regex.programsize

    @property
    def is_literal(self) -> bool:
        return self.size == 0


class Evaluation:
    """The patterns that one request was matched with. A pattern is tried once with the same value."""

    __slots__ = ("_results", "_steps")

    def __init__(self) -> None:
        self._results: dict[tuple[Program, bytes], bool] = {}
        self._steps = MOST_STEPS

    def is_match(self, program: Program, value: bytes) -> bool:
        """Whether the whole value matches. Raises `TooCostly`."""
        key = (program, value)
        result = self._results.get(key)
        is_tried = result is None and program.size
        steps = TRIED_STEPS + program.size * (len(value) + 1) if is_tried else KNOWN_STEPS
        if steps > self._steps:
            raise TooCostly
        self._steps -= steps
        if result is None:
            result = self._results[key] = program.fullmatch(value) is not None
        return result
