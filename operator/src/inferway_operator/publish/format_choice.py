"""The format of the published documents: the newest one that every pod of the data plane reads. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Self, get_args

from inferway_contract.document import FORMAT, Format

HOLD: Final = 10.0
"""Seconds for which every pod must read a newer format before it is published: during an upgrade pods of both versions start."""
LONGEST_HOLD: Final = 600.0
"""Each change writes every document again, so a pod that reports one format and another in turn has ever longer to wait."""
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
    hold: float = HOLD
    """Seconds for which a newer format must be possible: twice as long after each return to an older one."""

    def with_pods(self, known: Iterable[Collection[int]], now: float) -> Self:
        """Return the choice at `now`: an older format at once, a newer one after `hold`."""
        possible = newest_common(known)
        if possible <= self.version:
            hold = min(2 * self.hold, LONGEST_HOLD) if possible < self.version else self.hold
            return type(self)(possible, hold=hold)
        due = self.due if self.newer == possible else now + self.hold
        newer, due = (None, 0.0) if now >= due else (possible, due)
        return type(self)(self.version if newer else possible, newer, due, self.hold)

    def remaining(self, now: float) -> float | None:
        """Return the seconds until a newer format is chosen, if no pod changes that; None = never."""
        return None if self.newer is None else max(0.0, self.due - now)
