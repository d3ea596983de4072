"""Objects as the text of Helm templates: YAML with actions in place of some values."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

_PLAIN: Final = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
"""Words that YAML does not read as text."""


@dataclass(frozen=True)
class Action:
    """An action of the template language whose result is a value in JSON."""

    text: str


@dataclass(frozen=True)
class When:
    """A field or an item of a list that depends on a condition of the template language."""

    condition: str
    value: Any


def text(node: Any) -> str:
    """Return an object as a template, which ends in a newline."""
    return "".join(f"{line}\n" for line in _lines(node, ""))


def _lines(node: Any, pad: str) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _conditional(value, pad, f"{_scalar(key)}:")
    else:
        for item in node:
            yield from _conditional(item, pad, "-")


def _conditional(value: Any, pad: str, start: str) -> Iterator[str]:
    """Write a field or an item, and the condition around it."""
    if not isinstance(value, When):
        yield from _entry(value, pad, start)
        return
    yield f"{{{{- if {value.condition} }}}}"
    yield from _entry(value.value, pad, start)
    yield "{{- end }}"


def _entry(value: Any, pad: str, start: str) -> Iterator[str]:
    if not isinstance(value, dict | list) or not value:
        yield f"{pad}{start} {_scalar(value)}"
        return
    yield f"{pad}{start}"
    yield from _lines(value, f"{pad}  ")


def _scalar(value: Any) -> str:
    if isinstance(value, Action):
        return f"{{{{ {value.text} }}}}"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
