"""The format of the published documents: the newest one that every pod of the data plane reads. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Self, get_args

from inferway_contract.document import FORMAT, Format

HOLD: Final = 10.0
"""Seconds for which every pod must read a newer format before it is published: during an upgrade pods of both versions start."""
_WRITTEN: Final[tuple[Format, ...]] = get_args(Format)


def newest_common(known: Iterable[Collection[int]]) -> Format:
    """Return the newest format that all pods read, of those that this version writes; the newest of all without a pod.

    `known`: the formats of each pod. A pod that reads none of this version's formats does not count, as no choice helps it. Of
    pods without a format in common those with the oldest one are served: a false report forces an older format at most.
    """
    readable = [{version for version in _WRITTEN if version in formats} for formats in known]
    readable = [versions for versions in readable if versions]
    common = set(_WRITTEN).intersection(*readable)
    return max(common) if common else min(set[Format]().union(*readable))


@dataclass(frozen=True, slots=True)
class FormatChoice:
    """The chosen format, and when a newer one may follow."""

    version: Format = FORMAT
    newer: Format | None = None
    """A newer format that every pod reads."""
    due: float = 0.0
    """When `newer` is chosen if it stays possible, in monotonic seconds."""

    def with_pods(self, known: Iterable[Collection[int]], now: float) -> Self:
        """Return the choice at `now`: an older format at once, a newer one after `HOLD`."""
        possible = newest_common(known)
        if possible <= self.version:
            return type(self)(possible)
        due = self.due if self.newer == possible else now + HOLD
        return type(self)(possible) if now >= due else type(self)(self.version, possible, due)

    def remaining(self, now: float) -> float | None:
        """Return the seconds until a newer format is chosen, if no pod changes that; None = never."""
        return None if self.newer is None else max(0.0, self.due - now)
