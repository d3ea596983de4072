"""Answers that wait until the test releases them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

from inferway_fakes.upstream import Answer, Close, Pause, Seen, answer

_GRAIN = 0.005


class Gate:
    """Holds any number of requests until it is opened."""

    def __init__(self) -> None:
        self._open = threading.Event()

    def open(self) -> None:
        """Release all waiting requests, and all later ones."""
        self._open.set()

    def before(self, pieces: Iterable[bytes | Close | Pause]) -> Iterator[bytes | Close | Pause]:
        """Return these pieces of an answer once the gate is open."""
        while not self._open.is_set():
            yield Pause(_GRAIN)
        yield from pieces

    def script(self, after: Callable[[Seen], Answer] = lambda seen: answer()) -> Callable[[Seen], Answer]:
        """Return a script whose answers all wait."""
        return lambda seen: self.before(after(seen))
