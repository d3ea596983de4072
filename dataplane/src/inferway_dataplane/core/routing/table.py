"""The routing table: find the rule for a request.

Precedence is a comparison of tuples (api.md, "Precedence"): the host's specificity, then the path (Exact, then
RegularExpression by longer pattern, then PathPrefix by longer prefix), a method, the number of headers, the number of
query parameters, and last the age of the route and the position of the rule. The table keeps entries sorted by that tuple
and skips entries that cannot match. The entries of a host are tried before those of a less specific host.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeVar

from inferway_contract import patterns, protection
from inferway_contract.document import Match, ValueMatch
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.query_parameters import Parameters, spellings
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.routing import cors, path_readings

R = TypeVar("R")

_PATH_RANK: Final = {"Exact": 0, "RegularExpression": 1, "PathPrefix": 2}
_MEMO_BOUND: Final = 4096


def _value_tests(matches: Iterable[ValueMatch]) -> tuple[tuple[bytes, bytes | None, Any], ...]:
    return tuple(
        (match.name.encode(), match.value.encode(), None)
        if match.type == "Exact"
        else (match.name.encode(), None, patterns.compiled(match.value))
        for match in matches
    )


class CompiledMatch(Generic[R]):
    """One match of one rule. `order`: the sort key within a host, highest precedence first.

    `preflight`: the same match with the rule that answers its preflights; None = there is none.
    """

    __slots__ = (
        "headers", "is_plain", "method", "order", "path", "path_type", "preflight", "query", "regex", "rule",
    )  # fmt: skip

    def __init__(self, match: Match, age: int, index: int, rule: R) -> None:
        self.rule = rule
        self.preflight: CompiledMatch[R] | None = None
        self.path = match.path.value.encode()
        self.path_type = match.path.type
        self.regex: Any = patterns.compiled(match.path.value) if match.path.type == "RegularExpression" else None
        self.method = match.method.encode() if match.method else None
        self.headers = _value_tests(match.headers)
        self.query = _value_tests(match.query)
        self.is_plain = not (self.method or self.headers or self.query)
        place = match.precedence or protection.precedence_of(match)
        self.order = (
            _PATH_RANK[place.path_type],
            -place.path_length,
            not place.has_method,
            -place.headers,
            -place.query,
            age,
            index,
        )

    def fits(self, head: RequestHead, query: Parameters) -> bool:
        """Whether method, headers and query match; the caller has matched the path."""
        if self.method is not None and self.method != head.method:
            return False
        for name, exact, regex in self.headers:
            value = head.value(name)
            if value is None or (value != exact if regex is None else regex.fullmatch(value) is None):
                return False
        return not self.query or self.fits_query(query)

    def fits_query(self, query: Parameters) -> bool:
        for name, exact, regex in self.query:
            value = query.get(name)
            if value is None or (value != exact if regex is None else regex.fullmatch(value) is None):
                return False
        return True


class _PrefixNode(Generic[R]):
    """A segment of prefixes: the entries of the prefix that ends here, then those of shorter ones; what follows."""

    __slots__ = ("entries", "following")

    def __init__(self) -> None:
        self.entries: list[CompiledMatch[R]] = []
        self.following: dict[bytes, _PrefixNode[R]] = {}


class _HostTable(Generic[R]):
    """The entries of one hostname: by exact path, by pattern, by the segments of prefixes."""

    __slots__ = ("depth", "exact", "prefix", "regex")

    def __init__(self, entries: list[CompiledMatch[R]]) -> None:
        self.exact: dict[bytes, list[CompiledMatch[R]]] = {}
        self.prefix: _PrefixNode[R] = _PrefixNode()
        self.regex: list[CompiledMatch[R]] = []
        self.depth = 0  # segments of the longest prefix
        for entry in sorted(entries, key=lambda entry: entry.order):
            if entry.path_type == "RegularExpression":
                self.regex.append(entry)
            elif entry.path_type == "Exact":
                self.exact.setdefault(entry.path, []).append(entry)
            else:
                self._add_prefix(entry)
        self._add_shorter_ones()

    def _add_prefix(self, entry: CompiledMatch[R]) -> None:
        node = self.prefix
        segments = [] if entry.path == b"/" else entry.path.split(b"/")[1:]
        for segment in segments:
            node = node.following.setdefault(segment, _PrefixNode())
        node.entries.append(entry)
        self.depth = max(self.depth, len(segments))

    def _add_shorter_ones(self) -> None:
        """Complete the nodes; one without entries of its own shares the list of the node above."""
        nodes = [self.prefix]
        for node in nodes:
            for following in node.following.values():
                following.entries = following.entries + node.entries if following.entries else node.entries
                nodes.append(following)

    @property
    def is_path_relevant(self) -> bool:
        return bool(self.exact or self.regex or self.depth)

    def candidates(self, path: bytes) -> Iterable[CompiledMatch[R]]:
        """Return the entries that match a path, highest precedence first; O(length of the path)."""
        if self.exact or self.regex:
            return self._all_candidates(path)
        return self._with_prefix(path) if self.depth else self.prefix.entries

    def _all_candidates(self, path: bytes) -> Iterator[CompiledMatch[R]]:
        yield from self.exact.get(path, ())
        for entry in self.regex:
            if entry.regex.fullmatch(path) is not None:
                yield entry
        yield from self._with_prefix(path)

    def _with_prefix(self, path: bytes) -> list[CompiledMatch[R]]:
        node = self.prefix
        # Prefixes match whole segments: no more of them are looked at than the longest prefix has.
        for segment in path.split(b"/", self.depth + 1)[1 : self.depth + 1]:
            following = node.following.get(segment)
            if following is None:
                break
            node = following
        return node.entries


class _PartialHostTable(_HostTable[R]):
    """The table of a host with prefixes of which only a beginning can be read: they come in the place of what is written."""

    __slots__ = ("partial",)

    def __init__(self, entries: list[CompiledMatch[R]]) -> None:
        super().__init__([entry for entry in entries if not _is_partial_prefix(entry)])
        self.partial = sorted(filter(_is_partial_prefix, entries), key=lambda entry: entry.order)

    @property
    def is_path_relevant(self) -> bool:
        return True

    def candidates(self, path: bytes) -> Iterable[CompiledMatch[R]]:
        matching = (entry for entry in self.partial if entry.regex.fullmatch(path) is not None)
        return heapq.merge(super().candidates(path), matching, key=lambda entry: entry.order)


def _is_partial_prefix(entry: CompiledMatch[Any]) -> bool:
    return entry.path_type == "RegularExpression" and entry.order[0] == _PATH_RANK["PathPrefix"]


def _host_table(entries: list[CompiledMatch[R]]) -> _HostTable[R]:
    return (_PartialHostTable if any(map(_is_partial_prefix, entries)) else _HostTable)(entries)


@dataclass(frozen=True, slots=True)
class RouteEntry(Generic[R]):
    """A match of a rule under one hostname (`""` = any host). `age`: the position of its route, oldest first.

    `preflight`: the rule that answers preflights of requests that match; None = they are ordinary OPTIONS requests.
    """

    hostname: str
    match: Match
    age: int
    index: int
    rule: R
    preflight: R | None = None

    def compiled(self) -> CompiledMatch[R]:
        """Compile the match. Raises `re2.error` for a bad pattern."""
        compiled = CompiledMatch(self.match, self.age, self.index, self.rule)
        if self.preflight is not None:
            compiled.preflight = CompiledMatch(self.match, self.age, self.index, self.preflight)
        return compiled


class _HostTables(NamedTuple):
    """The tables that a host's requests are looked up in, most specific first."""

    tables: tuple[_HostTable[Any], ...]
    is_path_relevant: bool
    """Whether the path has a part in the selection: if not, all readings of a path select the same."""


class RoutingTable(Generic[R]):
    """The entries of all routes, by hostname."""

    def __init__(self, routes: Iterable[RouteEntry[R]]) -> None:
        entries: dict[str, list[CompiledMatch[R]]] = {}
        query_names: set[bytes] = set()
        for route in routes:
            query_names.update(parameter.name.encode() for parameter in route.match.query)
            entries.setdefault(route.hostname, []).append(route.compiled())
        tables = {name.encode(): _host_table(of_host) for name, of_host in entries.items()}
        self._any = tables.pop(b"", None)
        self._exact = {name: table for name, table in tables.items() if not name.startswith(b"*.")}
        wildcards = {name[1:]: table for name, table in tables.items() if name.startswith(b"*.")}
        # `*.a.example.com` before `*.example.com`: more labels, more specific.
        self._wildcards = sorted(wildcards.items(), key=lambda item: -item[0].count(b"."))
        self._query_names = spellings(query_names)
        self._no_parameters = Parameters(None, {})
        self._memo: dict[bytes, _HostTables] = {}

    def select(self, head: RequestHead) -> CompiledMatch[R] | Problem:
        """Return the matching entry with the highest precedence, or the problem of a request without one.

        Refuses a path of which another reading selects another rule, or none where the path itself selects one.
        """
        host_tables = self._memo.get(head.host) or self._tables(head.host)
        query = Parameters(head.query, self._query_names) if self._query_names else self._no_parameters
        wanted = cors.preflight_method(head) if head.method == b"OPTIONS" else None
        path = head.match_path
        entry = _find(host_tables.tables, path, head, query, wanted)
        if host_tables.is_path_relevant and path_readings.may_differ(path):
            rule = None if entry is None else entry.rule
            readings = path_readings.readings(path, head.path)
            if readings is None:
                return problems.AMBIGUOUS_PATH
            for reading in readings:
                other = _find(host_tables.tables, reading, head, query, wanted)
                if (None if other is None else other.rule) is not rule:
                    return problems.AMBIGUOUS_PATH
        return problems.NO_ROUTE if entry is None else entry

    def _tables(self, host: bytes) -> _HostTables:
        exact = self._exact.get(host)
        tables = [] if exact is None else [exact]
        tables += [table for suffix, table in self._wildcards if host.endswith(suffix) and len(host) > len(suffix)]
        if self._any is not None:
            tables.append(self._any)
        if len(self._memo) >= _MEMO_BOUND:
            self._memo.clear()
        host_tables = _HostTables(tuple(tables), any(table.is_path_relevant for table in tables))
        self._memo[host] = host_tables
        return host_tables


def _find(
    tables: tuple[_HostTable[R], ...], path: bytes, head: RequestHead, query: Parameters, wanted: bytes | None
) -> CompiledMatch[R] | None:
    """Find the entry of a path. `wanted`: the method that a preflight asks for."""
    if wanted is not None:
        preflight = _find_preflight(tables, path, query, wanted)
        if preflight is not None:
            return preflight
    for table in tables:
        for entry in table.candidates(path):
            if entry.is_plain or entry.fits(head, query):
                return entry
    return None


def _find_preflight(
    tables: tuple[_HostTable[R], ...], path: bytes, query: Parameters, wanted: bytes
) -> CompiledMatch[R] | None:
    """Find the entry that answers a preflight: that of the request announced, whose headers are not known yet.

    None = the rule of that request has no CORS filter: the preflight is an ordinary OPTIONS request.
    """
    for table in tables:
        for entry in table.candidates(path):
            if (entry.method is None or entry.method == wanted) and entry.fits_query(query):
                if entry.preflight is not None:
                    return entry.preflight
                if not entry.headers:
                    return None
                # The announced request may have those headers or not: what comes next may be its rule too.
    return None
