"""Rate-limit keys: which bucket of a limit a request is charged to."""

from collections.abc import Callable
from hashlib import sha256
from typing import Final

from inferway_contract.document import KeyPart
from inferway_dataplane.core.messages import client_address
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.routing.table import parameters

KeyOf = Callable[[RequestHead, str], object]
"""Reads the bucket's key from a request and the client's address."""


def key_of(parts: tuple[KeyPart, ...], route: str, rule: str) -> KeyOf | None:
    """Return the reader of a limit's key; None = one bucket for all. An absent value reads as None."""
    if not parts:
        return None
    readers = [_reader(part, route, rule) for part in parts]
    # A value that may be absent (None) is put into a tuple, so that its bucket ages like every other.
    if len(readers) == 1 and parts[0].type not in ("header", "query"):
        return readers[0]
    return lambda head, client: tuple(reader(head, client) for reader in readers)


def _reader(part: KeyPart, route: str, rule: str) -> KeyOf:
    name = part.name.encode()
    match part.type:
        case "client_ip":
            v4, v6 = part.prefix_v4, part.prefix_v6
            # The whole address of an IPv4 client needs no parsing.
            return lambda head, client: (
                client if v4 == 32 and ":" not in client else client_address.network(client, v4, v6)
            )
        case "header":
            return lambda head, client: _bounded(head.value(name))
        case "query":
            return lambda head, client: _bounded(parameters(head.query).get(name))
        case "host":
            return lambda head, client: _bounded(head.host)
        case "route":
            return lambda head, client: route
        case "rule":
            return lambda head, client: (route, rule)


_LONGEST_KEY: Final = 32


def _bounded(value: bytes | None) -> bytes | None:
    """Replace a long value by its hash, so that `maxKeys` bounds bytes too."""
    if value is None or len(value) <= _LONGEST_KEY:
        return value
    # A value cannot equal a hash: an unhashed value has at most 32 bytes, a hash with its mark 33.
    return b"#" + sha256(value).digest()
