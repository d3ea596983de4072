"""A rule's cache settings and cache keys: primary key and variant (RFC 9111 2, 4.1).

A key is a SHA-256 digest of length-prefixed parts, so that no value can pass for another part. Two requests share a key
only if the rule does the same with both, and both are the same to the origin except for what the rule leaves out.
"""

import hmac
import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Final
from urllib.parse import unquote_to_bytes

from inferway_contract import credential_fields
from inferway_contract.canonical import canonical
from inferway_contract.document import Cache, Rule
from inferway_dataplane.core.messages import credentials
from inferway_dataplane.core.messages.field_kinds import CREDENTIAL, IDENTITY_KINDS, TARGET
from inferway_dataplane.core.messages.request_head import FieldBlock, RequestHead
from inferway_dataplane.core.messages.response_head import ResponseHead

MOST_PARAMETERS: Final = 128
"""A query with more parameters is part of the key as it stands: looking at each of thousands would cost milliseconds."""


def digest_of(route: str, rule: Rule) -> bytes:
    """Return the digest of all that a rule is and does, so that a changed rule never uses responses of the older one.

    The name is left out: it may be the rule's position, and unchanged rules keep their responses when they are reordered.
    """
    return sha256(_joined((route.encode(), canonical(rule.model_copy(update={"name": ""}))))).digest()


class CacheRules:
    """The cache settings of a rule. `ttl` and `max_ttl` in seconds, `max_body` in bytes."""

    __slots__ = (
        "_exclude", "_has_prefix", "_header_names", "_host", "_include", "_include_aliases", "_is_plain_query", "_scope",
        "_sort", "is_isolated", "max_body", "max_ttl", "status_header", "statuses", "stores_private", "ttl",
    )  # fmt: skip

    def __init__(self, cache: Cache, scope: bytes, *, has_prefix: bool = False) -> None:
        """`scope`: what the rule is (`digest_of`); `has_prefix`: what the upstream receives depends on the matched prefix."""
        self.ttl = (cache.ttl or 0) / 1000
        self.max_ttl = cache.max_ttl / 1000
        self.statuses = frozenset(cache.statuses)
        self.max_body = cache.max_body
        self.status_header = cache.status_header.encode()
        self.is_isolated = cache.identity == "Isolate"
        self.stores_private = cache.store_private and self.is_isolated
        self._scope = scope
        self._has_prefix = has_prefix
        self._host = cache.key_host
        self._header_names = tuple(name.lower().encode() for name in cache.key_headers)
        self._include = frozenset(name.encode() for name in cache.query_include)
        self._include_aliases = frozenset(_alias(name) for name in self._include)
        self._exclude = frozenset(name.encode() for name in cache.query_exclude)
        self._sort = cache.query_sort
        self._is_plain_query = not (self._include or self._exclude or self._sort)

    def key(self, head: RequestHead, prefix: bytes, secret: bytes) -> bytes:
        """Build the primary key. `prefix`: the matched path; `secret` keys the digest of credentials."""
        block = head.block
        query, withheld = head.query, b""
        if query is not None and not self._is_plain_query and query.count(b"&") < MOST_PARAMETERS:
            query, withheld = self._selected(query)
        parts = [
            self._scope,
            b"GET" if head.method == b"HEAD" else head.method,
            head.scheme,
            # Both are sent upstream: links and redirects in a response depend on them.
            _joined((head.authority, _host_sent(head))) if self._host else None,
            head.path,
            query,
            prefix if self._has_prefix else None,
            _targets(head) if block.has_targets else None,
            *(head.value(name) for name in self._header_names),
        ]
        if self.is_isolated and (block.credentials or withheld):
            # The key contains a keyed digest of the credentials: it reveals nothing of them.
            parts.append(hmac.digest(secret, _joined((withheld, *_credentials(block))), "sha256"))
        return sha256(_joined(parts)).digest()

    def _selected(self, query: bytes) -> tuple[bytes | None, bytes]:
        """Return the part of a query that belongs to the key, and credentials that the rule leaves out of it."""
        kept, withheld = [], []
        may_sort = self._sort
        for pair in query.split(b"&"):
            name = unquote_to_bytes(pair.partition(b"=")[0].replace(b"+", b" "))
            if b";" in pair or b"?" in pair:
                # Some upstreams begin a further parameter there: the pair stays whole and in its place.
                kept.append((b"", pair))
                may_sort = False
            elif self._is_selected(name):
                kept.append((_alias(name), pair))
            elif self.is_isolated and credential_fields.is_credential_parameter(_dashed(name)):
                withheld.append(pair)
        if may_sort:
            # Stable, and by what names may mean to an upstream: values of one name keep their order, which may matter.
            kept.sort(key=lambda one: one[0])
        return b"&".join(pair for _, pair in kept) if kept else None, b"&".join(withheld)

    def _is_selected(self, name: bytes) -> bool:
        if not self._include:
            return name not in self._exclude
        # A spelling that an upstream may take for an included name is kept (`q[]`, `Q`, ` q`, `%u0071`).
        return name in self._include or not _PLAIN_NAME(name) or _alias(name) in self._include_aliases


_PLAIN_NAME: Final = re.compile(rb"[A-Za-z0-9_.~:@$!*-]*").fullmatch


def _alias(name: bytes) -> bytes:
    """Return the name as the most generous upstream reads it: PHP ends it at `[`, and takes `.` and blanks for `_`."""
    return re.sub(rb"[. +-]", b"_", name.strip().partition(b"\0")[0].partition(b"[")[0].lower())


def _dashed(name: bytes) -> str:
    return name.decode("latin-1").lower().replace("_", "-")


def _joined(parts: Iterable[bytes | None]) -> bytes:
    """Join parts so that no two lists of parts give the same bytes; an absent part differs from an empty one."""
    return b"".join([b"-" if part is None else b"%d:%b" % (len(part), part) for part in parts])


def _host_sent(head: RequestHead) -> bytes:
    return (head.raw_host or b"").lower()


def _targets(head: RequestHead) -> bytes:
    """Return what trusted proxies forward of the client's URL and method, beyond scheme and authority."""
    parts: list[bytes] = []
    for field in head.passed:
        if IDENTITY_KINDS[field[0]] == TARGET:
            name, value = field[0].lower(), field[1]
            if name == b"forwarded":
                # RFC 7239: without the addresses, which are other ones with each client.
                pairs = (pair.strip(b" \t").lower() for pair in re.split(rb"[;,]", value))
                value = b";".join(pair for pair in pairs if pair.startswith((b"proto=", b"host=")))
            parts += (name, value)
    return _joined(parts)


def _credentials(block: FieldBlock) -> list[bytes]:
    """Return names and values of all fields that may carry a credential, the lines of one name in their order."""
    fields = [(name.lower(), value) for name, value in block.fields if IDENTITY_KINDS[name] == CREDENTIAL]
    fields.sort(key=lambda field: field[0])
    return [part for name, value in fields for part in (name, credentials.canonical(name, value))]


def is_authenticated(block: FieldBlock) -> bool:
    """Whether a request has a field whose value is the credential of one user or account."""
    return block.credentials and any(_dashed(name) in credential_fields.AUTHENTICATING for name, _ in block.fields)


ALWAYS_VARYING: Final = frozenset((b"*", b"x-request-id", b"traceparent"))
"""Members of Vary that differ with every request."""


def variant(names: tuple[bytes, ...], head: RequestHead, peer: bytes) -> bytes:
    """Build the secondary key from the fields that Vary names (RFC 9111 4.1), as the upstream receives them.

    `peer`: the address of the connection's other end, which the upstream receives too.
    """
    return sha256(_joined(_varying(name, head, peer) for name in names)).digest() if names else b""


def _varying(name: bytes, head: RequestHead, peer: bytes) -> bytes | None:
    match name:
        case b"host" | b"x-forwarded-host" | b"x-forwarded-proto" | b"x-forwarded-port":
            return _joined((head.scheme, head.authority, _host_sent(head)))
        case b"forwarded":
            return _joined((head.scheme, head.authority, _host_sent(head), head.value(name)))
        case b"x-forwarded-for":
            return _joined((*(head.block.forwarded_for or ()), peer))
    return head.value(name)


def vary_names(response: ResponseHead) -> tuple[bytes, ...]:
    """Return the fields that Vary names: lower case, sorted, without duplicates."""
    value = (response.caching or {}).get(b"vary", b"")
    return tuple(sorted({name.strip(b" \t").lower() for name in value.split(b",")} - {b""}))
