"""Header fields and query parameters as parts of rate-limit keys.

A key must be what the upstream reads. Peers disagree about what comes twice: some take the first, some the last, some
join them. So a client could send another value in addition to its real key, and get a new bucket with each request. What
comes twice is refused instead, in every spelling that an upstream may take for the same name.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from inferway_dataplane.core.messages import credentials
from inferway_dataplane.core.messages.query_parameters import as_sent, decoded, spelling, spellings
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


class AmbiguousKey(ValueError):  # noqa: N818 - it names what the key is, and becomes the code `ambiguous_key`
    """A value of a key came more than once. `kind`: `header` or `parameter`; `name`: as configured."""

    def __init__(self, kind: str, name: bytes) -> None:
        super().__init__(f"the {kind} {name.decode()} came more than once")
        self.kind = kind
        self.name = name.decode()


class KeyValues:
    """The header fields and query parameters that the keys of one rule's limits consist of."""

    __slots__ = ("_folded", "_headers", "_hyphenated", "_parameters", "_spelled")

    def __init__(self, headers: Iterable[bytes], parameters: Iterable[bytes]) -> None:
        """`headers` in lower case, `parameters` decoded; each without duplicates."""
        self._headers = tuple(headers)
        self._parameters = tuple(parameters)
        # Names by every spelling that a peer may take for them; the configured spelling wins.
        self._hyphenated = {_hyphens(name): name for name in self._headers} | {name: name for name in self._headers}
        self._spelled = spellings(self._parameters)
        self._folded = {spelled.lower(): name for spelled, name in self._spelled.items()}

    def position(self, kind: str, name: bytes) -> int:
        """Return where the value of a header or query parameter stands in what `of` returns."""
        return self._headers.index(name) if kind == "header" else len(self._headers) + self._parameters.index(name)

    def of(self, head: RequestHead) -> tuple[bytes | None, ...]:
        """Return all values of a request, `bounded`; None = absent. Raises `AmbiguousKey`.

        Kept in the head: a pure function of head and rule.
        """
        kept = head.key_values
        if kept is not None and kept[0] is self:
            return kept[1]
        values = tuple(bounded(value) for value in (*self._of_headers(head), *self._of_parameters(head.query)))
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
            # Host has spellings, and an absolute target replaces it (RFC 9110 4.2.3, RFC 9112 3.2.2).
            value = head.host or None if name == b"host" else head.value(name)
            if value is not None:
                if counts[name] > 1 and name not in LIST_FIELDS:
                    raise AmbiguousKey("header", name)
                value = credentials.canonical(name, value)
            values.append(value)
        return values

    def _of_parameters(self, query: bytes | None) -> list[bytes | None]:
        if query is None or not self._parameters:
            return [None] * len(self._parameters)
        # Some peers separate at `;` too (HTML 4.01 B.2.2), some ignore the case of names: all that one of them may take
        # for a parameter of a name is looked at.
        spelled = spelling(query)
        pairs = spelled.split(b"&")
        pieces, begun = pairs, set(pairs)
        if b";" in query:
            pieces = spelled.replace(b";", b"&").split(b"&")
            begun = {piece.partition(b";")[0] for piece in pairs}
        candidates: dict[bytes, list[tuple[bytes, bytes]]] = {}
        folded = self._folded
        for piece in dict.fromkeys(pieces):
            name = piece.partition(b"=")[0]
            if piece and name.lower() in folded:
                known = self._spelled.get(name) or folded[name.lower()]
                candidates.setdefault(known, []).append((piece, name))
        if not candidates:
            return [None] * len(self._parameters)
        sent = as_sent(pairs, query)
        values: list[bytes | None] = []
        for name in self._parameters:
            # As it is read here, a parameter begins behind `&`, and has the name as configured.
            first = next(
                (it for it, spelled in candidates.get(name, ()) if spelled in self._spelled and it in begun), None
            )
            if first is not None and (len(candidates[name]) > 1 or pieces.count(first) > 1 or first not in sent):
                raise AmbiguousKey("parameter", name)
            values.append(None if first is None else decoded(sent[first].partition(b"=")[2]))
        return values


def _hyphens(name: bytes) -> bytes:
    return name.replace(b"_", b"-")


_LONGEST_VALUE: Final = 32


def bounded(value: bytes | None) -> bytes | None:
    """Replace a long value by its hash, so that `maxKeys` bounds bytes too."""
    if value is None or len(value) <= _LONGEST_VALUE:
        return value
    # A value cannot equal a hash: an unhashed value has at most 32 bytes, a hash with its mark 33.
    return b"#" + sha256(value).digest()
