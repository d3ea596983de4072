"""A request's body on its way up: kept until a connection takes it, and for a further try."""

from collections.abc import Callable
from math import inf

from inferway_dataplane.engine.http1 import serialize
from inferway_dataplane.engine.upstream.connection import HIGH_WATER


class RequestBody:
    """The pieces of one body, as they came. Where a further try may follow they are kept, up to HIGH_WATER."""

    __slots__ = ("_is_chunked", "_kept", "_limit", "_waiting", "gate", "is_complete", "is_lost", "size")

    def __init__(self, is_chunked: bool) -> None:
        self._is_chunked = is_chunked
        self._waiting: list[bytes] = []
        self._kept: list[bytes] = []
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

    def take(self, *, keeps: bool) -> bytes:
        """What waits, as it goes to the upstream. `keeps`: for a further try."""
        waiting, self._waiting = self._waiting, []
        if waiting or self.is_complete:
            if keeps and not self.is_lost and self.size <= HIGH_WATER:
                self._kept += waiting
            else:
                self.is_lost = True
                self._kept = []
        if not self._is_chunked:
            return b"".join(waiting)
        end = serialize.LAST_CHUNK if self.is_complete else b""
        return b"".join(map(serialize.chunk, waiting)) + end

    def bring_back(self) -> None:
        """Let the kept pieces wait again: another try follows."""
        self._waiting = self._kept + self._waiting
        self._kept = []
