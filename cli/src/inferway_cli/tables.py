"""What a person at a terminal is shown beside the plain lines."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from inferway_contract.conditions import ConditionType
from inferway_operator.compiler import Compilation


def show(compilation: Compilation) -> None:
    """One row for each resource: is it accepted, and is there everything it names?"""
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
    good, reason = state
    return Text(reason, style="green" if good and reason != "PartiallyInvalid" else "red")
