"""Unexpected errors at the seams of an exchange: whatever raises, everything counted is given back."""

from collections.abc import Callable
from typing import Any


class UnexpectedError(Exception):
    """What a bug might raise."""


class Faults:
    """Raises at the N-th time that a seam is passed; 0 = never."""

    def __init__(self) -> None:
        self._left = 0
        self.raised = ""
        """The seam where it was raised."""

    def arm(self, number: int) -> None:
        """Let the error come at this passage, counted from now."""
        self._left = number

    def at(self, seam: str) -> None:
        """Pass a seam. Raises `UnexpectedError` once."""
        if self._left:
            self._left -= 1
            if not self._left:
                self.raised = seam
                raise UnexpectedError(seam)


class Faulty:
    """An object whose methods pass a seam before they run."""

    def __init__(self, target: Any, faults: Faults) -> None:
        self._target = target
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        return faulty(found, name, self._faults) if callable(found) else found

    def __len__(self) -> int:
        return len(self._target)


def faulty(function: Callable[..., Any], name: str, faults: Faults) -> Callable[..., Any]:
    """A function that passes a seam before it runs."""

    def call(*arguments: Any, **named: Any) -> Any:
        faults.at(name)
        return function(*arguments, **named)

    return call
