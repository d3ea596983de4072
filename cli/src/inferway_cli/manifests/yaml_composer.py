"""Compose YAML text to PyYAML's nodes, within bounds of nesting and size for hostile input."""

import re
from collections.abc import Iterator
from typing import Any, Final

import yaml
from yaml.composer import Composer

MAX_DEPTH: Final = 100
"""Levels of nesting. A GatewayRoute has 9. This also bounds the recursion of PyYAML and of `yaml_constructor`."""
MAX_NODES: Final = 250_000
"""Values in one file after aliases are expanded. 1 MiB of routes has about 70,000; a YAML bomb has billions."""

# YAML 1.2, 5.1: the characters that a stream may contain.
_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class InvalidYAMLError(Exception):
    """The text is not YAML, or exceeds a bound."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def line_of(node: yaml.Node) -> int:
    """Return the line in which the node starts, counted from 1."""
    return int(node.start_mark.line) + 1


def is_plain(node: yaml.ScalarNode) -> bool:
    """Whether the scalar has no quotes, so that its text decides its type."""
    return not node.style


def decode(content: bytes) -> str:
    """Decode the bytes of a file; raise `InvalidYAMLError` for anything but printable UTF-8."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InvalidYAMLError(1, "the file is UTF-16; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidYAMLError(line, f"the byte 0x{content[error.start]:02x} is not UTF-8") from None
    if unprintable := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, unprintable.start()) + 1
        raise InvalidYAMLError(line, f"the control character U+{ord(unprintable[0]):04X} is not allowed in YAML")
    return text


class _BoundedComposer(Composer):
    """PyYAML's composer with bounds. Nodes keep their tags as written ("" = no tag)."""

    def __init__(self) -> None:
        Composer.__init__(self)
        self._nodes = self._depth = self._deepest = 0
        self._measures: dict[yaml.Node, tuple[int, int]] = {}
        """Size and height of anchored nodes that are complete, with aliases expanded."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[attr-defined]  # the parser's
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            self._count_alias(str(event.anchor), line)
            return super().compose_node(parent, index)
        self._count(1, line)
        self.anchors.pop(event.anchor, None)  # YAML allows an anchor to be redefined; PyYAML does not
        nodes_before, outer_deepest, self._deepest = self._nodes - 1, self._deepest, self._depth
        if isinstance(event, yaml.CollectionStartEvent):
            self._descend(1, line)
            self._depth += 1
        elif _SURROGATE.search(event.value):
            raise InvalidYAMLError(line, "not YAML: the escape is half of a surrogate pair")
        node: Any = super().compose_node(parent, index)
        self._depth -= isinstance(event, yaml.CollectionStartEvent)
        node.tag = event.tag or ""
        if event.anchor is not None:
            self._measures[node] = self._nodes - nodes_before, self._deepest - self._depth
        self._deepest = max(outer_deepest, self._deepest)
        return node

    def _count_alias(self, anchor: str, line: int) -> None:
        if anchor not in self.anchors:
            raise InvalidYAMLError(line, f"*{anchor} refers to nothing: there is no &{anchor} before it")
        if self.anchors[anchor] not in self._measures:
            raise InvalidYAMLError(line, f"*{anchor} refers to a value that contains it")
        size, height = self._measures[self.anchors[anchor]]
        self._descend(height, line)
        self._count(size, line)

    def _descend(self, levels: int, line: int) -> None:
        self._deepest = max(self._deepest, self._depth + levels)
        if self._deepest > MAX_DEPTH:
            raise InvalidYAMLError(line, f"nested deeper than {MAX_DEPTH} levels")

    def _count(self, nodes: int, line: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise InvalidYAMLError(line, f"more than {MAX_NODES:,} values in one file, aliases (*name) expanded")


def composer_class(loader: Any) -> Any:
    """Return a loader that reads with the parser of `loader` and composes within the bounds."""

    class BoundedLoader(_BoundedComposer, loader):  # type: ignore[misc]  # the C loader is there in most builds only
        def __init__(self, text: str) -> None:
            loader.__init__(self, text)
            _BoundedComposer.__init__(self)

    return BoundedLoader


# libyaml is fifteen times as fast. Both parsers give the same events with the same marks.
_Composer: Any = composer_class(getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def documents(text: str) -> Iterator[tuple[int, yaml.Node]]:
    """Yield number and root of each document once it is complete; raise `InvalidYAMLError` at the first error."""
    try:
        for number, root in enumerate(yaml.compose_all(text, _Composer), 1):
            # Empty documents are counted, but hold no manifest.
            if not (isinstance(root, yaml.ScalarNode) and is_plain(root) and root.value == ""):
                yield number, root
    except yaml.MarkedYAMLError as error:
        raise _invalid(error) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # The parser in Python passes escapes such as "\UFFFFFFFF" to chr().
        raise InvalidYAMLError(1, f"not YAML: {error}") from None


def _invalid(error: yaml.MarkedYAMLError) -> InvalidYAMLError:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark is not None else 1
    problem = (error.problem or "cannot be read").replace("'\\t'", "a tab").replace("\t", "a tab")
    context = f"{error.context}, " if error.context else ""
    if error.context_mark is not None and error.context_mark.line + 1 != line:
        # An unclosed bracket is noticed at the end of the file.
        context = f"{error.context} of line {error.context_mark.line + 1}, "
    hint = ": indent with spaces" if "tab" in problem or "any token" in problem else ""
    return InvalidYAMLError(line, f"not YAML: {context}{problem}{hint}")
