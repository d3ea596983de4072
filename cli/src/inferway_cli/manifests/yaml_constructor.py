"""Nodes as plain values: dicts, lists and JSON's scalars; and the way back, from a path to a line.

Nothing here raises for what the author wrote: each mistake is recorded with its path and line, a harmless value takes
its place, and reading goes on, so that one run tells of all of them.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from inferway_cli import scalars
from inferway_cli.nodes import Mapping, Node, Scalar, Sequence

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]
Path = tuple[str | int, ...]

_CORE: Final = "tag:yaml.org,2002:"
_COLLECTIONS: Final = {"map": Mapping, "seq": Sequence}
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "null": (type(None),),
}


class Fault(NamedTuple):
    """Something in the text that has no plain value."""

    path: Path
    line: int
    message: str


def construct(node: Node, path: Path, faults: list[Fault]) -> Value:
    """The value of a node that stands at `path`; what is wrong is appended to `faults`."""
    if isinstance(node, Scalar):
        return _scalar(node, path, faults)
    if node.tag is not None and _COLLECTIONS.get(node.tag.removeprefix(_CORE)) is not type(node):
        faults.append(Fault(path, node.line, f"the tag {_shown(node.tag)} is not supported; remove it"))
    if isinstance(node, Mapping):
        return _mapping(node, path, faults)
    assert isinstance(node, Sequence)  # noqa: S101 - the three kinds of nodes
    return [construct(item, (*path, index), faults) for index, item in enumerate(node.items)]


def _scalar(node: Scalar, path: Path, faults: list[Fault]) -> scalars.Plain:
    kind = node.tag.removeprefix(_CORE) if node.tag is not None else None
    if kind in ("str", "!") or (kind is None and not node.plain):
        return node.text
    if kind is not None and kind not in _TYPES:
        faults.append(Fault(path, node.line, f"the tag {_shown(node.tag)} is not supported; remove it"))
        return node.text
    try:
        value = scalars.resolve(node.text)
    except ValueError as error:
        faults.append(Fault(path, node.line, str(error)))
        return node.text
    if kind is not None and (type(value) not in _TYPES[kind]):
        faults.append(Fault(path, node.line, f"{node.text!r} is not what the tag !!{kind} says"))
    return value


def _mapping(node: Mapping, path: Path, faults: list[Fault]) -> dict[str, Value]:
    value: dict[str, Value] = {}
    lines: dict[str, int] = {}
    for key, item in node.pairs():
        if _is_merge(key) or (name := _key(key, path, faults)) is None:
            continue
        if name in lines:
            message = f"the key stands here twice: in line {lines[name]} and in line {key.line}"
            faults.append(Fault((*path, name), key.line, message))
            continue
        lines[name] = key.line
        value[name] = construct(item, (*path, name), faults)
    for merged in _merged(node, path, faults):
        value = _mapping(merged, path, faults) | value
    return value


def _is_merge(key: Node) -> bool:
    return isinstance(key, Scalar) and key.plain and key.text == "<<"


def _key(key: Node, path: Path, faults: list[Fault]) -> str | None:
    if not isinstance(key, Scalar):
        faults.append(Fault(path, key.line, "a list or a mapping cannot be a key"))
        return None
    name = _scalar(key, path, faults)
    if isinstance(name, str):
        return name
    shown = "an empty key" if key.text == "" else f"the key {_shown(key.text)}"
    faults.append(Fault(path, key.line, f"{shown} is not a string; put it in quotes"))
    return None


def _merged(node: Mapping, path: Path, faults: list[Fault]) -> Iterator[Mapping]:
    """What `<<: *name` brings in; the mapping's own keys win, then the first that has one."""
    for key, item in node.pairs():
        if not _is_merge(key):
            continue
        for part in item.items if isinstance(item, Sequence) else [item]:
            if isinstance(part, Mapping):
                yield part
            else:
                faults.append(Fault(path, key.line, "<< takes a mapping, or a list of mappings"))


def locate(root: Node, path: Path) -> tuple[int, Node]:
    """Line and node of a path, or of as much of it as is there: what is missing is told where it should be."""
    line, node = root.line, root
    for step in path:
        found = _step(node, step)
        if found is None:
            break
        line, node = found
    return line, node


def _step(node: Node, step: str | int) -> tuple[int, Node] | None:
    if isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
        return node.items[step].line, node.items[step]
    if isinstance(node, Mapping):
        for key, item in node.pairs():
            if isinstance(key, Scalar) and key.text == step:
                return key.line, item
        for part in _merged(node, (), []):
            if (found := _step(part, step)) is not None:
                return found
    return None


def _shown(text: str | None) -> str:
    text = (text or "").replace(_CORE, "!!")
    return text if len(text) <= 80 else text[:77] + "..."
