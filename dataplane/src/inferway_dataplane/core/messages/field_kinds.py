"""Kinds of header fields: what the gateway does with each field of a request or response."""

from typing import Final

Fields = list[tuple[bytes, bytes]]


FORWARD: Final = 0


DROP: Final = 1


HOST: Final = 2


LENGTH: Final = 3


ENCODING: Final = 4


CONNECTION: Final = 5


EXPECT: Final = 6


FORWARDED_FOR: Final = 7


FORWARDED: Final = 8


REQUEST_ID: Final = 9


TRACE: Final = 10


CREDENTIAL: Final = 11


CACHING: Final = 12


UPGRADE: Final = 13


PROXY_CONNECTION: Final = 17


_HOP_BY_HOP: Final = (
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"te",
    b"trailer",
    b"http2-settings",
)


_REQUEST_KINDS: Final[dict[bytes, int]] = {
    **dict.fromkeys(_HOP_BY_HOP, DROP),
    b"host": HOST,
    b"content-length": LENGTH,
    b"transfer-encoding": ENCODING,
    b"connection": CONNECTION,
    b"proxy-connection": PROXY_CONNECTION,
    b"upgrade": UPGRADE,
    b"expect": EXPECT,
    b"x-forwarded-for": FORWARDED_FOR,
    b"x-forwarded-proto": FORWARDED,
    b"x-forwarded-host": FORWARDED,
    b"x-forwarded-port": FORWARDED,
    b"x-forwarded-prefix": FORWARDED,
    b"x-forwarded-server": FORWARDED,
    b"x-real-ip": FORWARDED,
    b"forwarded": FORWARDED,
    b"x-original-url": FORWARDED,
    b"x-rewrite-url": FORWARDED,
    b"x-request-id": REQUEST_ID,
    b"traceparent": TRACE,
    b"authorization": CREDENTIAL,
    b"cookie": CREDENTIAL,
    b"x-api-key": CREDENTIAL,
    b"api-key": CREDENTIAL,
    b"cache-control": CACHING,
    b"pragma": CACHING,
    b"range": CACHING,
    b"if-none-match": CACHING,
    b"if-modified-since": CACHING,
    b"if-match": CACHING,
    b"if-unmodified-since": CACHING,
    b"if-range": CACHING,
}


# Response kinds
SET_COOKIE: Final = 14


AGE: Final = 15


DATE: Final = 16


_RESPONSE_KINDS: Final[dict[bytes, int]] = {
    **dict.fromkeys(_HOP_BY_HOP, DROP),
    b"content-length": LENGTH,
    b"transfer-encoding": ENCODING,
    b"connection": CONNECTION,
    b"proxy-connection": DROP,
    b"upgrade": DROP,
    b"x-request-id": DROP,  # ours is the one the client is told
    b"set-cookie": SET_COOKIE,
    b"cache-control": CACHING,
    b"expires": CACHING,
    b"vary": CACHING,
    b"pragma": CACHING,
    b"age": AGE,
    b"date": DATE,
}


_MEMO_BOUND: Final = 4096


_LONGEST_NAME: Final = 128  # a longer name is looked up anew: the memo is bounded in bytes too


class _Kinds(dict[bytes, int]):
    """Kind by field name as sent. Unknown spellings are learnt; a hostile flood of names only empties the memo."""

    __slots__ = ("known",)

    def __init__(self, known: dict[bytes, int]) -> None:
        super().__init__(known)
        self.known = known

    def __missing__(self, name: bytes) -> int:
        lower = name.lower()
        # `X_Forwarded_For` becomes `X-Forwarded-For` in many frameworks (CGI): such look-alikes end here.
        kind = DROP if b"_" in lower and lower.replace(b"_", b"-") in self.known else self.known.get(lower, FORWARD)
        if len(name) <= _LONGEST_NAME:
            if len(self) >= _MEMO_BOUND:
                self.clear()
                self.update(self.known)
            self[name] = kind
        return kind


REQUEST_KINDS: Final = _Kinds(_REQUEST_KINDS)


RESPONSE_KINDS: Final = _Kinds(_RESPONSE_KINDS)
