"""Text of messages: quoted values, bounded lists, characters that every terminal and JSON can carry."""

from collections.abc import Iterable, Sequence
from typing import Final

from inferway_contract.field_errors import printable

MESSAGE_CHARACTERS: Final = 2_000
"""Bound of one condition's message. Kubernetes allows 32,768; nearly all of that would go unread."""

_SHOWN_CHARACTERS: Final = 80


def quoted(value: str) -> str:
    """Return the value in quotes, cut at 80 characters."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def joined(items: Iterable[object], most: int = MESSAGE_CHARACTERS) -> str:
    """Join the items by `; ` within `most` characters, the first one cut if necessary; append the number of the rest."""
    every = list(items)
    fitting: list[str] = []
    room = most
    for item in every:
        text = printable(str(item))
        if fitting and len(text) + 2 > room:
            break
        fitting.append(text[:most])
        room -= len(text) + 2
    rest = len(every) - len(fitting)
    return "; ".join(fitting) + (f"; and {rest} more" if rest else "")


def counted(items: Sequence[object], noun: str) -> str:
    """Return `1 rule` or `2 rules`."""
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"
