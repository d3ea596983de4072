"""The runtime: the documents compiled for the request path. Immutable once built, except for buckets and counters.

Buckets, counters, endpoints and members with their health outlive a runtime: they are passed in, so a new document never
refills a bucket, resets a metric, drops a connection or restores an ejected endpoint. Rules that did not change are kept as
they are. A runtime is built step by step: no document, however large, holds up requests for longer than one step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from inferway_contract import pattern_bounds
from inferway_contract.document import ConfigDocument, EndpointsDocument
from inferway_contract.pattern_bounds import PatternBounds
from inferway_contract.policy_targets import PolicyTargets
from inferway_dataplane.core.compiled_routes import CompiledRoute, CompiledRule, RouteCompiler
from inferway_dataplane.core.invalid_rules import Credential, InvalidRule
from inferway_dataplane.core.limits.policy_sets import BucketName, PolicySets
from inferway_dataplane.core.limits.token_bucket import Bucket
from inferway_dataplane.core.routing import table
from inferway_dataplane.core.routing.pattern_programs import PatternPrograms, Programs
from inferway_dataplane.core.routing.table import RoutingTable
from inferway_dataplane.core.rule import CountersOf, Rule, RuleContext
from inferway_dataplane.core.steps import Steps
from inferway_dataplane.core.upstreams.backends import BackendResolver, EndpointFactory, Members


@dataclass(slots=True, eq=False, repr=False)
class Runtime:
    """The compiled documents; a request reads it once, and keeps the rule."""

    config: ConfigDocument
    endpoints: EndpointsDocument
    table: RoutingTable[Rule]
    buckets: dict[BucketName, Bucket]
    upstreams: set[Any]
    rules: list[Rule]
    members: Members
    counters_of: CountersOf
    secrets: set[str]
    invalid_rules: tuple[InvalidRule, ...]
    """Those of the documents; rules without their secret come in addition."""
    credentials: tuple[Credential, ...]
    routes: dict[str, CompiledRoute]
    """By id: these and what follows are kept for the next runtime."""
    policies: PolicySets
    programs: Programs

    def releasing(self) -> Steps[None]:
        """Let go of everything step by step, once no new request reads this runtime: at once it would take long.

        What the newer runtime has too stays, as do the rules of requests that are under way.
        """
        rules: list[CompiledRule] = []
        for route in self.routes.values():
            rules += route.rules
            yield
        self.routes.clear()
        yield
        self.rules.clear()
        yield
        yield from self.table.releasing()
        for by_name in (self.members, self.counters_of, self.programs):
            while by_name:
                by_name.popitem()
                yield
        while rules:
            rules.pop()
            yield


def building(
    config: ConfigDocument,
    endpoints: EndpointsDocument,
    *,
    endpoint_of: EndpointFactory,
    stats_of: Callable[[str, str], Any],
    stages_of: Callable[[Rule], tuple[Any, ...]] = lambda rule: (),
    preflight_stages: tuple[Any, ...] = (),
    older: Runtime | None,
    live: Runtime | None = None,
    now: float,
    bounds: PatternBounds = pattern_bounds.HARD,
) -> Steps[Runtime]:
    """Compile the documents step by step. Raises `LookupError` if they do not fit together.

    With the swap, levels of rate limits are still to be inherited (`Runtime.policies`).

    `endpoint_of`, `stats_of` and `stages_of` return what a rule holds for the engine; `preflight_stages`: of the
    preflights that a rule answers itself; `live`: what requests use, where `older` was never swapped in; `now`:
    monotonic seconds.
    """
    older_members = older.members if older is not None else {}
    live_members = live.members if live is not None else None
    resolver = BackendResolver(endpoints.services, endpoint_of, older_members, now, live_members)
    context = RuleContext(
        resolver, stats_of, stages_of, preflight_stages, older.counters_of if older is not None else {}
    )
    programs = PatternPrograms(older.programs if older is not None else {})
    policies = PolicySets(older.policies if older is not None else None)
    compiler = RouteCompiler(context, programs, older.routes if older is not None else {}, bounds)
    known_policies = []
    for policy in config.policies:
        known_policies.append(policies.known(policy))
        yield
    targets = PolicyTargets(known_policies)
    routes: list[CompiledRoute] = []
    yield from compiler.measuring(config.routes)
    for route in config.routes:
        sets = []
        for rule in route.rules:
            attached = () if rule.refusal else targets.of(route.id, rule.name)
            sets.append((yield from policies.set_of(attached)))
        routes.append((yield from compiler.compiling(route, sets)))
        yield
    rules = [compiled for route in routes for compiled in route.rules]
    by_host = ((route.hostnames or ("",), route.entries) for route in routes)
    routing_table = yield from table.building(by_host, older.table if older is not None else None)
    yield
    runtime = Runtime(
        config,
        endpoints,
        routing_table,
        policies.buckets,
        resolver.upstreams,
        [compiled.rule for compiled in rules],
        resolver.members,
        context.counters_of,
        resolver.secrets,
        tuple(invalid for compiled in rules for invalid in compiled.invalid),
        tuple(credential for compiled in rules for credential in compiled.credentials),
        {document.id: route for document, route in zip(config.routes, routes, strict=True)},
        policies,
        programs.of(pattern for compiled in rules for pattern in compiled.patterns),
    )
    yield
    policies.forget_older()
    return runtime
