"""The routing table: find the rule for a request.

Precedence is a comparison of tuples (api.md, "Precedence"): the host's specificity, then the path (Exact, then
RegularExpression by longer pattern, then PathPrefix by longer prefix), a method, the number of headers, the number of
query parameters, and last the age of the route and the position of the rule. The table keeps entries sorted by that tuple
and skips entries that cannot match. The entries of a host are tried before those of a less specific host.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from urllib.parse import unquote_to_bytes

from inferway_contract import patterns, protection
from inferway_contract.document import Match, ValueMatch
from inferway_dataplane.core.messages.request_head import RequestHead

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
    """One match of one rule. `order`: the sort key within a host, highest precedence first."""

    __slots__ = ("headers", "is_plain", "method", "order", "path", "path_type", "query", "regex", "rule")

    def __init__(self, match: Match, age: int, index: int, rule: R) -> None:
        self.rule = rule
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

    def fits(self, head: RequestHead) -> bool:
        """Whether method, headers and query match; the caller has matched the path."""
        if self.method is not None and self.method != head.method:
            return False
        for name, exact, regex in self.headers:
            value = head.value(name)
            if value is None or (value != exact if regex is None else regex.fullmatch(value) is None):
                return False
        if self.query:
            values = parameters(head.query)
            for name, exact, regex in self.query:
                value = values.get(name)
                if value is None or (value != exact if regex is None else regex.fullmatch(value) is None):
                    return False
        return True


def parameters(query: bytes | None) -> dict[bytes, bytes]:
    """Decode query parameters; the first of each name counts."""
    values: dict[bytes, bytes] = {}
    if query:
        # Not `parse_qsl`: it decodes to text and fails on non-ASCII bytes.
        for pair in query.split(b"&"):
            name, mark, value = pair.replace(b"+", b" ").partition(b"=")
            if name or mark:
                values.setdefault(unquote_to_bytes(name), unquote_to_bytes(value))
    return values


class _HostTable(Generic[R]):
    """The entries of one hostname: by exact path, by pattern, by prefix."""

    __slots__ = ("exact", "prefix", "regex")

    def __init__(self, entries: list[CompiledMatch[R]]) -> None:
        self.exact: dict[bytes, list[CompiledMatch[R]]] = {}
        self.prefix: dict[bytes, list[CompiledMatch[R]]] = {}
        self.regex: list[CompiledMatch[R]] = []
        for entry in sorted(entries, key=lambda entry: entry.order):
            if entry.path_type == "RegularExpression":
                self.regex.append(entry)
            else:
                table = self.exact if entry.path_type == "Exact" else self.prefix
                table.setdefault(entry.path, []).append(entry)

    def find(self, head: RequestHead) -> CompiledMatch[R] | None:
        path = head.match_path
        if self.exact:
            for entry in self.exact.get(path, ()):
                if entry.is_plain or entry.fits(head):
                    return entry
        for entry in self.regex:
            if entry.regex.fullmatch(path) is not None and entry.fits(head):
                return entry
        # Prefixes match whole segments, so only the path's own ancestors can be prefixes: one look-up for each.
        prefixes = self.prefix
        candidate = path
        while candidate:
            for entry in prefixes.get(candidate, ()):
                if entry.is_plain or entry.fits(head):
                    return entry
            candidate = candidate[: candidate.rfind(b"/")] if b"/" in candidate else b""
        for entry in prefixes.get(b"/", ()):
            if entry.is_plain or entry.fits(head):
                return entry
        return None


@dataclass(frozen=True, slots=True)
class RouteEntry(Generic[R]):
    """A match of a rule under one hostname (`""` = any host). `age`: the position of its route, oldest first."""

    hostname: str
    match: Match
    age: int
    index: int
    rule: R


class RoutingTable(Generic[R]):
    """The entries of all routes, by hostname."""

    def __init__(self, routes: Iterable[RouteEntry[R]]) -> None:
        entries: dict[str, list[CompiledMatch[R]]] = {}
        for route in routes:
            entries.setdefault(route.hostname, []).append(
                CompiledMatch(route.match, route.age, route.index, route.rule)
            )
        tables = {name.encode(): _HostTable(of_host) for name, of_host in entries.items()}
        self._any = tables.pop(b"", None)
        self._exact = {name: table for name, table in tables.items() if not name.startswith(b"*.")}
        wildcards = {name[1:]: table for name, table in tables.items() if name.startswith(b"*.")}
        # `*.a.example.com` before `*.example.com`: more labels, more specific.
        self._wildcards = sorted(wildcards.items(), key=lambda item: -item[0].count(b"."))
        self._memo: dict[bytes, tuple[_HostTable[R], ...]] = {}

    def find(self, head: RequestHead) -> CompiledMatch[R] | None:
        """Return the matching entry with the highest precedence, or None."""
        tables = self._memo.get(head.host)
        if tables is None:
            tables = self._tables(head.host)
        for table in tables:
            entry = table.find(head)
            if entry is not None:
                return entry
        return None

    def _tables(self, host: bytes) -> tuple[_HostTable[R], ...]:
        exact = self._exact.get(host)
        host_tables = [] if exact is None else [exact]
        host_tables += [table for suffix, table in self._wildcards if host.endswith(suffix) and len(host) > len(suffix)]
        if self._any is not None:
            host_tables.append(self._any)
        if len(self._memo) >= _MEMO_BOUND:
            self._memo.clear()
        self._memo[host] = tuple(host_tables)
        return self._memo[host]
