"""Convert YAML nodes to JSON's types, and paths in them to lines.

Plain scalars mean what they mean to kubectl, because the same file goes to a cluster, too. kubectl reads YAML with
go-yaml v2 and sends it as JSON, so:

- `yes`, `on`, `y` and their opposites are booleans; a field that wants a string asks for quotes,
- `017` and `0o17` are 15, `0x1f` is 31, `1_000` is 1000, and `80.0` or `8e1` is 80, as JSON has one kind of number,
- `1:30` is a string (YAML 1.1 makes it 90), as is everything that looks like a time: JSON has none,
- `.nan`, `.inf` and numbers beyond 64 bits are errors, because the API server takes them in no form.
"""

import math
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from yaml import MappingNode, Node, ScalarNode, SequenceNode

from inferway_cli.manifests.yaml_composer import is_plain, line_of
from inferway_contract.field_errors import Path

Plain = None | bool | int | float | str
Value = Plain | list["Value"] | dict[str, "Value"]

_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
}
_NUMERIC_START: Final = frozenset("0123456789+-.")
_INTEGER = re.compile(r"([-+]?)(?:0b([01]+)|0o?([0-7]+)|0x([0-9a-f]+)|(0|[1-9][0-9]*))", re.IGNORECASE | re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_BASES: Final = (2, 8, 16, 10)
_NO_JSON: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
# The longest number of 64 bits, in base 2 with sign and prefix. Python does not convert huge ones.
_LONGEST: Final = 67

_CORE: Final = "tag:yaml.org,2002:"
_STRING_TAGS: Final = (_CORE + "str", "!")
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    _CORE + "bool": (bool,),
    _CORE + "int": (int,),
    _CORE + "float": (int, float),
    _CORE + "null": (type(None),),
}


class Fault(NamedTuple):
    """Text that has no value in JSON."""

    path: Path
    line: int
    message: str


def construct(node: Node, path: Path, faults: list[Fault]) -> Value:
    """Return the value of the node at `path`. Append each fault to `faults`; a harmless value takes its place."""
    if isinstance(node, ScalarNode):
        return _scalar(node, path, faults)
    if node.tag not in ("", _CORE + ("map" if isinstance(node, MappingNode) else "seq")):
        faults.append(_unsupported_tag(node, path))
    if isinstance(node, MappingNode):
        return _mapping(node, path, faults)
    return [construct(item, (*path, index), faults) for index, item in enumerate(node.value)]


def _scalar(node: ScalarNode, path: Path, faults: list[Fault]) -> Plain:
    text = str(node.value)
    if node.tag in _STRING_TAGS or (node.tag == "" and not is_plain(node)):
        return text
    if node.tag and node.tag not in _TYPES:
        faults.append(_unsupported_tag(node, path))
        return text
    try:
        value = resolve(text)
    except ValueError as error:
        faults.append(Fault(path, line_of(node), str(error)))
        return text
    if node.tag and type(value) not in _TYPES[node.tag]:
        faults.append(Fault(path, line_of(node), f"{text!r} does not have the type of its tag {_shown(node.tag)}"))
    return value


def resolve(text: str) -> Plain:
    """Return the value of a plain scalar; raise `ValueError` where JSON has none."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC_START:
        return text
    if _NO_JSON.fullmatch(text):
        raise ValueError(f"{text} is a number that JSON cannot express")
    bare = text.replace("_", "")
    if integer := _INTEGER.fullmatch(bare):
        return _integer(integer)
    return _number(bare) if _FLOAT.fullmatch(bare) else text


def _integer(match: re.Match[str]) -> int:
    sign, *digits = match.groups()
    if len(match[0]) <= _LONGEST:
        value = next(int(sign + text, base) for text, base in zip(digits, _BASES, strict=True) if text is not None)
        if -(1 << 63) <= value < 1 << 63:
            return value
    raise ValueError("the number has more than 64 bits; put it in quotes if it is a string")


def _number(text: str) -> int | float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("the number is too large for JSON; put it in quotes if it is a string")
    # kubectl writes 80.0 as 80. Beyond 2**53 a float does not have all digits of an integer.
    return int(value) if value.is_integer() and abs(value) <= 1 << 53 else value


def _mapping(node: MappingNode, path: Path, faults: list[Fault]) -> dict[str, Value]:
    value: dict[str, Value] = {}
    lines: dict[str, int] = {}
    for key, item in node.value:
        if _is_merge(key) or (name := _key(key, path, faults)) is None:
            continue
        line = line_of(key)
        if name in lines:
            faults.append(Fault((*path, name), line, f"duplicate key: it is in line {lines[name]} and in line {line}"))
            continue
        lines[name] = line
        value[name] = construct(item, (*path, name), faults)
    for merged in _merged(node, path, faults):
        value = _mapping(merged, path, faults) | value
    return value


def _is_merge(key: Node) -> bool:
    return isinstance(key, ScalarNode) and is_plain(key) and bool(key.value == "<<")


def _key(key: Node, path: Path, faults: list[Fault]) -> str | None:
    if not isinstance(key, ScalarNode):
        message = "a list or a mapping cannot be a key"
    elif isinstance(name := _scalar(key, path, faults), str):
        return name
    else:
        shown = "an empty key" if key.value == "" else f"the key {_shown(key.value)}"
        message = f"{shown} is not a string; put it in quotes"
    faults.append(Fault(path, line_of(key), message))
    return None


def _merged(node: MappingNode, path: Path, faults: list[Fault]) -> Iterator[MappingNode]:
    """Yield the mappings of `<<: *name`; the node's own keys win, then the first mapping that has the key."""
    for key, item in node.value:
        if not _is_merge(key):
            continue
        for part in item.value if isinstance(item, SequenceNode) else [item]:
            if isinstance(part, MappingNode):
                yield part
            else:
                faults.append(Fault(path, line_of(key), "<< takes a mapping, or a list of mappings"))


def locate(root: Node, path: Path) -> tuple[int, Node]:
    """Return line and node of a path, or of the part of it that exists."""
    line, node = line_of(root), root
    for step in path:
        entry = _step(node, step)
        if entry is None:
            break
        line, node = entry
    return line, node


def _step(node: Node, step: str | int) -> tuple[int, Node] | None:
    if isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
        return line_of(node.value[step]), node.value[step]
    if isinstance(node, MappingNode):
        for key, item in node.value:
            if isinstance(key, ScalarNode) and key.value == step:
                return line_of(key), item
        for part in _merged(node, (), []):
            if (entry := _step(part, step)) is not None:
                return entry
    return None


def _unsupported_tag(node: Node, path: Path) -> Fault:
    return Fault(path, line_of(node), f"the tag {_shown(node.tag)} is not supported; remove it")


def _shown(text: str) -> str:
    text = text.replace(_CORE, "!!")
    return text if len(text) <= 80 else text[:77] + "..."
