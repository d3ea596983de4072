"""The faults of `FaultyTcp`, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MAX_DELAY = 60.0
"""Seconds."""
MAX_CUT = 1 << 30
"""Bytes."""


class Accepting(StrEnum):
    """The result of a client's attempt to connect."""

    FORWARD = "forward"
    """It is accepted and forwarded to the target."""
    SILENT = "silent"
    """It is accepted; the client's bytes are discarded and never answered."""
    REFUSE = "refuse"
    """There is no listener: connection refused. The port stays reserved."""
    DROP = "drop"
    """Nothing is accepted and the queue is full: the client's SYN gets no answer, so the client keeps trying."""


class Ending(StrEnum):
    """How a connection is closed, on both sides of the proxy."""

    FIN = "fin"
    """In order, after what was sent."""
    RST = "rst"
    """A reset: bytes that the peer has not read may be lost."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One direction of every connection. Raises `ValueError` for a figure out of bounds."""

    delay: float = 0.0
    """Seconds each piece is held. Pieces do not overtake each other, so this bounds the rate of pieces too."""
    bytes_per_second: int = 0
    """0 = no limit."""
    cut_after: int | None = None
    """Bytes in this direction after which the connection ends: 0 = before the first. None = never."""
    cut: Ending = Ending.FIN
    is_stopped: bool = False
    """Nothing is read: the sender's buffers fill, and the sender must wait."""

    def __post_init__(self) -> None:
        if not 0 <= self.delay <= MAX_DELAY:
            raise ValueError(f"delay is 0 to {MAX_DELAY} s, not {self.delay}")
        if self.bytes_per_second < 0:
            raise ValueError(f"bytes_per_second is 0 (no limit) or more, not {self.bytes_per_second}")
        if self.cut_after is not None and not 0 <= self.cut_after <= MAX_CUT:
            raise ValueError(f"cut_after is 0 to {MAX_CUT} bytes, not {self.cut_after}")

    def piece_size(self, largest: int) -> int:
        """Return the bytes to move at once: with a limit, the bytes of a tenth of a second."""
        return max(1, min(largest, self.bytes_per_second // 10)) if self.bytes_per_second else largest

    def seconds_for(self, size: int) -> float:
        """Return how long to hold a piece of `size` bytes."""
        return self.delay + (size / self.bytes_per_second if self.bytes_per_second else 0.0)

    def allowed(self, carried: int, size: int) -> tuple[int, bool]:
        """Return how many of `size` bytes may pass after `carried` ones, and whether the connection ends with them."""
        if self.cut_after is None or carried + size < self.cut_after:
            return size, False
        return max(0, self.cut_after - carried), True
