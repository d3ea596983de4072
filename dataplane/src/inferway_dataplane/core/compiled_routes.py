"""Routes and rules as they are compiled, kept from one document to the next where nothing of them has changed.

A rule depends on its document, its policies, the endpoints of its backends, and whether its route fits the bounds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from inferway_contract import pattern_bounds, protection
from inferway_contract.document import Backend, Route
from inferway_contract.document import Rule as RuleDocument
from inferway_contract.pattern_bounds import Excess, PatternBounds
from inferway_dataplane.core import invalid_rules
from inferway_dataplane.core.invalid_rules import Credential, InvalidRule
from inferway_dataplane.core.limits.policy_sets import PolicySet
from inferway_dataplane.core.routing.compiled_match import CompiledMatch
from inferway_dataplane.core.routing.pattern_programs import PatternPrograms
from inferway_dataplane.core.routing.table import Entries
from inferway_dataplane.core.rule import Rule, RuleContext
from inferway_dataplane.core.steps import Steps


@dataclass(slots=True, eq=False)
class CompiledRule:
    """A rule, and what it was compiled from."""

    document: RuleDocument
    policies: PolicySet
    backends: tuple[Backend, ...]
    """Those that were resolved."""
    excess: str
    """Why its patterns are not compiled; "" = they are."""
    rule: Rule
    entries: Entries[Rule]
    patterns: tuple[str, ...]
    """Those that requests are matched with."""
    invalid: tuple[InvalidRule, ...]
    credentials: tuple[Credential, ...]


@dataclass(slots=True, eq=False)
class CompiledRoute:
    """A route with its rules. `pattern_size`: sum of the sizes of its patterns, at least if it exceeds the bound.

    It is None where it was not measured, as its namespace has too many patterns already.
    """

    hostnames: tuple[str, ...]
    rules: tuple[CompiledRule, ...]
    entries: Entries[Rule]
    pattern_size: int | None


_MEASURED: Final = 2
"""Patterns of a namespace are measured up to this number of times its bound: to measure a pattern is to compile it."""
_NO_ROUTE: Final = CompiledRoute((), (), (), 0)


@dataclass(slots=True, eq=False)
class _Measured:
    """A route before it is compiled: its rules, those that did not change as before, and what its patterns take."""

    documents: list[RuleDocument]
    size: int | None
    excess: Excess | None = None


class RouteCompiler:
    """Compiles the routes of one document: first `measuring`, then `compiling` of each."""

    def __init__(
        self,
        context: RuleContext,
        programs: PatternPrograms,
        older: Mapping[str, CompiledRoute],
        bounds: PatternBounds,
    ) -> None:
        """`older`: routes of the older runtime by id."""
        self._context = context
        self._programs = programs
        self._older = older
        self._bounds = bounds
        self._measured: dict[str, _Measured] = {}

    def measuring(self, routes: Sequence[Route]) -> Steps[None]:
        """Measure the patterns of all routes, and decide which of them are over a bound."""
        spent: dict[str, int] = {}
        sizes: list[tuple[str, int | None]] = []
        for route in routes:
            namespace = route.id.partition("/")[0]
            documents = yield from self._known(route.rules, self._older.get(route.id, _NO_ROUTE))
            size = None
            if spent.get(namespace, 0) <= _MEASURED * self._bounds.namespace:
                size = yield from self._size(route.id, documents)
                spent[namespace] = spent.get(namespace, 0) + size
            elif not self._has_pattern(documents):
                size = 0
            self._measured[route.id] = _Measured(documents, size)
            sizes.append((namespace, size))
            yield
        result = pattern_bounds.excesses(sizes, self._bounds)
        for route, excess in zip(routes, result, strict=True):
            self._measured[route.id].excess = excess
        yield

    def compiling(self, route: Route, policies: Iterable[PolicySet]) -> Steps[CompiledRoute]:
        """Compile a route, or keep what did not change. `policies`: of each rule. `LookupError` as `Rule`."""
        older = self._older.get(route.id, _NO_ROUTE)
        measured = self._measured[route.id]
        documents, size, excess = measured.documents, measured.size, measured.excess
        by_name = {known.document.name: known for known in older.rules}
        rules = []
        for document, policy_set in zip(documents, policies, strict=True):
            known = by_name.get(document.name)
            if known is not None and self._is_same(route.id, known, document, policy_set, excess):
                self._keep(route.id, known)
                rules.append(known)
            else:
                rules.append((yield from self._rule(route.id, document, policy_set, excess)))
            yield
        if len(rules) == len(older.rules) and all(map(_is_identical, rules, older.rules)):
            entries = older.entries
        else:
            entries = tuple(entry for rule in rules for entry in rule.entries)
        return CompiledRoute(route.hostnames, tuple(rules), entries, size)

    def _known(self, documents: Iterable[RuleDocument], older: CompiledRoute) -> Steps[list[RuleDocument]]:
        """Return the older objects of equal documents, so that later identity is enough to compare them."""
        by_name = {known.document.name: known.document for known in older.rules}
        result = []
        for document in documents:
            known = by_name.get(document.name)
            is_same = known is not None and (known is document or known == document)
            result.append(known if known is not None and is_same else document)
            yield
        return result

    def _size(self, route: str, documents: list[RuleDocument]) -> Steps[int]:
        older = self._older.get(route, _NO_ROUTE)
        if (
            older.pattern_size is not None
            and len(documents) == len(older.rules)
            and all(document is known.document for document, known in zip(documents, older.rules, strict=True))
        ):
            return older.pattern_size
        return (yield from self._pattern_size(documents))

    def _has_pattern(self, documents: Iterable[RuleDocument]) -> bool:
        written = pattern_bounds.patterns_of(match for document in documents for match in document.matches)
        return any(protection.literal_of(pattern) is None for pattern in written)

    def _pattern_size(self, documents: Iterable[RuleDocument]) -> Steps[int]:
        """Compile the patterns of a route one by one, and add up their sizes. Beyond the bound it stops."""
        written = pattern_bounds.patterns_of(match for document in documents for match in document.matches)
        limit = self._bounds.route
        total = 0
        for pattern in dict.fromkeys(written):
            total += self._programs.size(pattern)
            if total > limit:
                break
            yield
        return total

    def _is_same(
        self, route: str, known: CompiledRule, document: RuleDocument, policies: PolicySet, excess: Excess | None
    ) -> bool:
        return (
            known.document is document
            and known.policies is policies
            and known.excess == _text(excess)
            and self._context.resolver.is_current(
                known.backends, known.rule.backend_set.backends, (route, document.name)
            )
        )

    def _keep(self, route: str, known: CompiledRule) -> None:
        rule = known.rule
        self._context.counters_of[route, rule.name] = rule.breaker.counters
        self._context.resolver.keep((route, rule.name), rule.backend_set.backends)

    def _rule(
        self, route: str, document: RuleDocument, policies: PolicySet, excess: Excess | None
    ) -> Steps[CompiledRule]:
        detail = _text(excess)
        programs = self._programs
        protected = yield from invalid_rules.protecting(document, programs.is_readable, detail)
        rule = Rule(route, protected, policies, self._context)
        entries = []
        for match in protected.matches:
            entries.append(CompiledMatch(match, rule, rule.preflight, compiled=programs.compiled))
            yield
        return CompiledRule(
            document,
            policies,
            protected.backends,
            detail,
            rule,
            tuple(entries),
            tuple(dict.fromkeys(pattern_bounds.patterns_of(protected.matches))),
            tuple(invalid_rules.in_rule(route, protected)),
            tuple(invalid_rules.credentials_of(route, protected)),
        )


def _text(excess: Excess | None) -> str:
    return "" if excess is None else str(excess)


def _is_identical(rule: CompiledRule, older: CompiledRule) -> bool:
    return rule is older
