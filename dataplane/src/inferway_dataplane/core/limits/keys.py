"""Rate-limit keys: which bucket of a limit a request is charged to."""

from collections.abc import Callable, Iterable

from inferway_contract.document import KeyPart
from inferway_dataplane.core.limits.key_values import KeyValues, bounded
from inferway_dataplane.core.messages import client_address
from inferway_dataplane.core.messages.request_head import RequestHead

KeyOf = Callable[[RequestHead, str], object]
"""Reads the bucket's key from a request and the client's address. Raises `AmbiguousKey`."""


def values_of(keys: Iterable[tuple[KeyPart, ...]]) -> KeyValues:
    """Return the reader of all header and query values that the keys of a rule's limits consist of."""
    parts = [part for key in keys for part in key]
    return KeyValues(
        headers=dict.fromkeys(part.name.encode() for part in parts if part.type == "header"),
        parameters=dict.fromkeys(part.name.encode() for part in parts if part.type == "query"),
    )


def key_of(parts: tuple[KeyPart, ...], values: KeyValues | None = None) -> KeyOf | None:
    """Return the reader of a limit's key; None = one bucket for all. An absent value reads as None.

    `values`: the reader that all limits of a rule share; None = one for this limit. Route and rule are read from the
    request's entry, so that rules share readers.
    """
    if not parts:
        return None
    if values is None:
        values = values_of([parts])
    readers = [_reader(part, values) for part in parts]
    # A value that may be absent (None) is put into a tuple, so that its bucket ages like every other.
    if len(readers) == 1 and parts[0].type not in ("header", "query"):
        return readers[0]
    return lambda head, client: tuple(reader(head, client) for reader in readers)


def _reader(part: KeyPart, values: KeyValues) -> KeyOf:
    name = part.name.encode()
    match part.type:
        case "client_ip":
            v4, v6 = part.prefix_v4, part.prefix_v6
            # The whole address of an IPv4 client needs no parsing.
            return lambda head, client: (
                client if v4 == 32 and ":" not in client else client_address.network(client, v4, v6)
            )
        case "header" | "query":
            at = values.position(part.type, name)
            read = values.of
            return lambda head, client: read(head)[at]
        case "host":
            return lambda head, client: bounded(head.host)
        case "route":
            return lambda head, client: head.entry.rule.route
        case "rule":
            return lambda head, client: (head.entry.rule.route, head.entry.rule.name)
