"""Consistent hashing with bounded load: equal keys go to the same member, which keeps what it has in its caches.

Each member has `POINTS` places on a ring of 64-bit numbers; a key belongs to the first place at or after its own hash.
When one of n members goes, only its keys (about 1/n) move, and they spread over all others (Karger et al., 1997). A member
never takes more than `FACTOR` times the average of requests in flight; what is over it goes on to the next place on the
ring (Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2018), so one hot key cannot sink one
member.

Backends are chosen by weighted rendezvous hashing: each draws a number from the key and its own name, and the weights
decide whose is the least; a backend that goes loses its own keys only.
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
"""How far above the average a member's requests in flight may be."""

POINTS: Final = 64
"""Places of each member: shares then differ by about an eighth, which the bound evens out under load."""

_POINTS_A_DIGEST: Final = 8


class ConsistentHash:
    """The ring of one backend: of all its members, also of those that are not available just now."""

    __slots__ = ("_members", "_owners", "_places")

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = tuple(members)
        self._places, self._owners = _ring(tuple(member.name for member in members))

    def pick(self, members: Sequence[Member], draw: Draw, now: float, key: bytes | None) -> Member:
        """The key's member; without a key the less loaded of two."""
        if len(members) == 1:
            return members[0]
        if key is None:
            return least_request.pick(members, draw())
        bound = bound_of(members)
        are_all = len(members) == len(self._members)
        start = bisect_left(self._places, number(key))
        for turn in range(start - len(self._places), start):
            member = self._members[self._owners[turn]]
            if member.endpoint.active < bound and (are_all or member in members):
                return member
        # The least loaded is below the bound, so this is for members that are not of this ring.
        return least_request.pick(members, draw())


def bound_of(members: Sequence[Member]) -> float:
    """Requests in flight that none of these may exceed when one more comes."""
    in_flight: int = sum([member.endpoint.active for member in members])
    return FACTOR * (in_flight + 1) / len(members)


def number(data: bytes) -> int:
    """64 bits that depend on every byte, the same in every process."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


@lru_cache(maxsize=32)
def _ring(names: tuple[str, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Places in order, and whose they are (an index). Kept: most new documents change no member of most backends."""
    found = []
    for owner, name in enumerate(names):
        for part in range(POINTS // _POINTS_A_DIGEST):
            digest = blake2b(name.encode(), person=part.to_bytes(2, "little")).digest()
            found += [(place, owner) for place in unpack("<8Q", digest)]
    found.sort()
    return tuple(place for place, _ in found), tuple(owner for _, owner in found)


class HashedOption(Protocol):
    """Something with a weight above 0 and a name of its own."""

    weight: int
    seed: bytes


S = TypeVar("S", bound=HashedOption)


def rendezvous(options: Sequence[S], key: bytes) -> S:
    """The key's option; over many keys each gets its share by weight."""
    if len(options) == 1:
        return options[0]
    return min(options, key=lambda option: _distance(option, key))


def _distance(option: HashedOption, key: bytes) -> float:
    # An exponential variable with the weight as its rate: of several the least is each one's with its share of the sum.
    return -log((number(option.seed + b"\0" + key) + 1) / (1 << 64)) / option.weight
