"""`inferway validate` and `inferway compile`: what is wrong with manifests, and what becomes of them."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import typer
import yaml

from inferway_cli import tables
from inferway_cli.manifests import compilation as manifest_compilation
from inferway_cli.manifests import files, reader
from inferway_cli.manifests.compilation import Finding, Severity
from inferway_cli.manifests.diagnostics import Diagnostic, report, told
from inferway_cli.manifests.reader import File, Loaded
from inferway_contract.canonical import revision
from inferway_operator.compiler import Compilation


def validate(paths: Sequence[str]) -> int:
    """Form and acceptance; references that lead nowhere are warnings, as what they name may be elsewhere."""
    found = tuple(files.gather(paths))
    checked = _check(found)
    _warn([*checked.loaded.notes, *checked.of(Severity.UNRESOLVED, Severity.NOTED)])
    if sys.stdout.isatty() and not checked.loaded.mistakes:
        tables.show(checked.compilation)
    wrong = [*checked.loaded.mistakes, *checked.of(Severity.REFUSED)]
    if wrong:
        return _fail(wrong)
    typer.echo(f"OK: {_count(checked.loaded)} in {_plural(len(found), 'file')}")
    return 0


def compile_and_print(paths: Sequence[str], *, as_json: bool) -> int:
    """The documents, if every manifest has the right form; 1 when anything is not accepted or not resolved."""
    checked = _check(files.gather(paths))
    if not checked.loaded.mistakes:
        _print(checked.compilation, as_json=as_json)
    _warn([*checked.loaded.notes, *checked.of(Severity.NOTED)])
    wrong = [*checked.loaded.mistakes, *checked.of(Severity.REFUSED, Severity.UNRESOLVED)]
    return _fail(wrong) if wrong else 0


def _print(compilation: Compilation, *, as_json: bool) -> None:
    shown = {
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
        typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        typer.echo(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=120), nl=False)


class _Checked(NamedTuple):
    loaded: Loaded
    compilation: Compilation
    findings: tuple[Finding, ...]

    def of(self, *weights: Severity) -> list[Diagnostic]:
        return [finding.mistake for finding in self.findings if finding.weight in weights]


def _check(found: Iterable[File]) -> _Checked:
    loaded = reader.load(found)
    compilation = manifest_compilation.compiled(loaded.manifests)
    sound = [manifest for manifest in loaded.manifests if manifest.is_sound]
    findings = manifest_compilation.findings(compilation, sound)
    if loaded.mistakes:
        # What is missing may be what could not be read; but a bad pattern is one in any company.
        findings = (finding for finding in findings if finding.weight is Severity.REFUSED)
    return _Checked(loaded, compilation, tuple(findings))


def _warn(mistakes: Sequence[Diagnostic]) -> None:
    for line in told(mistakes):
        typer.echo(f"warning: {line}", err=True)


def _fail(mistakes: Sequence[Diagnostic]) -> int:
    typer.echo(report(mistakes), err=True)
    typer.echo(_plural(len(mistakes), "mistake"), err=True)
    return 1


def _count(loaded: Loaded) -> str:
    kinds = Counter(manifest.kind for manifest in loaded.manifests)
    listed = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    return _plural(len(loaded.manifests), "manifest") + (f" ({listed})" if listed else "")


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
