"""The sender of a request, as far as it decides how the head is read: the scheme of its listener, and trust."""

from typing import Final

from inferway_dataplane.core.messages.client_claims import ClientClaims
from inferway_dataplane.core.messages.field_kinds import RequestKindMemo


class Sender:
    """One kind of sender. Heads of two kinds may differ although their bytes are equal, so they are memoised apart."""

    __slots__ = ("is_trusted", "kinds", "scheme")

    def __init__(self, scheme: bytes, claims: ClientClaims, *, is_trusted: bool) -> None:
        """`scheme`: http or https, of the connection; `claims`: fields that only trusted proxies may send."""
        self.scheme = scheme
        self.is_trusted = is_trusted
        self.kinds = RequestKindMemo(claims, is_trusted=is_trusted)


STRANGER: Final = Sender(b"http", ClientClaims(), is_trusted=False)
"""A client without TLS that is not a trusted proxy, under the default settings."""
