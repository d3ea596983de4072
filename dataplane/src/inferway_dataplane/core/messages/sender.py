"""The sender of a request, as far as it decides how the head is read: the scheme of its listener, and trust."""

from typing import Final

from inferway_contract.field_patterns import dashed
from inferway_dataplane.core.messages.client_claims import ClientClaims
from inferway_dataplane.core.messages.field_kinds import RequestKindMemo


class Sender:
    """One kind of sender. Heads of two kinds may differ although their bytes are equal, so they are memoised apart."""

    __slots__ = ("_claims", "is_trusted", "kinds", "scheme")

    def __init__(self, scheme: bytes, claims: ClientClaims, *, is_trusted: bool) -> None:
        """`scheme`: http or https, of the connection; `claims`: fields that only trusted proxies may send."""
        self.scheme = scheme
        self.is_trusted = is_trusted
        self._claims = claims
        self.kinds = RequestKindMemo(claims, is_trusted=is_trusted)

    def is_claim(self, name: bytes) -> bool:
        """Whether only trusted proxies may send the field of this name."""
        return self._claims.covers(dashed(name.lower()))


STRANGER: Final = Sender(b"http", ClientClaims(), is_trusted=False)
"""A client without TLS that is not a trusted proxy, under the default settings."""
