"""Words for people: values as they were written, lists that end, text that every terminal and JSON can carry."""

from collections.abc import Iterable, Sequence
from typing import Final

from inferway_contract.field_errors import printable

MESSAGE_CHARACTERS: Final = 2_000
"""Of one condition; Kubernetes allows 32,768, but nobody reads them."""

_SHOWN_CHARACTERS: Final = 80


def quoted(value: str) -> str:
    """The value in quotes, cut when it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def joined(items: Iterable[object], most: int = MESSAGE_CHARACTERS) -> str:
    """The items joined by `; `, and how many more there are when they do not fit. The first is always told."""
    texts = [printable(str(item)) for item in items]
    told: list[str] = []
    room = most
    for text in texts:
        if told and len(text) + 2 > room:
            break
        told.append(text[:most])
        room -= len(text) + 2
    rest = len(texts) - len(told)
    return "; ".join(told) + (f"; and {rest} more" if rest else "")


def counted(items: Sequence[object], noun: str) -> str:
    """`1 rule`, `2 rules`."""
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"
