"""The compiler's passes in one list. Pure: equal worlds, equal bytes; no clock, no network, no exception."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from inferway_contract.document import ConfigDocument, EndpointsDocument
from inferway_operator.compiler import (
    backends,
    bounds,
    emit,
    filters,
    hostnames,
    matches,
    memo,
    overlaps,
    policies,
    rules,
    shadowing,
    upstreams,
    verdicts,
)
from inferway_operator.compiler.draft import Draft, Memo
from inferway_operator.compiler.verdicts import Verdict
from inferway_operator.world.bounds import Usage
from inferway_operator.world.world import World

PASSES: Final[tuple[Callable[[Draft], None], ...]] = (
    hostnames.check,  # a route gets no request for a hostname that its namespace may not claim
    bounds.check,  # before anything is compiled that it refuses
    memo.recall,  # the passes up to `memo.note` have nothing to do with what it knows
    rules.check_names,  # of two rules with one name the second refuses
    matches.normalise,  # paths, names, patterns; also of invalid rules, which refuse the requests of their matches
    filters.translate,  # header edits, rewrites, redirects, direct responses, CORS
    backends.resolve,  # Services and urls, and the permission to name them
    upstreams.translate,  # load balancing, retries, circuit breaker, health checks
    rules.translate_bounds,  # time limits, sizes
    rules.translate_cache,  # how responses are stored, and by which key
    rules.require_action,  # after filters: a redirect is an action
    memo.note,  # what follows depends on other routes and on policies too
    policies.translate,  # limits; an invalid policy stays as it was published
    policies.attach,  # rules refuse for policies that were never valid
    shadowing.find,  # after matches have one form
    overlaps.find,  # likewise
)


@dataclass(frozen=True, slots=True)
class Compilation:
    """Both documents, and a verdict for every object of the world."""

    config: ConfigDocument
    endpoints: EndpointsDocument
    verdicts: tuple[Verdict, ...]
    left_out: Mapping[str, emit.LeftOut] = field(default_factory=dict)
    """What is not in the endpoints document, by Service key; without Services that are complete."""
    usage: Mapping[str, Usage] = field(default_factory=dict)
    """What the accepted objects of each namespace take, where bounds apply."""


def compile(world: World, memo: Memo | None = None) -> Compilation:  # noqa: A001 - the standard term; import the module and qualify
    """Compile a world. Errors of resources are in the verdicts; no exception is raised.

    `memo`: what the compilation before has left; with it only the time is another one.
    """
    draft = Draft.of(world, memo)
    for compile_part in PASSES:
        compile_part(draft)
    config = emit.emit_config(draft)
    return Compilation(
        config,
        emit.emit_endpoints(draft, config),
        verdicts.verdicts_of(draft),
        emit.left_out_of(draft, config),
        draft.usage,
    )
