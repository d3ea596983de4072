"""Waiting for what programs become."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep


class TooLate(Exception):  # noqa: N818 - it names what was found
    """Something did not come true in time."""


def until(is_so: Callable[[], bool], what: str | Callable[[], str], deadline: float) -> None:
    """Wait until something is so; `deadline` in seconds. Raises `TooLate` with what was awaited, asked for then."""
    end = monotonic() + deadline
    while not is_so():
        if monotonic() > end:
            raise TooLate(f"not within {deadline:.0f} s: {what if isinstance(what, str) else what()}")
        sleep(0.02)
