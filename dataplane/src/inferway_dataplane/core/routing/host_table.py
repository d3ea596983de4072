"""The entries of one hostname: by exact path, by pattern, by prefix. Its size is linear in the number of entries.

Hostnames with the same routes share a table. A table is built step by step, as ten thousand routes may share a hostname.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final, Generic, TypeVar

from inferway_dataplane.core.routing.compiled_match import PATH_RANK, CompiledMatch
from inferway_dataplane.core.routing.evaluation import Evaluation
from inferway_dataplane.core.steps import Steps

R = TypeVar("R")

_STEP: Final = 500
"""Entries of one step: about half a millisecond."""
_COPIED: Final = 16
"""Entries of shorter prefixes that a prefix has a copy of. Copies of more would cost the product of both numbers."""
_ROOT: Final = b""
"""The prefix `/`, below which all paths are, and prefixes in general: as they are without a slash at the end."""


class HostTable(Generic[R]):
    """The entries of a hostname. `depth`: segments of the longest prefix; `has_patterns`: in any part of a match."""

    __slots__ = ("depth", "exact", "has_patterns", "prefixes", "regex")

    def __init__(self) -> None:
        self.depth = 0
        self.has_patterns = False
        self.exact: dict[bytes, list[CompiledMatch[R]]] = {}
        self.prefixes: dict[bytes, list[CompiledMatch[R]]] = {_ROOT: []}
        self.regex: list[CompiledMatch[R]] = []

    @property
    def is_path_relevant(self) -> bool:
        return bool(self.exact or self.regex or self.depth)

    def candidates(self, path: bytes, evaluation: Evaluation) -> Iterable[CompiledMatch[R]]:
        """Return the entries that match a path, highest precedence first; O(length of the path)."""
        if self.exact or self.regex:
            return self._all_candidates(path, evaluation)
        return self._with_prefix(path) if self.depth else self.prefixes[_ROOT]

    def _all_candidates(self, path: bytes, evaluation: Evaluation) -> Iterator[CompiledMatch[R]]:
        yield from self.exact.get(path, ())
        for entry in self.regex:
            if entry.fits_path(path, evaluation):
                yield entry
        yield from self._with_prefix(path)

    def _with_prefix(self, path: bytes) -> Iterable[CompiledMatch[R]]:
        prefixes = self.prefixes
        # Prefixes match whole segments: no more of them are looked at than the longest prefix has.
        prefix = b"/".join(path.split(b"/", self.depth + 1)[: self.depth + 1])
        entries = prefixes.get(prefix)
        while entries is None:
            prefix = _shortened(prefix)
            entries = prefixes.get(prefix)
        return entries

    def add(self, entry: CompiledMatch[R]) -> None:
        """Add an entry, behind those of a higher precedence."""
        self.has_patterns = self.has_patterns or entry.has_patterns
        if entry.path_type == "RegularExpression":
            self.regex.append(entry)
        elif entry.path_type == "Exact":
            self.exact.setdefault(entry.path, []).append(entry)
        else:
            prefix = _ROOT if entry.path == b"/" else entry.path
            self.prefixes.setdefault(prefix, []).append(entry)
            self.depth = max(self.depth, prefix.count(b"/"))

    def completed(self) -> "Steps[HostTable[R]]":
        """Return the table in which each prefix has the entries of shorter ones too."""
        above: dict[bytes, bytes] = {}
        for prefix in self.prefixes:
            if prefix:
                above[prefix] = shorter = _shortened(prefix)
                while shorter not in self.prefixes:
                    above[prefix] = shorter = _shortened(shorter)
                yield
        longest = sorted(above, key=len)  # linear in time where lengths repeat, as they do among many
        totals = {_ROOT: len(self.prefixes[_ROOT])}
        for prefix in longest:
            totals[prefix] = totals[above[prefix]] + len(self.prefixes[prefix])
            yield
        if any(totals[shorter] > _COPIED for shorter in above.values()):
            return _LinkedHostTable(self, above)
        for prefix in longest:
            self.prefixes[prefix] += self.prefixes[above[prefix]]
            yield
        return self


class _LinkedHostTable(HostTable[R]):
    """The table of a host with many entries of one prefix: longer prefixes have no copies of them.

    `above`: the next shorter prefix with entries.
    """

    __slots__ = ("_above",)

    def __init__(self, table: HostTable[R], above: Mapping[bytes, bytes]) -> None:
        self.depth, self.exact, self.prefixes, self.regex = table.depth, table.exact, table.prefixes, table.regex
        self.has_patterns = table.has_patterns
        self._above = above

    def _with_prefix(self, path: bytes) -> Iterable[CompiledMatch[R]]:
        prefix = b"/".join(path.split(b"/", self.depth + 1)[: self.depth + 1])
        while prefix not in self.prefixes:
            prefix = _shortened(prefix)
        return chain.from_iterable(self._lists(prefix))

    def _lists(self, prefix: bytes) -> Iterator[list[CompiledMatch[R]]]:
        yield self.prefixes[prefix]
        while prefix:
            prefix = self._above[prefix]
            yield self.prefixes[prefix]


class _PartialHostTable(HostTable[R]):
    """The table of a host with prefixes of which only a beginning can be read: they come in the place of what is written.

    `places`: of all entries, in the order of precedence.
    """

    __slots__ = ("_partial", "_places", "_table")

    def __init__(
        self, table: HostTable[R], partial: Sequence[CompiledMatch[R]], places: Mapping[CompiledMatch[R], int]
    ) -> None:
        self.depth, self.exact, self.prefixes, self.regex = table.depth, table.exact, table.prefixes, table.regex
        self.has_patterns = True
        self._table = table
        self._partial = partial
        self._places = places

    @property
    def is_path_relevant(self) -> bool:
        return True

    def candidates(self, path: bytes, evaluation: Evaluation) -> Iterable[CompiledMatch[R]]:
        matching = (entry for entry in self._partial if entry.fits_path(path, evaluation))
        return heapq.merge(self._table.candidates(path, evaluation), matching, key=self._places.__getitem__)


def _shortened(prefix: bytes) -> bytes:
    return prefix[: max(prefix.rfind(b"/"), 0)]


def _is_partial_prefix(entry: CompiledMatch[Any]) -> bool:
    return entry.path_type == "RegularExpression" and entry.order[0] == PATH_RANK["PathPrefix"]


def building(entries: Sequence[CompiledMatch[R]]) -> Steps[HostTable[R]]:
    """Build a table step by step. `entries`: by age, the oldest first."""
    runs = []
    for start in range(0, len(entries), _STEP):
        runs.append(sorted(entries[start : start + _STEP], key=_order))
        yield
    table: HostTable[R] = HostTable()
    partial: list[CompiledMatch[R]] = []
    places: dict[CompiledMatch[R], int] = {}
    # Among equals an entry of an earlier run comes first, which is the older one.
    for place, entry in enumerate(heapq.merge(*runs, key=_order) if len(runs) > 1 else chain(*runs)):
        places[entry] = place
        if _is_partial_prefix(entry):
            partial.append(entry)
        else:
            table.add(entry)
        if place % _STEP == 0:
            yield
    table = yield from table.completed()
    return _PartialHostTable(table, partial, places) if partial else table


def _order(entry: CompiledMatch[Any]) -> tuple[int, int, bool, int, int]:
    return entry.order
