"""What the compiler thinks of one object that is not stored yet: mistakes, and what is valid and unwise. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from inferway_contract.conditions import Condition, ConditionType
from inferway_contract.field_errors import FieldError
from inferway_operator import compiler
from inferway_operator.admission import relevant_world
from inferway_operator.compiler import Verdict
from inferway_operator.world.objects import PolicyObject, RouteObject
from inferway_operator.world.world import World


@dataclass(frozen=True, slots=True)
class Findings:
    """With any complaint the object would not be accepted, or not all of it."""

    complaints: tuple[FieldError, ...] = ()
    warnings: tuple[str, ...] = ()


def find(candidate: RouteObject | PolicyObject, world: World) -> Findings:
    """What is wrong with the candidate, were it in this world in place of what has its kind and name."""
    narrowed = relevant_world.relevant_world(candidate, world)
    verdicts = {(said.meta.kind, said.meta.id): said for said in compiler.compile(narrowed.world).verdicts}
    verdict = verdicts.get((candidate.meta.kind, candidate.meta.id))
    if verdict is None:  # of a namespace that is going away
        return Findings()
    accepted = next(said for said in verdict.conditions if said.type is ConditionType.ACCEPTED)
    warnings = [*map(str, verdict.unresolved), *verdict.shadowed]
    if not verdict.complaints:
        warnings += _held_back(accepted)
        rivals = (verdicts.get((candidate.meta.kind, rival)) for rival in narrowed.rivals)
        warnings += _taken_from(verdict, (rival for rival in rivals if rival is not None))
    if isinstance(candidate, PolicyObject):
        warnings += _without_targets(candidate, world)
    return Findings(verdict.complaints, tuple(warnings))


def _held_back(accepted: Condition) -> Iterator[str]:
    """What `Accepted=True` adds to the number of rules: that an invalid policy makes them refuse."""
    _, _, addition = accepted.message.partition("; ")
    if addition:
        yield addition


def _taken_from(verdict: Verdict, rivals: Iterator[Verdict]) -> Iterator[str]:
    for rival in rivals:
        if rival.meta.age > verdict.meta.age and rival.shadowed:
            yield f"GatewayRoute {rival.meta.id} is younger and has a match of this one: it gets no such requests"


def _without_targets(policy: PolicyObject, world: World) -> Iterator[str]:
    namespace = policy.meta.namespace
    is_for_all = policy.spec is not None and not policy.targets
    if is_for_all and not any(route.meta.namespace == namespace for route in world.routes):
        yield f"spec.targetRefs: absent means every GatewayRoute of namespace {namespace}, and there is none"
