"""A request's body on its way up: kept until a connection takes it, and for a further try."""

from collections.abc import Callable
from math import inf
from typing import Final

from inferway_dataplane.core.upstreams.kept_bodies import KeptBodies
from inferway_dataplane.engine.http1 import serialize

_OF_A_PIECE: Final = 64
"""Bytes of memory that a piece takes in addition to its content: a client can send a body byte by byte."""

_MOST_PIECES: Final = 1024
"""A body of more pieces is joined before it is sent again."""


class RequestBody:
    """The pieces of one body, as they came. Where a further try may follow they are kept, as far as the cap allows."""

    __slots__ = (
        "_budget",
        "_counted",
        "_is_chunked",
        "_kept",
        "_limit",
        "_taken",
        "_waiting",
        "gate",
        "is_complete",
        "is_lost",
        "size",
    )

    def __init__(self, is_chunked: bool) -> None:
        self._is_chunked = is_chunked
        self._waiting: list[bytes] = []
        self._kept: list[bytes] = []
        self._taken = 0  # bytes that this try took, as they are counted
        self._counted = 0  # bytes that `_budget` counts for this body
        self._budget: KeptBodies | None = None
        self.size = 0  # bytes of content so far
        self.is_complete = False  # set for the chunked coding only, which has an end of its own
        self.is_lost = False  # a part was sent and not kept, so the body cannot be sent again
        self.gate: Callable[[bytes], None] | None = None  # gets the whole body before an upstream gets any of it
        self._limit = inf  # bytes that the gate allows

    def add(self, data: bytes) -> bool:
        """Take a piece. False: it is more than the gate allows."""
        self.size += len(data)
        self._waiting.append(data)
        return self.size <= self._limit

    def set_gate(self, gate: Callable[[bytes], None], limit: int) -> None:
        """Keep the body for the gate, up to `limit` bytes."""
        self.gate, self._limit = gate, limit

    def open_gate(self) -> None:
        """The body is complete: hand it over."""
        gate, self.gate, self._limit = self.gate, None, inf
        if gate is not None:
            gate(b"".join(self._waiting))

    def take(self, budget: KeptBodies | None) -> list[bytes]:
        """What waits, as it goes to the upstream. `budget`: keep it for a further try, if this has room; None = do not."""
        waiting, self._waiting = self._waiting, []
        if waiting or self.is_complete:
            self._taken += sum(map(len, waiting)) + _OF_A_PIECE * len(waiting)
            if budget is not None and not self.is_lost and self._count(budget, self._taken - self._counted):
                self._kept += waiting
            else:
                self.drop_kept()
        if not self._is_chunked:
            return waiting
        # Three pieces each, so that no content is copied.
        pieces = [part for piece in waiting for part in (b"%x\r\n" % len(piece), piece, b"\r\n")]
        if self.is_complete:
            pieces.append(serialize.LAST_CHUNK)
        return pieces

    def _count(self, budget: KeptBodies, more: int) -> bool:
        # Less than nothing: a try before this one took more, and all of that is still counted.
        if more > 0:
            if not budget.enter(more):
                return False
            self._budget = budget
            self._counted += more
        return True

    def bring_back(self) -> None:
        """Let the kept pieces wait again: another try follows."""
        pieces = self._kept + self._waiting
        # Sending a million tiny pieces again would stop the loop for a second.
        self._waiting = pieces if len(pieces) <= _MOST_PIECES else [b"".join(pieces)]
        self._kept = []
        self._taken = 0

    def drop_kept(self) -> None:
        """Keep nothing more: what was sent cannot be sent again."""
        self.is_lost = True
        self._kept = []
        if self._budget is not None:
            self._budget.leave(self._counted)
            self._budget, self._counted = None, 0
