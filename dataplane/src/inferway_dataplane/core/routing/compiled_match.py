"""One match of one rule, ready for requests."""

from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from inferway_contract import patterns, protection
from inferway_contract.document import Match, ValueMatch
from inferway_dataplane.core.messages.query_parameters import Parameters
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.routing.evaluation import Evaluation, Program

R = TypeVar("R")

Compiler = Callable[[str], Program]
"""Returns a compiled pattern; raises `re2.error` for a bad one."""

PATH_RANK: Final = {"Exact": 0, "RegularExpression": 1, "PathPrefix": 2}


ValueTest = tuple[bytes, bytes | None, Program | None]
"""The name, and the value or the pattern."""


def _compiled(pattern: str) -> Program:
    return Program(patterns.compiled(pattern))


def _value_tests(matches: Iterable[ValueMatch], compiled: Compiler) -> tuple[ValueTest, ...]:
    return tuple(
        (match.name.encode(), match.value.encode(), None)
        if match.type == "Exact"
        else (match.name.encode(), None, compiled(match.value))
        for match in matches
    )


class CompiledMatch(Generic[R]):
    """One match of one rule. `order`: the sort key within a host, highest precedence first; equal ones by age.

    `preflight`: the same match with the rule that answers its preflights; None = there is none.
    """

    __slots__ = (
        "headers", "is_plain", "method", "order", "path", "path_type", "preflight", "query", "regex", "rule",
    )  # fmt: skip

    def __init__(self, match: Match, rule: R, preflight: R | None = None, *, compiled: Compiler = _compiled) -> None:
        """`preflight`: the rule that answers preflights of requests that match; None = they are ordinary requests."""
        self.rule = rule
        self.path = match.path.value.encode()
        self.path_type = match.path.type
        self.regex = compiled(match.path.value) if match.path.type == "RegularExpression" else None
        self.method = match.method.encode() if match.method else None
        self.headers = _value_tests(match.headers, compiled)
        self.query = _value_tests(match.query, compiled)
        self.is_plain = not (self.method or self.headers or self.query)
        place = match.precedence or protection.precedence_of(match)
        self.order = (
            PATH_RANK[place.path_type],
            -place.path_length,
            not place.has_method,
            -place.headers,
            -place.query,
        )
        self.preflight: CompiledMatch[R] | None = None
        if preflight is not None:
            self.preflight = CompiledMatch(match, preflight, compiled=compiled)

    @property
    def has_patterns(self) -> bool:
        return self.regex is not None or any(regex is not None for _, _, regex in (*self.headers, *self.query))

    def fits_path(self, path: bytes, evaluation: Evaluation) -> bool:
        """Whether the pattern of the path matches. Raises `TooCostly`, as all that evaluates."""
        return self.regex is not None and evaluation.is_match(self.regex, path)

    def fits(self, head: RequestHead, query: Parameters, evaluation: Evaluation) -> bool:
        """Whether method, headers and query match; the caller has matched the path."""
        if self.method is not None and self.method != head.method:
            return False
        for name, exact, regex in self.headers:
            value = head.value(name)
            if value is None or (value != exact if regex is None else not evaluation.is_match(regex, value)):
                return False
        return not self.query or self.fits_query(query, evaluation)

    def fits_query(self, query: Parameters, evaluation: Evaluation) -> bool:
        for name, exact, regex in self.query:
            value = query.get(name)
            if value is None or (value != exact if regex is None else not evaluation.is_match(regex, value)):
                return False
        return True
