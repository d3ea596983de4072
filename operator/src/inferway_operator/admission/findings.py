"""Findings about one object that is not stored yet: errors, and warnings about a valid object. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from inferway_contract.conditions import ConditionType
from inferway_contract.field_errors import FieldError
from inferway_operator import compiler
from inferway_operator.admission import relevant_world
from inferway_operator.compiler import Verdict, bounds
from inferway_operator.world.objects import PolicyObject, RouteObject
from inferway_operator.world.world import World


@dataclass(frozen=True, slots=True)
class Findings:
    """With any error the object would not be accepted, or only partly."""

    errors: tuple[FieldError, ...] = ()
    warnings: tuple[str, ...] = ()


def find(candidate: RouteObject | PolicyObject, world: World) -> Findings:
    """Compile the candidate in the world, replacing the object of its name."""
    over = bounds.excess_of(candidate, world)
    if over is not None:
        return Findings((*candidate.errors, over))  # and nothing of it is compiled
    relevant = relevant_world.relevant_world(candidate, world)
    verdicts = {(verdict.meta.kind, verdict.meta.id): verdict for verdict in compiler.compile(relevant.world).verdicts}
    verdict = verdicts.get((candidate.meta.kind, candidate.meta.id))
    if verdict is None:  # its namespace is being deleted
        return Findings()
    accepted = next(item for item in verdict.conditions if item.type is ConditionType.ACCEPTED)
    warnings = [
        *map(str, (*verdict.unresolved, *verdict.advice)),
        *verdict.left_out,
        *verdict.shadowed,
        *verdict.overlaps,
    ]
    if not verdict.errors:
        # The part of the message of `Accepted=True` about invalid policies that make rules refuse.
        warnings += accepted.message.split("; ", 1)[1:]
        rivals = (verdicts.get((candidate.meta.kind, rival)) for rival in relevant.rivals)
        warnings += _shadowing(verdict, (rival for rival in rivals if rival is not None))
        if relevant.left_out:
            warnings.append(f"{relevant.left_out} more GatewayRoutes share a match with this route: see its status")
    if isinstance(candidate, PolicyObject):
        warnings += _without_targets(candidate, world)
    return Findings(verdict.errors, tuple(warnings))


def _shadowing(verdict: Verdict, rivals: Iterator[Verdict]) -> Iterator[str]:
    for rival in rivals:
        if rival.meta.age > verdict.meta.age and rival.shadowed:
            yield f"GatewayRoute {rival.meta.id} is younger and has the same match: this route takes its requests"


def _without_targets(policy: PolicyObject, world: World) -> Iterator[str]:
    namespace = policy.meta.namespace
    is_for_all = policy.spec is not None and not policy.targets
    if is_for_all and not any(route.meta.namespace == namespace for route in world.routes):
        yield f"no GatewayRoute found in namespace {namespace}: without spec.targetRefs the policy applies to all of them"
