"""The compiler: all of it in one list. Pure: equal worlds, equal bytes; no clock, no network, no exception."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from inferway_contract.document import ConfigDocument, EndpointsDocument
from inferway_operator.compiler import (
    backends,
    emit,
    filters,
    hostnames,
    matches,
    policies,
    rules,
    shadowing,
    upstreams,
    verdicts,
)
from inferway_operator.compiler.draft import Draft
from inferway_operator.compiler.verdicts import Verdict
from inferway_operator.world.world import World

PASSES: Final[tuple[Callable[[Draft], None], ...]] = (
    hostnames.check,  # what a namespace may not claim, it gets no request for
    rules.check_names,  # two rules of one name: the second refuses
    matches.normalise,  # paths, names, patterns; also of broken rules, which refuse where they would have matched
    filters.translate,  # edits, rewrites, redirects, answers, CORS
    backends.resolve,  # Services and urls, and who may name them
    upstreams.translate,  # balancing, retries, circuit breaker, health checks
    rules.translate_bounds,  # time limits, sizes, caching
    rules.require_action,  # after filters: a redirect is something to do
    policies.translate,  # limits; invalid ones stay as they were published
    policies.attach,  # to rules, by name
    shadowing.find,  # after matches have one form
)


@dataclass(frozen=True, slots=True)
class Compilation:
    """Both documents, and a verdict for every object of the world."""

    config: ConfigDocument
    endpoints: EndpointsDocument
    verdicts: tuple[Verdict, ...]


def compile(world: World) -> Compilation:  # noqa: A001 - it is what it does; import the module and qualify
    """Compile a world. Mistakes are in the verdicts; nothing is raised for any world that manifests can make."""
    draft = Draft.of(world)
    for compile_part in PASSES:
        compile_part(draft)
    config = emit.emit_config(draft)
    return Compilation(config, emit.emit_endpoints(draft, config), verdicts.verdicts_of(draft))
