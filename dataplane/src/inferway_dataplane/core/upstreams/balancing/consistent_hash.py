"""Consistent hashing with bounded load: equal keys go to the same member.

Each member has `POINTS` points on a ring of 64-bit numbers; a key belongs to the first point at or after its own hash.
When one of n members leaves, only its keys (about 1/n) move, and they spread over all others (Karger et al., 1997). A
member never takes more than `FACTOR` times the average of requests in flight; the excess moves to the next point on the
ring (Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2018), so one hot key cannot overload one
member.

Backends are chosen by weighted rendezvous hashing: each gets a number from the key and its name, scaled by its weight, and
the least one is chosen; when a backend leaves, only its own keys move.
"""

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from math import log
from struct import unpack
from typing import Final, Protocol, TypeVar

from inferway_dataplane.core.upstreams.balancing import least_request
from inferway_dataplane.core.upstreams.balancing.balancer import Draw
from inferway_dataplane.core.upstreams.members import Member

FACTOR: Final = 1.25
"""Upper bound of a member's requests in flight, as a multiple of the average."""

POINTS: Final = 64
"""Points of each member: shares then differ by about an eighth, which the bound evens out under load."""

_POINTS_A_DIGEST: Final = 8


class ConsistentHash:
    """The ring of all members of one backend, available or not."""

    __slots__ = ("_members", "_owners", "_points")

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = tuple(members)
        self._points, self._owners = _ring(tuple(member.name for member in members))

    def pick(self, members: Sequence[Member], draw: Draw, now: float, key: bytes | None) -> Member:
        """Choose the key's member; without a key the less loaded of two."""
        if len(members) == 1:
            return members[0]
        if key is None:
            return least_request.pick(members, draw())
        bound = bound_of(members)
        are_all = len(members) == len(self._members)
        start = bisect_left(self._points, hash64(key))
        for index in range(start - len(self._points), start):
            member = self._members[self._owners[index]]
            if member.endpoint.active < bound and (are_all or member in members):
                return member
        # The least loaded is always below the bound, so these members are not part of this ring.
        return least_request.pick(members, draw())


def bound_of(members: Sequence[Member]) -> float:
    """Return the bound on requests in flight of one member, counting the new request."""
    in_flight: int = sum([member.endpoint.active for member in members])
    return FACTOR * (in_flight + 1) / len(members)


def hash64(data: bytes) -> int:
    """Hash bytes to 64 bits, equally in every process."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


@lru_cache(maxsize=32)
def _ring(names: tuple[str, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return sorted points and their owners' indexes. Memoised: most documents change few members."""
    ring = []
    for owner, name in enumerate(names):
        for part in range(POINTS // _POINTS_A_DIGEST):
            digest = blake2b(name.encode(), person=part.to_bytes(2, "little")).digest()
            ring += [(point, owner) for point in unpack("<8Q", digest)]
    ring.sort()
    return tuple(point for point, _ in ring), tuple(owner for _, owner in ring)


class HashedOption(Protocol):
    """An option with a weight above 0 and a unique name (`seed`)."""

    weight: int
    seed: bytes


S = TypeVar("S", bound=HashedOption)


def rendezvous(options: Sequence[S], key: bytes) -> S:
    """Choose the key's option; over many keys each option gets its share by weight."""
    if len(options) == 1:
        return options[0]
    return min(options, key=lambda option: _distance(option, key))


def _distance(option: HashedOption, key: bytes) -> float:
    # Exponentially distributed with the weight as its rate: each option is the least in proportion to its weight.
    return -log((hash64(option.seed + b"\0" + key) + 1) / (1 << 64)) / option.weight
