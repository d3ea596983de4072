"""Header fields and query parameters as parts of rate-limit keys.

A key must be what the upstream reads. Peers disagree about what comes twice: some take the first, some the last, some
join them. So a client could send its real key and another value beside it, and get a new bucket with each request. What
comes twice is refused instead, in every spelling that an upstream may take for the same name.
"""

import re
from collections.abc import Iterable
from typing import Final

from inferway_dataplane.core.messages import credentials
from inferway_dataplane.core.messages.query_parameters import pairs
from inferway_dataplane.core.messages.request_head import RequestHead

LIST_FIELDS: Final = frozenset(
    (
        b"a-im", b"accept", b"accept-charset", b"accept-encoding", b"accept-language", b"access-control-request-headers",
        b"baggage", b"cache-control", b"content-encoding", b"content-language", b"forwarded", b"if-match",
        b"if-none-match", b"keep-alive", b"link", b"pragma", b"prefer", b"priority", b"sec-ch-ua",
        b"sec-ch-ua-full-version-list", b"sec-websocket-extensions", b"sec-websocket-protocol", b"te", b"trailer",
        b"tracestate", b"upgrade", b"via", b"want-content-digest", b"want-repr-digest", b"warning", b"x-forwarded-for",
    )
)  # fmt: skip
"""Request fields that are lists by their definition (IANA HTTP Field Name Registry, RFC 9110 5.6.1, W3C): several lines
are one list, so all peers read the same. X-Forwarded-For is a list by custom."""

_SEPARATORS = re.compile(rb"[&;]")


class AmbiguousKey(ValueError):  # noqa: N818 - it names what the key is, and becomes the code `ambiguous_key`
    """A value of a key came more than once. `kind`: `header` or `parameter`; `name`: as configured."""

    def __init__(self, kind: str, name: bytes) -> None:
        super().__init__(f"the {kind} {name.decode()} came more than once")
        self.kind = kind
        self.name = name.decode()


class KeyValues:
    """The header fields and query parameters that the keys of one rule's limits consist of."""

    __slots__ = ("_folded", "_headers", "_hyphenated", "_parameters")

    def __init__(self, headers: Iterable[bytes], parameters: Iterable[bytes]) -> None:
        """`headers` in lower case, `parameters` decoded; each without duplicates."""
        self._headers = tuple(headers)
        self._parameters = tuple(parameters)
        # Names by every spelling that a peer may take for them; the configured spelling wins.
        self._hyphenated = {_hyphens(name): name for name in self._headers} | {name: name for name in self._headers}
        self._folded = {name.lower(): name for name in self._parameters} | {name: name for name in self._parameters}

    def position(self, kind: str, name: bytes) -> int:
        """Return where the value of a header or query parameter stands in what `of` returns."""
        return self._headers.index(name) if kind == "header" else len(self._headers) + self._parameters.index(name)

    def of(self, head: RequestHead) -> tuple[bytes | None, ...]:
        """Return all values of a request; None = absent. Raises `AmbiguousKey`.

        Kept in the head: a pure function of head and rule, not larger than the head.
        """
        kept = head.key_values
        if kept is not None and kept[0] is self:
            return kept[1]
        values = (*self._of_headers(head), *self._of_parameters(head.query))
        head.key_values = (self, values)
        return values

    def _of_headers(self, head: RequestHead) -> list[bytes | None]:
        if not self._headers:
            return []
        counts = dict.fromkeys(self._headers, 0)
        names = self._hyphenated
        for field, _ in head.fields:
            lower = field.lower()
            # CGI and its successors (WSGI, PHP) read `X_Api_Key` as `X-Api-Key`.
            name = names.get(lower) or names.get(_hyphens(lower))
            if name is not None:
                counts[name] += 1
        values: list[bytes | None] = []
        for name in self._headers:
            value = head.value(name)
            if value is not None:
                if counts[name] > 1 and name not in LIST_FIELDS:
                    raise AmbiguousKey("header", name)
                value = credentials.canonical(name, value)
            values.append(value)
        return values

    def _of_parameters(self, query: bytes | None) -> list[bytes | None]:
        if query is None or not self._parameters:
            return [None] * len(self._parameters)
        readings = [self._named(query.split(b"&"))]
        if b";" in query:
            # Some peers separate at `;` too (HTML 4.01 B.2.2).
            readings.append(self._named(_SEPARATORS.split(query)))
        values: list[bytes | None] = []
        for name in self._parameters:
            sent = [value for spelled, value in readings[0].get(name, ()) if spelled == name]
            if sent and any([value for _, value in reading.get(name, ())] != sent[:1] for reading in readings):
                raise AmbiguousKey("parameter", name)
            values.append(sent[0] if sent else None)
        return values

    def _named(self, pieces: Iterable[bytes]) -> dict[bytes, list[tuple[bytes, bytes]]]:
        """Collect the parameters of each configured name, with their spelling; some peers ignore the case of names."""
        named: dict[bytes, list[tuple[bytes, bytes]]] = {}
        folded = self._folded
        for spelled, value in pairs(pieces):
            name = folded.get(spelled) or folded.get(spelled.lower())
            if name is not None:
                named.setdefault(name, []).append((spelled, value))
        return named


def _hyphens(name: bytes) -> bytes:
    return name.replace(b"_", b"-")
