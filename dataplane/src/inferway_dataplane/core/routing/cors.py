"""CORS (Fetch standard 3.3) by Gateway API's HTTPCORSFilter."""

from typing import Final

from inferway_contract.document import Cors
from inferway_dataplane.core.messages.field_kinds import Fields
from inferway_dataplane.core.messages.request_head import RequestHead

_LABELS: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-._")

# A scheme, a host of 253 characters (RFC 1035 2.3.4) and a port; no longer one is compared with wildcards.
_LONGEST_ORIGIN: Final = 300


def preflight_method(head: RequestHead) -> bytes | None:
    """Return the method that an OPTIONS request announces as a CORS preflight (Fetch 3.2.2); None = not a preflight."""
    if head.value(b"origin") is None:
        return None
    method = head.value(b"access-control-request-method")
    # Several lines are joined with a comma: such a request announces no method.
    return method if method and b"," not in method else None


class CorsRules:
    """A compiled CORS filter."""

    __slots__ = ("_any", "_credentials", "_exact", "_expose", "_headers", "_max_age", "_methods", "_wildcards")

    def __init__(self, cors: Cors) -> None:
        self._credentials = cors.allow_credentials
        self._any = "*" in cors.allow_origins
        self._exact = frozenset(origin.lower().encode() for origin in cors.allow_origins)
        self._wildcards = tuple(
            (scheme.lower().encode() + b"://", rest.lower().encode())
            for scheme, mark, rest in (origin.partition("://*") for origin in cors.allow_origins)
            if mark
        )
        self._methods = ", ".join(cors.allow_methods).encode()
        self._headers = ", ".join(cors.allow_headers).encode()
        self._expose = ", ".join(cors.expose_headers).encode()
        self._max_age = b"%d" % cors.max_age_seconds

    def _refusal_fields(self) -> Fields:
        # Without `Vary` a cache would serve this response to an allowed origin.
        return [] if self._any and not self._credentials else [(b"vary", b"Origin")]

    def _allows(self, origin: bytes) -> bool:
        if len(origin) > _LONGEST_ORIGIN:
            return self._any
        lower = origin.lower()
        return (
            self._any
            or lower in self._exact
            or any(
                lower.startswith(scheme)
                and lower.endswith(rest)
                and _is_labels(lower[len(scheme) : -len(rest) or None])
                for scheme, rest in self._wildcards
            )
        )

    def _origin_fields(self, origin: bytes) -> Fields:
        # `*` must not be combined with credentials: the response then names the origin and varies by it.
        if self._any and not self._credentials:
            fields = [(b"access-control-allow-origin", b"*")]
        else:
            fields = [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]
        if self._credentials:
            fields.append((b"access-control-allow-credentials", b"true"))
        return fields

    def preflight_fields(self, head: RequestHead) -> Fields:
        """Return the fields for a preflight; without those of CORS for an origin that is not allowed."""
        origin, method = head.value(b"origin") or b"", head.value(b"access-control-request-method") or b""
        if not self._allows(origin):
            return self._refusal_fields()
        fields = self._origin_fields(origin)
        # With credentials a literal `*` counts as a name, so the requested names are repeated instead.
        requested = head.value(b"access-control-request-headers")
        methods = method if self._methods == b"*" and self._credentials else self._methods
        headers = (requested or b"") if self._headers == b"*" and self._credentials else self._headers
        if methods:
            fields.append((b"access-control-allow-methods", methods))
        if headers:
            fields.append((b"access-control-allow-headers", headers))
        fields.append((b"access-control-max-age", self._max_age))
        return fields

    def response_fields(self, head: RequestHead) -> Fields:
        """Return the fields to add to the response of an ordinary request."""
        origin = head.value(b"origin")
        if origin is None or not self._allows(origin):
            return self._refusal_fields()
        fields = self._origin_fields(origin)
        if self._expose:
            fields.append((b"access-control-expose-headers", self._expose))
        return fields


def _is_labels(text: bytes) -> bool:
    """Whether a wildcard may match this text: labels of a host only."""
    return bool(text) and _LABELS.issuperset(text)
