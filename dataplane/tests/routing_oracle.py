"""Routing without an index: every match of every rule is tried. What tests of the table compare it with."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

from inferway_contract.document import Match, ValueMatch
from inferway_dataplane.core.messages import request_head, request_target
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.routing import table
from inferway_dataplane.core.routing.compiled_match import CompiledMatch
from inferway_dataplane.core.routing.table import RoutingTable
from inferway_dataplane.core.steps import completed

R = TypeVar("R")

_RANKS = {"Exact": 0, "RegularExpression": 1, "PathPrefix": 2}


@dataclass(frozen=True, slots=True)
class RouteEntry(Generic[R]):
    """A match of a rule under one hostname (`""` = any host). `age`: the position of its route, the oldest first."""

    hostname: str
    match: Match
    age: int
    index: int
    rule: R


def table_of(entries: Iterable[RouteEntry[R]]) -> RoutingTable[R]:
    """The table of entries, each as a route of its own."""
    by_age = sorted(entries, key=lambda entry: (entry.age, entry.index))
    return completed(
        table.building([((entry.hostname,), (CompiledMatch(entry.match, entry.rule),)) for entry in by_age])
    )


def make_request(
    target: bytes, host: bytes = b"a.example", method: bytes = b"GET", fields: tuple[tuple[bytes, bytes], ...] = ()
) -> RequestHead:
    head = attempt(target, host, method, fields)
    assert isinstance(head, RequestHead)
    return head


def attempt(
    target: bytes, host: bytes = b"a.example", method: bytes = b"GET", fields: tuple[tuple[bytes, bytes], ...] = ()
) -> RequestHead | Problem:
    head = request_head.read_request(method, [(b"Host", host), *fields], is_http_1_1=True)
    assert isinstance(head, RequestHead)
    return request_target.locate(head, target) or head


def host_rank(hostname: str, host: str) -> int | None:
    """0 is best; None = another host."""
    if hostname == "":
        return 100
    if hostname.startswith("*."):
        suffix = hostname[1:]
        return 50 - hostname.count(".") if host.endswith(suffix) and host != suffix else None
    return 0 if hostname == host else None


def fits_value(match: ValueMatch, value: bytes | None) -> bool:
    if value is None:
        return False
    return (
        value.decode() == match.value
        if match.type == "Exact"
        else re.fullmatch(match.value, value.decode()) is not None
    )


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def fits(match: Match, head: RequestHead, raw_path: bytes) -> bool:
    path, value = raw_path.decode(errors="surrogateescape"), match.path.value
    if match.path.type == "Exact":
        is_path = path == value
    elif match.path.type == "PathPrefix":
        is_path = value == "/" or path == value or path.startswith(value + "/")
    else:
        # RE2 matches characters: what is not UTF-8 is none.
        is_path = _is_utf8(raw_path) and re.fullmatch(value, path) is not None
    query: dict[str, bytes] = {}
    for pair in (head.query or b"").split(b"&"):
        name, _, text = pair.partition(b"=")
        query.setdefault(name.decode(), unquote_to_bytes(text))
    sent = {name.lower().decode(): text for name, text in head.fields}
    return (
        is_path
        and match.method in (None, head.method.decode())
        and all(fits_value(one, sent.get(one.name)) for one in match.headers)
        and all(fits_value(one, query.get(one.name)) for one in match.query)
    )


def select(entries: list[RouteEntry[int]], head: RequestHead, path: bytes) -> int | None:
    """The rule of the greatest of all matching entries, by the tuple that api.md documents. `path`: the match path."""
    ranked = [
        (
            rank, _RANKS[claim.match.path.type], -len(claim.match.path.value), claim.match.method is None,
            -len(claim.match.headers), -len(claim.match.query), claim.age, claim.index, claim.rule,
        )
        for claim in entries
        if (rank := host_rank(claim.hostname, head.host.decode())) is not None and fits(claim.match, head, path)
    ]  # fmt: skip
    return min(ranked)[-1] if ranked else None
