"""Answers that wait until the test lets them go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

from inferway_fakes.upstream import Answer, Close, Pause, Seen, answer

_GRAIN = 0.005


class Gate:
    """Requests wait before it, whatever their number, until it is opened."""

    def __init__(self) -> None:
        self._open = threading.Event()

    def open(self) -> None:
        """Let all go that wait, and all that come later."""
        self._open.set()

    def before(self, pieces: Iterable[bytes | Close | Pause]) -> Iterator[bytes | Close | Pause]:
        """These pieces of an answer, once the gate is open."""
        while not self._open.is_set():
            yield Pause(_GRAIN)
        yield from pieces

    def script(self, after: Callable[[Seen], Answer] = lambda seen: answer()) -> Callable[[Seen], Answer]:
        """A script of which every answer waits."""
        return lambda seen: self.before(after(seen))
