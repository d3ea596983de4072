"""Kinds of header fields: how the gateway treats each field of a message.

Most fields are FORWARD (passed on unread). Some are hop-by-hop and end here (RFC 9110 7.6.1), a few frame the message
(RFC 9112 6) or describe the client. Names are looked up as sent, in a bounded memo: an ordinary field costs one
dictionary look-up.
"""

from collections.abc import Iterable
from typing import Final

from inferway_contract import credential_fields
from inferway_contract.field_patterns import dashed
from inferway_dataplane.core.messages.client_claims import ClientClaims

Fields = list[tuple[bytes, bytes]]
"""Names and values, as sent and in the order sent."""

FORWARD: Final = 0
DROP: Final = 1
HOST: Final = 2
LENGTH: Final = 3
ENCODING: Final = 4
CONNECTION: Final = 5
EXPECT: Final = 6
FORWARDED_FOR: Final = 7
REMOVE: Final = 8
"""Ends here, before matching, limits and cache: as if it had not been sent."""
REQUEST_ID: Final = 9
TRACE: Final = 10
CREDENTIAL: Final = 11
CACHING: Final = 12
UPGRADE: Final = 13
SET_COOKIE: Final = 14
AGE: Final = 15
DATE: Final = 16
PROXY_CONNECTION: Final = 17
FORWARDED_PROTO: Final = 18
FORWARDED_HOST: Final = 19
FORWARDED_PORT: Final = 20
CONTENT_TYPE: Final = 30
MAX_FORWARDS: Final = 31
KEEP_ALIVE: Final = 21
UPSTREAM_REQUEST_ID: Final = 22
PROXY_CREDENTIAL: Final = 23
"""A credential for this hop: it ends here, and separates cached responses like any other."""
TARGET: Final = 24
"""Names the URL or method that the client used, as a trusted proxy forwards it: passed on, part of the cache key."""

_HOP_BY_HOP: Final = (
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authentication-info",
    b"te",
    b"trailer",
    b"http2-settings",
)

_REQUEST_KINDS: Final[dict[bytes, int]] = {
    **dict.fromkeys(_HOP_BY_HOP, DROP),
    **dict.fromkeys((b"authorization", b"cookie", b"x-api-key", b"api-key"), CREDENTIAL),
    b"proxy-authorization": PROXY_CREDENTIAL,
    b"host": HOST,
    b"content-length": LENGTH,
    b"transfer-encoding": ENCODING,
    b"connection": CONNECTION,
    b"proxy-connection": PROXY_CONNECTION,
    b"upgrade": UPGRADE,
    b"expect": EXPECT,
    b"content-type": CONTENT_TYPE,
    b"max-forwards": MAX_FORWARDS,
    b"x-request-id": REQUEST_ID,
    b"traceparent": TRACE,
    **dict.fromkeys((b"cache-control", b"pragma", b"range", b"if-range"), CACHING),
    **dict.fromkeys((b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"), CACHING),
}

# Of trusted proxies: what the gateway reads, and writes itself.
_PROXY_KINDS: Final[dict[bytes, int]] = {
    b"x-forwarded-for": FORWARDED_FOR,
    b"x-forwarded-proto": FORWARDED_PROTO,
    b"x-forwarded-host": FORWARDED_HOST,
    b"x-forwarded-port": FORWARDED_PORT,
}

_RESPONSE_KINDS: Final[dict[bytes, int]] = {
    **dict.fromkeys(_HOP_BY_HOP, DROP),
    b"content-length": LENGTH,
    b"transfer-encoding": ENCODING,
    b"connection": CONNECTION,
    b"keep-alive": KEEP_ALIVE,
    b"proxy-connection": DROP,
    b"upgrade": DROP,
    b"proxy-authorization": DROP,
    b"x-request-id": UPSTREAM_REQUEST_ID,  # the gateway adds its own, and passes this one under the other name
    b"x-upstream-request-id": DROP,
    b"set-cookie": SET_COOKIE,
    **dict.fromkeys((b"cache-control", b"expires", b"vary", b"pragma"), CACHING),
    b"age": AGE,
    b"date": DATE,
}

_TARGET_NAMES: Final = frozenset((
    "forwarded", "front-end-https", "x-url-scheme", "x-scheme", "x-https", "x-host", "x-http-host-override",
    "x-http-destinationurl", "wl-proxy-ssl", "x-method-override", "x-envoy-original-path", "x-envoy-original-host",
    "cf-visitor", "cloudfront-forwarded-proto",
))  # fmt: skip
_TARGET_FAMILIES: Final = ("x-forwarded-", "x-original-", "x-rewrite-", "x-replaced-", "x-http-method")
# Of these families, those of addresses, which are other ones with each client and proxy.
_ADDRESS_ENDINGS: Final = ("-for", "-by", "-ip", "-addr", "-address", "-client-port", "-remote-port")

_MEMO_BOUND: Final = 4096
_LONGEST_NAME: Final = 128  # longer names are not kept: the memo is bounded in bytes too


class KindMemo(dict[bytes, int]):
    """Kind by field name as sent. New spellings are learnt; a flood of them only empties the memo."""

    __slots__ = ("_defined",)

    def __init__(self, defined: dict[bytes, int]) -> None:
        super().__init__()
        self._defined = defined

    def __missing__(self, name: bytes) -> int:
        kind = self._classify(name.lower())
        if len(name) <= _LONGEST_NAME:
            if len(self) >= _MEMO_BOUND:
                self.clear()
            self[name] = kind
        return kind

    def _classify(self, lower: bytes) -> int:
        """Return the kind of a name that is not in the memo."""
        kind = self._defined.get(lower)
        if kind is not None:
            return kind
        return DROP if dashed(lower) in self._defined else FORWARD


class RequestKindMemo(KindMemo):
    """Kinds of a request's fields. They depend on its sender: only trusted proxies may describe the client."""

    __slots__ = ("_claims", "_is_trusted")

    def __init__(self, claims: ClientClaims, *, is_trusted: bool) -> None:
        super().__init__(_REQUEST_KINDS | _PROXY_KINDS if is_trusted else _REQUEST_KINDS)
        self._claims = claims
        self._is_trusted = is_trusted

    def _classify(self, lower: bytes) -> int:
        # Many frameworks (CGI) read `X_Forwarded_For` as `X-Forwarded-For`. Such look-alikes end here. This includes
        # those of trusted proxies, which write dashes: another spelling came through the proxy, from its client. Only
        # Apache's own `SSL_CLIENT_*` have underscores.
        read_as = dashed(lower)
        is_claim = self._claims.covers(read_as)
        if self._is_trusted:
            is_claim = is_claim and read_as != lower and not lower.startswith(b"ssl_")
        if is_claim or (read_as != lower and read_as in self._defined):
            return REMOVE
        kind = self._defined.get(lower)
        return IDENTITY_KINDS[lower] if kind is None else kind


class _IdentityKindMemo(KindMemo):
    """What a field is to the cache's identity and target: CREDENTIAL, TARGET, or FORWARD for neither."""

    __slots__ = ()

    def _classify(self, lower: bytes) -> int:
        name = dashed(lower).decode("latin-1")
        if credential_fields.is_credential(name):
            return CREDENTIAL
        is_of_family = name.startswith(_TARGET_FAMILIES) and not name.endswith(_ADDRESS_ENDINGS)
        return TARGET if is_of_family or name in _TARGET_NAMES else FORWARD


IDENTITY_KINDS: Final = _IdentityKindMemo({})
RESPONSE_KINDS: Final = KindMemo(_RESPONSE_KINDS)


def drop_fields(fields: Fields, names: Iterable[bytes]) -> Fields:
    """Return the fields with other names than these, which are lower case."""
    dropped = set(names)
    return [field for field in fields if field[0].lower() not in dropped]
