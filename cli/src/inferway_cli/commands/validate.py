"""`inferway validate` and `inferway compile`: the errors in manifests, and the documents they compile to."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import typer
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from inferway_cli.manifests import compilation as manifest_compilation
from inferway_cli.manifests import files, reader
from inferway_cli.manifests.compilation import Finding, Severity
from inferway_cli.manifests.diagnostics import Diagnostic, lines
from inferway_cli.manifests.reader import File, Loaded
from inferway_contract.canonical import revision
from inferway_contract.conditions import ConditionType
from inferway_operator.compiler import Compilation


def validate(paths: Sequence[str]) -> int:
    """Check form and acceptance. Unresolved references are warnings, as their targets may be in other files."""
    read_files = tuple(files.gather(paths))
    checked = _check(read_files)
    _warn([*checked.loaded.notes, *checked.of(Severity.UNRESOLVED, Severity.NOTED)])
    if sys.stdout.isatty() and not checked.loaded.errors:
        show_table(checked.compilation)
    errors = [*checked.loaded.errors, *checked.of(Severity.REFUSED)]
    if errors:
        return _fail(errors)
    typer.echo(f"OK: {_count(checked.loaded)} in {_plural(len(read_files), 'file')}")
    return 0


def compile_and_print(paths: Sequence[str], *, as_json: bool) -> int:
    """Print the documents if every manifest is valid; return 1 if one is not accepted or not resolved."""
    checked = _check(files.gather(paths))
    if not checked.loaded.errors:
        _print(checked.compilation, as_json=as_json)
    _warn([*checked.loaded.notes, *checked.of(Severity.NOTED)])
    errors = [*checked.loaded.errors, *checked.of(Severity.REFUSED, Severity.UNRESOLVED)]
    return _fail(errors) if errors else 0


def _print(compilation: Compilation, *, as_json: bool) -> None:
    output = {
        "revision": revision(compilation.config),
        "config": compilation.config.model_dump(mode="json", exclude_defaults=True),
        "endpoints": compilation.endpoints.model_dump(mode="json", exclude_defaults=True),
        "conditions": [
            {
                "kind": verdict.meta.kind,
                "namespace": verdict.meta.namespace,
                "name": verdict.meta.name,
                "conditions": [condition.model_dump(mode="json") for condition in verdict.conditions],
            }
            for verdict in compilation.verdicts
        ],
    }
    if as_json:
        typer.echo(json.dumps(output, indent=2, ensure_ascii=False))
    else:
        typer.echo(yaml.safe_dump(output, sort_keys=False, allow_unicode=True, width=120), nl=False)


class _Checked(NamedTuple):
    loaded: Loaded
    compilation: Compilation
    findings: tuple[Finding, ...]

    def of(self, *severities: Severity) -> list[Diagnostic]:
        return [diagnostic for severity, diagnostic in self.findings if severity in severities]


def _check(read_files: Iterable[File]) -> _Checked:
    loaded = reader.load(read_files)
    compilation = manifest_compilation.compile_manifests(loaded.manifests)
    sound = [manifest for manifest in loaded.manifests if manifest.is_sound]
    findings = manifest_compilation.findings(compilation, sound)
    if loaded.errors:
        # The target of a reference may be in an unreadable part. An invalid pattern is an error in any case.
        findings = (finding for finding in findings if finding[0] is Severity.REFUSED)
    return _Checked(loaded, compilation, tuple(findings))


def show_table(compilation: Compilation) -> None:
    """Print a row for each resource: whether it is accepted, and whether all its references resolve."""
    table = Table("Kind", "Namespace/Name", "Accepted", "Resolved", box=None, pad_edge=False)
    for verdict in compilation.verdicts:
        states = {condition.type: (condition.status, str(condition.reason)) for condition in verdict.conditions}
        accepted = states.get(ConditionType.ACCEPTED)
        resolved = states.get(ConditionType.RESOLVED_REFS) or states.get(ConditionType.TARGETS_RESOLVED)
        name = Text(f"{verdict.meta.namespace}/{verdict.meta.name}")
        table.add_row(verdict.meta.kind, name, _state(accepted), _state(resolved))
    Console().print(table)


def _state(state: tuple[bool, str] | None) -> Text:
    if state is None:
        return Text("-", style="dim")
    is_true, reason = state
    return Text(reason, style="green" if is_true and reason != "PartiallyInvalid" else "red")


def _warn(diagnostics: Sequence[Diagnostic]) -> None:
    for line in lines(diagnostics):
        typer.echo(f"warning: {line}", err=True)


def _fail(errors: Sequence[Diagnostic]) -> int:
    typer.echo("\n".join(lines(errors)), err=True)
    typer.echo(_plural(len(errors), "error"), err=True)
    return 1


def _count(loaded: Loaded) -> str:
    kinds = Counter(manifest.kind for manifest in loaded.manifests)
    listed = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    return _plural(len(loaded.manifests), "manifest") + (f" ({listed})" if listed else "")


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
