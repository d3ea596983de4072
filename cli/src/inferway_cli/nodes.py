"""YAML as trees of nodes that know their lines, and the text they come from."""

import re
from collections.abc import Iterator
from typing import NamedTuple

# YAML 1.2, 5.1: what a stream may contain.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Malformed(Exception):  # noqa: N818 - it names what the text is
    """The text is no YAML that is taken here."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


class Node:
    """A value in the text. `size` and `depth` count what is below it, aliases expanded."""

    __slots__ = ("depth", "line", "size", "tag")

    def __init__(self, line: int, tag: str | None) -> None:
        self.line = line
        self.tag = tag
        self.size = 1
        self.depth = 0


class Scalar(Node):
    """A scalar as written; `plain` when it has no quotes, so that its text decides about its type."""

    __slots__ = ("plain", "text")

    def __init__(self, line: int, tag: str | None, text: str, plain: bool) -> None:
        super().__init__(line, tag)
        self.text = text
        self.plain = plain


class Sequence(Node):
    """A list."""

    __slots__ = ("items",)

    def __init__(self, line: int, tag: str | None) -> None:
        super().__init__(line, tag)
        self.items: list[Node] = []


class Mapping(Node):
    """A mapping, keys and values in turn, as they come from the parser."""

    __slots__ = ("items",)

    def __init__(self, line: int, tag: str | None) -> None:
        super().__init__(line, tag)
        self.items: list[Node] = []

    def pairs(self) -> Iterator[tuple[Node, Node]]:
        """Keys with their values, in the order of the text."""
        return zip(self.items[::2], self.items[1::2], strict=True)


class Document(NamedTuple):
    """One document of a stream. Empty ones are left out, but counted."""

    number: int
    root: Node


def decode(content: bytes) -> str:
    """The text of a file; `Malformed` when it is none."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Malformed(1, "the file is UTF-16; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Malformed(line, f"the byte 0x{content[error.start]:02x} is not UTF-8") from None
    if found := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise Malformed(line, f"the control character U+{ord(found[0]):04X} is not allowed in YAML")
    return text
