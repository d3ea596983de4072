"""The routing table: find the rule for a request.

Precedence is a comparison of tuples (api.md, "Precedence"): the host's specificity, then the path (Exact, then
RegularExpression by longer pattern, then PathPrefix by longer prefix), a method, the number of headers, the number of
query parameters, and last the age of the route and the position of the rule. The table keeps entries sorted by that tuple
and skips entries that cannot match. The entries of a host are tried before those of a less specific host.
"""

from collections.abc import Iterable, Mapping
from operator import is_
from typing import Any, Final, Generic, TypeVar

from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.query_parameters import Parameters, spellings
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.routing import cors, host_table, path_readings
from inferway_dataplane.core.routing.compiled_match import CompiledMatch
from inferway_dataplane.core.routing.evaluation import Evaluation, TooCostly
from inferway_dataplane.core.routing.host_table import HostTable
from inferway_dataplane.core.steps import Steps

R = TypeVar("R")

Entries = tuple[CompiledMatch[R], ...]
"""Those of one route, in the order of its rules."""

_MEMO_BOUND: Final = 4096


_HostTables = tuple[tuple[HostTable[Any], ...], bool, bool]
"""The tables that a host's requests are looked up in, most specific first. Whether the path has a part in the selection: if
not, all readings of a path select the same. Whether there are patterns."""


class RoutingTable(Generic[R]):
    """The entries of all routes, by hostname (`""` = any host)."""

    def __init__(
        self, hosts: Mapping[str, HostTable[R]], query_names: Iterable[bytes], tables: dict[Any, HostTable[R]]
    ) -> None:
        """`query_names`: of all conditions; `tables`: by the entries that they are of, for the next routing table."""
        by_name = {name.encode(): table for name, table in hosts.items()}
        self.tables = tables
        self._any = by_name.pop(b"", None)
        self._exact = {name: table for name, table in by_name.items() if not name.startswith(b"*.")}
        self._wildcards = {name[1:]: table for name, table in by_name.items() if name.startswith(b"*.")}
        self._query_names = spellings(query_names)
        self._no_parameters = Parameters(None, {})
        self._no_evaluation = Evaluation()
        self._memo: dict[bytes, _HostTables] = {}

    def select(self, head: RequestHead) -> CompiledMatch[R] | Problem:
        """Return the matching entry with the highest precedence, or the problem of a request without one.

        Refuses a path of which another reading selects another rule, or none where the path itself selects one, and a
        request that would cost too much: what it would have matched is unknown.
        """
        tables, is_path_relevant, has_patterns = self._memo.get(head.host) or self._tables(head.host)
        query = Parameters(head.query, self._query_names) if self._query_names else self._no_parameters
        wanted = cors.preflight_method(head) if head.method == b"OPTIONS" else None
        evaluation = Evaluation() if has_patterns else self._no_evaluation
        path = head.match_path
        try:
            entry = _find(tables, path, head, query, wanted, evaluation)
            if is_path_relevant and path_readings.may_differ(path):
                rule = None if entry is None else entry.rule
                readings = path_readings.readings(path, head.path)
                if readings is None:
                    return problems.AMBIGUOUS_PATH
                for reading in readings:
                    other = _find(tables, reading, head, query, wanted, evaluation)
                    if (None if other is None else other.rule) is not rule:
                        return problems.AMBIGUOUS_PATH
        except TooCostly:
            return problems.MATCHING_TOO_COSTLY
        return problems.NO_ROUTE if entry is None else entry

    def releasing(self) -> Steps[None]:
        """Let go of all entries, one hostname a step. Afterwards nothing is found."""
        self._any = None
        self._memo.clear()
        yield
        for by_key in (self._exact, self._wildcards, self.tables):
            while by_key:
                by_key.popitem()
                yield

    def _tables(self, host: bytes) -> _HostTables:
        exact = self._exact.get(host)
        tables = [] if exact is None else [exact]
        # `*.a.example.com` before `*.example.com`: more labels, more specific.
        dot = host.find(b".", 1)
        while dot > 0 and self._wildcards:
            if (wildcard := self._wildcards.get(host[dot:])) is not None:
                tables.append(wildcard)
            dot = host.find(b".", dot + 1)
        if self._any is not None:
            tables.append(self._any)
        if len(self._memo) >= _MEMO_BOUND:
            self._memo.clear()
        host_tables = (
            tuple(tables),
            any(table.is_path_relevant for table in tables),
            any(table.has_patterns for table in tables),
        )
        self._memo[host] = host_tables
        return host_tables


def _find(
    tables: tuple[HostTable[R], ...],
    path: bytes,
    head: RequestHead,
    query: Parameters,
    wanted: bytes | None,
    evaluation: Evaluation,
) -> CompiledMatch[R] | None:
    """Find the entry of a path. `wanted`: the method that a preflight asks for."""
    if wanted is not None:
        preflight = _find_preflight(tables, path, query, wanted, evaluation)
        if preflight is not None:
            return preflight
    for table in tables:
        for entry in table.candidates(path, evaluation):
            if entry.is_plain or entry.fits(head, query, evaluation):
                return entry
    return None


def _find_preflight(
    tables: tuple[HostTable[R], ...], path: bytes, query: Parameters, wanted: bytes, evaluation: Evaluation
) -> CompiledMatch[R] | None:
    """Find the entry that answers a preflight: that of the request announced, whose headers are not known yet.

    None = the rule of that request has no CORS filter: the preflight is an ordinary OPTIONS request.
    """
    for table in tables:
        for entry in table.candidates(path, evaluation):
            if (entry.method is None or entry.method == wanted) and entry.fits_query(query, evaluation):
                if entry.preflight is not None:
                    return entry.preflight
                if not entry.headers:
                    return None
                # The announced request may have those headers or not: what comes next may be its rule too.
    return None


def building(
    routes: Iterable[tuple[Iterable[str], Entries[R]]], older: RoutingTable[R] | None = None
) -> Steps[RoutingTable[R]]:
    """Build a table step by step. `routes`: hostnames and entries of each, the oldest first.

    Hostnames with the same routes share their entries. What is the same in the older table is taken from it.
    """
    of_hosts: dict[str, list[Entries[R]]] = {}
    query_names: dict[bytes, None] = {}
    for hostnames, entries in routes:
        for hostname in dict.fromkeys(hostnames):
            of_hosts.setdefault(hostname, []).append(entries)
        for entry in entries:
            if entry.query:
                query_names.update((name, None) for name, _, _ in entry.query)
        yield
    tables: dict[_Key, HostTable[R]] = {}
    hosts: dict[str, HostTable[R]] = {}
    for hostname, groups in of_hosts.items():
        key = _Key(groups)
        table = tables.get(key) or (older.tables.get(key) if older is not None else None)
        if table is None:
            table = yield from host_table.building([entry for entries in groups for entry in entries])
        tables[key] = hosts[hostname] = table
        yield
    return RoutingTable(hosts, query_names, tables)


class _Key:
    """The entries of a hostname, which are the same only if they are identical: comparing many would take long."""

    __slots__ = ("_groups", "_hash")

    def __init__(self, groups: list[Entries[Any]]) -> None:
        self._groups = groups
        self._hash = hash(tuple(map(id, groups)))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Key) or len(self._groups) != len(other._groups):
            return False
        return all(map(is_, self._groups, other._groups))
