"""`inferway validate` and `inferway compile`: the errors in manifests, and the documents they compile to."""

import json
import sys
from collections import Counter
from collections.abc import Sequence

import typer
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from inferway_cli.manifests import compilation as manifest_compilation
from inferway_cli.manifests import files, kinds
from inferway_cli.manifests.compilation import Checked, Severity
from inferway_cli.manifests.diagnostics import Diagnostic, by_place, lines
from inferway_cli.manifests.reader import Loaded
from inferway_contract.canonical import revision
from inferway_contract.conditions import ConditionType
from inferway_contract.field_errors import dotted
from inferway_operator.compiler import Compilation


def validate(paths: Sequence[str], *, is_strict: bool = False, as_json: bool = False) -> int:
    """Check form and acceptance. Unresolved references are warnings, as their targets may be in other files.

    `is_strict`: warnings fail as well.
    """
    read_files = tuple(files.gather(paths))
    checked = manifest_compilation.check(read_files)
    warnings = [*checked.loaded.notes, *checked.of(Severity.UNRESOLVED, Severity.NOTED)]
    if any(manifest.kind == "EndpointSlice" for manifest in checked.loaded.manifests):
        # Files for a cluster have none, as Kubernetes writes them.
        warnings += checked.of(Severity.IDLE)
    errors = checked.errors
    if not (errors or checked.loaded.manifests or checked.loaded.notes):
        errors = [
            Diagnostic(file.name, 0, (), (), f"is empty; the kinds read here are {kinds.KNOWN}") for file in read_files
        ]
    is_failed = bool(errors or (is_strict and warnings))
    if as_json:
        _print_report(checked, len(read_files), errors, warnings, is_ok=not is_failed)
        return int(is_failed)
    _warn(warnings)
    if sys.stdout.isatty() and not checked.loaded.errors:
        show_table(checked.compilation)
    if errors:
        return _fail(errors)
    if is_failed:
        typer.echo(f"{_plural(len(warnings), 'warning')}, which --strict does not accept", err=True)
        return 1
    typer.echo(f"OK: {_count(checked.loaded)} in {_plural(len(read_files), 'file')}")
    return 0


def _print_report(
    checked: Checked, files_read: int, errors: Sequence[Diagnostic], warnings: Sequence[Diagnostic], *, is_ok: bool
) -> None:
    """Print the report of `validate -o json` (docs/standalone.md)."""
    report = {
        "ok": is_ok,
        "files": files_read,
        "manifests": len(checked.loaded.manifests),
        "errors": [_as_json(error) for error in by_place(errors)],
        "warnings": [_as_json(warning) for warning in by_place(warnings)],
    }
    typer.echo(json.dumps(report, indent=2))


def _as_json(diagnostic: Diagnostic) -> dict[str, object]:
    return {
        "file": diagnostic.file,
        "line": diagnostic.line or None,
        "object": ", ".join(diagnostic.where) or None,
        "field": dotted(diagnostic.path) or None,
        "message": diagnostic.message,
    }


def compile_and_print(paths: Sequence[str], *, as_json: bool) -> int:
    """Print the documents if every manifest is valid; return 1 if one is not accepted or not resolved."""
    checked = manifest_compilation.check(files.gather(paths))
    if not checked.loaded.errors:
        _print(checked.compilation, as_json=as_json)
    _warn([*checked.loaded.notes, *checked.of(Severity.NOTED)])
    errors = [*checked.errors, *checked.of(Severity.UNRESOLVED, Severity.IDLE)]
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
