"""YAML text as documents of nodes; nothing in it can hang, recurse or explode.

Nodes are built from the parser's events, not by PyYAML's composer: that one recurses as deep as its input, and
expands aliases without a bound. Here both are counted while the text is read, so hostile input ends at its first
excess. What the nodes mean is the business of `construction`.
"""

from collections.abc import Iterator
from typing import Any, Final

import yaml

from inferway_cli.nodes import Document, Malformed, Mapping, Node, Scalar, Sequence

MAX_DEPTH: Final = 100
"""Levels of nesting. A GatewayRoute has 9; what is deeper is no manifest. It also bounds our own recursion."""
MAX_NODES: Final = 250_000
"""Values in one file after aliases are expanded. 1 MiB of routes has about 70,000; a YAML bomb has billions."""

# libyaml is fifteen times as fast. Both parsers give the same events with the same marks.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def documents(text: str) -> Iterator[Document]:
    """The documents of a text, each as soon as it is complete; `Malformed` where the text ceases to be YAML."""
    loader = _Loader(text)
    composer = _Composer()
    try:
        while (event := _next(loader)) is not None:
            if isinstance(event, yaml.DocumentStartEvent):
                composer.start()
            elif isinstance(event, yaml.DocumentEndEvent):
                root = composer.root
                if root is not None and not (isinstance(root, Scalar) and root.plain and root.text == ""):
                    yield Document(composer.number, root)
            elif isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
                composer.take(event)
    finally:
        loader.dispose()


def _next(loader: Any) -> Any:
    try:
        return loader.get_event()
    except yaml.MarkedYAMLError as error:
        raise _malformed(error) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # The parser in Python lets escapes such as "\UFFFFFFFF" reach chr().
        raise Malformed(1, f"not YAML: {error}") from None


def _malformed(error: yaml.MarkedYAMLError) -> Malformed:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark is not None else 1
    problem = (error.problem or "cannot be read").replace("'\\t'", "a tab").replace("\t", "a tab")
    context = f"{error.context}, " if error.context else ""
    if error.context_mark is not None and error.context_mark.line + 1 != line:
        # An unclosed bracket is noticed at the end of the file.
        context = f"{error.context} of line {error.context_mark.line + 1}, "
    hint = ": indent with blanks" if "tab" in problem or "any token" in problem else ""
    return Malformed(line, f"not YAML: {context}{problem}{hint}")


class _Composer:
    """Builds nodes from events, and counts."""

    def __init__(self) -> None:
        self.number = 0
        self._nodes = 0
        self.start_over()

    def start_over(self) -> None:
        self.root: Node | None = None
        self._open: list[Sequence | Mapping] = []
        self._anchors: dict[str, Node] = {}

    def start(self) -> None:
        self.number += 1
        self.start_over()

    def take(self, event: Any) -> None:
        line = event.start_mark.line + 1
        match event:
            case yaml.ScalarEvent():
                self._scalar(event, line)
            case yaml.AliasEvent():
                self._alias(str(event.anchor), line)
            case yaml.CollectionStartEvent():
                kind = Sequence if isinstance(event, yaml.SequenceStartEvent) else Mapping
                node = kind(line, event.tag)
                self._name(event.anchor, node)
                self._open.append(node)
                if len(self._open) > MAX_DEPTH:
                    raise Malformed(line, f"nested deeper than {MAX_DEPTH} levels")
            case _:
                self._add(self._open.pop(), line)

    def _scalar(self, event: Any, line: int) -> None:
        if not event.value.isascii() and _has_surrogate(event.value):
            raise Malformed(line, "not YAML: an escape stands for half a character")
        node = Scalar(line, event.tag, event.value, plain=not event.style)
        self._name(event.anchor, node)
        self._add(node, line)

    def _name(self, anchor: str | None, node: Node) -> None:
        if anchor is not None:
            self._anchors[anchor] = node

    def _alias(self, anchor: str, line: int) -> None:
        node = self._anchors.get(anchor)
        if node is None:
            raise Malformed(line, f"*{anchor} refers to nothing: no &{anchor} stands before it")
        if any(node is parent for parent in self._open):
            raise Malformed(line, f"*{anchor} refers to what it is a part of")
        if len(self._open) + node.depth > MAX_DEPTH:
            raise Malformed(line, f"nested deeper than {MAX_DEPTH} levels")
        # What is below the node is there once more; the node itself is counted where it is added.
        self._nodes += node.size - 1
        self._add(node, line)

    def _add(self, node: Node, line: int) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise Malformed(line, f"more than {MAX_NODES:,} values in one file, aliases (*name) expanded")
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        parent.items.append(node)
        parent.size += node.size
        parent.depth = max(parent.depth, node.depth + 1)


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
