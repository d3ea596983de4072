"""Routes and rules as they are compiled, kept from one document to the next where nothing of them has changed.

A rule depends on its document, its policies, the endpoints of its backends, and whether its route fits the bounds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from inferway_contract import pattern_bounds
from inferway_contract.document import Backend, Route
from inferway_contract.document import Rule as RuleDocument
from inferway_contract.pattern_bounds import Excess, PatternBounds, PatternSums
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
    """A route with its rules. `pattern_size`: sum of the sizes of its patterns, at least if it exceeds the bound."""

    hostnames: tuple[str, ...]
    rules: tuple[CompiledRule, ...]
    entries: Entries[Rule]
    pattern_size: int


_NO_ROUTE: Final = CompiledRoute((), (), (), 0)


class RouteCompiler:
    """Compiles the routes of one document, the oldest first."""

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
        self._sums = PatternSums(bounds)

    def compiling(self, route: Route, policies: Iterable[PolicySet]) -> Steps[CompiledRoute]:
        """Compile a route, or keep what did not change. `policies`: of each rule. `LookupError` as `Rule`."""
        older = self._older.get(route.id, _NO_ROUTE)
        documents = yield from self._known(route.rules, older)
        if len(documents) == len(older.rules) and all(
            document is known.document for document, known in zip(documents, older.rules, strict=True)
        ):
            size = older.pattern_size
        else:
            size = yield from self._pattern_size(documents)
        excess = self._sums.admit(route.id.partition("/")[0], size)
        by_name = {known.document.name: known for known in older.rules}
        rules = []
        for document, policy_set in zip(documents, policies, strict=True):
            known = by_name.get(document.name)
            if known is not None and self._is_same(known, document, policy_set, excess):
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

    def _pattern_size(self, documents: Iterable[RuleDocument]) -> Steps[int]:
        """Compile the patterns of a route one by one, and add up their sizes. Beyond the bound it stops."""
        written = pattern_bounds.patterns_of(match for document in documents for match in document.matches)
        limit = self._sums.bounds.route
        total = 0
        for pattern in dict.fromkeys(written):
            total += self._programs.size(pattern)
            if total > limit:
                break
            yield
        return total

    def _is_same(self, known: CompiledRule, document: RuleDocument, policies: PolicySet, excess: Excess | None) -> bool:
        return (
            known.document is document
            and known.policies is policies
            and bool(known.excess) == (excess is not None)
            and self._context.resolver.is_current(known.backends, known.rule.backend_set.backends)
        )

    def _keep(self, route: str, known: CompiledRule) -> None:
        rule = known.rule
        self._context.counters_of[route, rule.name] = rule.breaker.counters
        self._context.resolver.keep((route, rule.name), rule.backend_set.backends)

    def _rule(
        self, route: str, document: RuleDocument, policies: PolicySet, excess: Excess | None
    ) -> Steps[CompiledRule]:
        detail = str(excess) if excess is not None else ""
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


def _is_identical(rule: CompiledRule, older: CompiledRule) -> bool:
    return rule is older
