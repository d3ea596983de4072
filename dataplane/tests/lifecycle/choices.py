"""Where a scenario's choices come from: bytes, so that random numbers, hypothesis and a shrinker all can give them."""

from itertools import pairwise


class Choices:
    """Reads one byte for each choice. When the bytes are spent, every choice is the first one, which ends things."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def are_spent(self) -> bool:
        """Whether no byte is left."""
        return self._at >= len(self._data)

    def below(self, count: int) -> int:
        """A number from 0 to `count - 1`; `count` is at most 256."""
        if self._at >= len(self._data):
            return 0
        byte = self._data[self._at]
        self._at += 1
        return byte % count

    def one_in(self, count: int) -> bool:
        """Whether something rare happens; not when the bytes are spent."""
        return self.below(count) == count - 1

    def cut(self, data: bytes, pieces: int) -> list[bytes]:
        """`data` in at most `pieces` segments, cut anywhere."""
        cuts = sorted({0, len(data), *((self.below(256) * len(data)) >> 8 for _ in range(pieces - 1))})
        return [data[start:end] for start, end in pairwise(cuts)]
