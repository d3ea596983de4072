"""Compilation of manifests by the operator's compiler, and its verdicts with their lines."""

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import NamedTuple

from inferway_cli.manifests import reader
from inferway_cli.manifests.diagnostics import Diagnostic
from inferway_cli.manifests.reader import File, Loaded, Manifest
from inferway_contract.conditions import ConditionType
from inferway_contract.field_errors import FieldError
from inferway_operator import compiler
from inferway_operator.compiler import Compilation, Verdict
from inferway_operator.world import world


class Severity(Enum):
    """REFUSED is an error everywhere, UNRESOLVED and IDLE only where all manifests are given, NOTED never."""

    REFUSED = auto()
    UNRESOLVED = auto()
    IDLE = auto()
    NOTED = auto()


Finding = tuple[Severity, Diagnostic]


class Checked(NamedTuple):
    """Files as read and compiled, with all that was found in them."""

    loaded: Loaded
    compilation: Compilation
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> list[Diagnostic]:
        """Errors wherever the files are used: of YAML, of the schema, and of rules that cannot be compiled."""
        return [*self.loaded.errors, *self.of(Severity.REFUSED)]

    def of(self, *severities: Severity) -> list[Diagnostic]:
        """Return the findings of the compiler with these severities."""
        return [diagnostic for severity, diagnostic in self.findings if severity in severities]


def check(read_files: Iterable[File]) -> Checked:
    """Read and compile files, and collect everything that is wrong in them."""
    loaded = reader.load(read_files)
    compilation = compile_manifests(loaded.manifests)
    all_findings = findings(compilation, loaded.manifests)
    if loaded.errors:
        # The target of a reference may be in an unreadable part. An invalid pattern is an error in any case.
        all_findings = (
            finding for finding in all_findings if finding[0] is Severity.REFUSED and _is_new(finding[1], loaded.errors)
        )
    return Checked(loaded, compilation, tuple(all_findings))


def _is_new(diagnostic: Diagnostic, reported: Iterable[Diagnostic]) -> bool:
    """Whether no reported error concerns the same field, a field around it, or a part of it."""
    for error in reported:
        length = min(len(error.path), len(diagnostic.path))
        is_same_object = (error.file, error.where) == (diagnostic.file, diagnostic.where)
        if is_same_object and error.path[:length] == diagnostic.path[:length]:
            return False
    return True


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
        yield Severity.IDLE if error in verdict.idle else Severity.UNRESOLVED, error
    for error in verdict.advice:
        yield Severity.NOTED, error
    for condition in verdict.conditions:
        if condition.type is ConditionType.SHADOWED and condition.status:
            yield Severity.NOTED, FieldError((), condition.message)
