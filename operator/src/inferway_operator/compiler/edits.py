"""Header modifiers: the union's two members that change fields."""

from inferway_contract import document
from inferway_contract.resources import filters as written
from inferway_operator.compiler import messages
from inferway_operator.compiler.draft import Path, RuleDraft


def translate(rule: RuleDraft, modifier: written.HeaderModifier, at: Path) -> document.HeaderEdit:
    """The edit; names twice in `set` or `remove` are mistakes (in `add` they are two fields)."""
    _check_unique(rule, [entry.name for entry in modifier.set], (*at, "set"))
    _check_unique(rule, list(modifier.remove), (*at, "remove"))
    return document.HeaderEdit(
        set=_values(modifier.set),
        add=_values(modifier.add),
        remove=tuple(name.lower() for name in modifier.remove),
    )


def _values(entries: tuple[written.Header, ...]) -> tuple[document.HeaderValue, ...]:
    return tuple(document.HeaderValue(name=entry.name, value=entry.value) for entry in entries)


def _check_unique(rule: RuleDraft, names: list[str], at: Path) -> None:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name.lower() in seen:
            rule.complain(f"{messages.quoted(name)} is named twice (names are compared without case)", *at, index)
        seen.add(name.lower())
