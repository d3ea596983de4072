"""Parts of Markdown pages: prose, fenced blocks with their commands, tables."""

import re
import textwrap
from collections.abc import Iterator
from typing import Final

_FENCE: Final = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", text)


def spans(text: str) -> list[str]:
    """Return the code spans of the prose."""
    return re.findall(r"`([^`]+)`", prose(text))


def blocks(text: str, language: str) -> Iterator[str]:
    """Yield the fenced blocks of a language; "" = those without one."""
    for _, name, content in _FENCE.findall(text):
        if name == language:
            yield textwrap.dedent(content)


def commands(text: str) -> Iterator[str]:
    """Yield the commands of fenced blocks without a language and of code spans, without their comments."""
    for block in blocks(text, ""):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            yield re.sub(r"\s+#.*$", "", line).strip()
    yield from spans(text)


def tables(text: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Yield the header and the rows of each table."""
    for table in re.findall(r"(?:^\|.*\|\n)+", prose(text), re.MULTILINE):
        header, _, *rows = (_cells(line) for line in table.splitlines())
        yield header, rows


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def statements(text: str) -> Iterator[str]:
    """Yield the sentences of paragraphs and list items, and the rows of tables, each in one line."""
    for part in re.split(r"\n\s*\n|\n(?=\||[-*] |\d+\. |#)", prose(text)):
        line = " ".join(part.split())
        if line.startswith("|"):
            if not re.fullmatch(r"[|\- ]+", line):
                yield " | ".join(_cells(line))
        elif line and not line.startswith("#"):
            yield from re.split(r"(?<=[.!?])\*{0,2} +(?=[A-Z`*])", re.sub(r"^([-*]|\d+\.) ", "", line))
