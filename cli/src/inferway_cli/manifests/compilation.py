"""Manifests through the operator's compiler, and its verdicts back to the lines they are about."""

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import NamedTuple

from inferway_cli.manifests.diagnostics import Diagnostic
from inferway_cli.manifests.reader import Manifest
from inferway_contract.conditions import ConditionType
from inferway_contract.field_errors import FieldError
from inferway_operator import compiler
from inferway_operator.compiler import Compilation, Verdict
from inferway_operator.world import world


class Severity(Enum):
    """How much a finding matters: refused fails everywhere, unresolved fails where all manifests are at hand."""

    REFUSED = auto()
    UNRESOLVED = auto()
    NOTED = auto()


class Finding(NamedTuple):
    """What the compiler has against a manifest."""

    weight: Severity
    mistake: Diagnostic


def compiled(manifests: Iterable[Manifest]) -> Compilation:
    """What a cluster with just these manifests would serve."""
    return compiler.compile(world.from_manifests((manifest.value for manifest in manifests), standalone=True))


def findings(compilation: Compilation, manifests: Sequence[Manifest]) -> Iterator[Finding]:
    """Every complaint of the verdicts on these manifests, with the line of the field it is about."""
    known = {(manifest.kind, manifest.namespace, manifest.name): manifest for manifest in manifests}
    for verdict in compilation.verdicts:
        manifest = known.get((verdict.meta.kind, verdict.meta.namespace, verdict.meta.name))
        if manifest is None:
            continue
        for weight, complaint in _complaints(verdict):
            yield Finding(weight, manifest.mistake(complaint))


def _complaints(verdict: Verdict) -> Iterator[tuple[Severity, FieldError]]:
    for complaint in verdict.errors:
        yield Severity.REFUSED, complaint
    for complaint in verdict.unresolved:
        yield Severity.UNRESOLVED, complaint
    for condition in verdict.conditions:
        if condition.type is ConditionType.SHADOWED and condition.status:
            yield Severity.NOTED, FieldError((), condition.message)
