"""Compilation of manifests by the operator's compiler, and its verdicts with their lines."""

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto

from inferway_cli.manifests.diagnostics import Diagnostic
from inferway_cli.manifests.reader import Manifest
from inferway_contract.conditions import ConditionType
from inferway_contract.field_errors import FieldError
from inferway_operator import compiler
from inferway_operator.compiler import Compilation, Verdict
from inferway_operator.world import world


class Severity(Enum):
    """REFUSED is an error everywhere, UNRESOLVED only where all manifests are given, NOTED never."""

    REFUSED = auto()
    UNRESOLVED = auto()
    NOTED = auto()


Finding = tuple[Severity, Diagnostic]


def compile_manifests(manifests: Iterable[Manifest]) -> Compilation:
    """Compile the manifests as the only content of a cluster."""
    return compiler.compile(world.from_manifests((manifest.value for manifest in manifests), standalone=True))


def findings(compilation: Compilation, manifests: Sequence[Manifest]) -> Iterator[Finding]:
    """Yield the errors of the verdicts on these manifests, with the lines of their fields."""
    by_name = {(manifest.kind, manifest.namespace, manifest.name): manifest for manifest in manifests}
    for verdict in compilation.verdicts:
        manifest = by_name.get((verdict.meta.kind, verdict.meta.namespace, verdict.meta.name))
        if manifest is not None:
            for severity, error in _errors(verdict):
                yield severity, manifest.diagnostic(error)


def _errors(verdict: Verdict) -> Iterator[tuple[Severity, FieldError]]:
    for error in verdict.errors:
        yield Severity.REFUSED, error
    for error in verdict.unresolved:
        yield Severity.UNRESOLVED, error
    for condition in verdict.conditions:
        if condition.type is ConditionType.SHADOWED and condition.status:
            yield Severity.NOTED, FieldError((), condition.message)
