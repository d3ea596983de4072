"""Fields that only a proxy can know: the client's address, scheme, host, certificate, user, or the path before a rewrite.

Each name is a convention of some proxy or framework. Upstreams believe such fields, so a peer that is not a trusted proxy
must not set them. Families cover the conventions of the same kind that are not listed.
"""

from collections.abc import Iterable, Sequence
from string import ascii_lowercase, digits
from typing import Final

_FAMILIES: Final = (
    # The client's address, and the scheme, host, port and path that it used
    "x-forwarded*", "forwarded*", "x-forward-*", "*forwarded-for", "*forwarded-proto", "*forwarded-host",
    "*forwarded-port", "x-real-*", "*client-ip", "*clientip", "*connecting-ip", "*connecting-ipv6", "*connection-ip",
    "*user-ip", "x-proxyuser-*", "x-remote-*", "remote-*", "x-source-ip", "x-client-port", "x-client-host",
    "x-originating-*", "x-cluster-*", "x-envoy-*", "x-original-*", "x-rewrite-*", "x-replaced-*", "x-host",
    "x-http-host-override", "x-http-destinationurl", "front-end-https", "x-url-scheme", "x-scheme", "x-https",
    "wl-proxy-*", "cf-visitor", "cf-ipcountry", "cloudfront-*", "fly-forwarded-*", "x-vercel-ip-*", "x-azure-socketip",
    "x-appengine-*", "x-arr-*", "x-waws-*", "x-accel-*", "x-sendfile-type",
    # The client's certificate
    "*client-cert*", "*clientcert*", "*client-verify*", "*client-dn*", "*client-s-dn*", "*client-i-dn*", "ssl-client-*",
    "sslclient*", "x-ssl-*", "x-tls-*", "x-mtls-*", "x-amzn-mtls-*", "x-amzn-tls-*",
    # The user, as an authenticating proxy found
    "x-auth-request-*", "x-authenticated-*", "x-webauth-*", "x-ms-client-principal*", "x-amzn-oidc-*", "x-goog-iap-*",
    "x-goog-authenticated-user-*", "cf-access-authenticated-*",
    # Another method than the request line's, which matched
    "x-http-method*", "x-method-override",
)  # fmt: skip

_NAME: Final = frozenset(ascii_lowercase + digits + "!#$%&'+-.^_`|~")
# The gateway cannot do without these, or writes them itself.
_NEEDED: Final = (
    b"host", b"content-length", b"content-type", b"transfer-encoding", b"connection", b"expect", b"upgrade", b"te", b"trailer",
)  # fmt: skip
_WRITTEN: Final = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port")
_PUNCTUATION: Final = b"!#$%&'*+.^_`|~"
_DASHES: Final = bytes.maketrans(_PUNCTUATION, b"-" * len(_PUNCTUATION))


def dashed(name: bytes) -> bytes:
    """Return a lower-case name as CGI-like frameworks read it: `_`, `.` and other punctuation are dashes."""
    return name.translate(_DASHES)


class _Names:
    """A set of names, given as names and as patterns with `*` at either end."""

    __slots__ = ("_exact", "_parts", "_prefixes", "_suffixes")

    def __init__(self, patterns: Iterable[str]) -> None:
        exact, prefixes, suffixes, parts = set(), [], [], []
        for pattern in patterns:
            bare = dashed(pattern.strip("*").lower().encode())
            match pattern.startswith("*"), pattern.endswith("*"):
                case False, False:
                    exact.add(bare)
                case False, True:
                    prefixes.append(bare)
                case True, False:
                    suffixes.append(bare)
                case _:
                    parts.append(bare)
        self._exact = frozenset(exact)
        self._prefixes, self._suffixes, self._parts = tuple(prefixes), tuple(suffixes), tuple(parts)

    def covers(self, name: bytes) -> bool:
        return (
            name in self._exact
            or name.startswith(self._prefixes)
            or name.endswith(self._suffixes)
            or any(part in name for part in self._parts)
        )


class ClientClaims:
    """The fields that only trusted proxies may send."""

    __slots__ = ("_claimed", "_kept")

    def __init__(self, further: Sequence[str] = ()) -> None:
        """`further`: names or patterns; one that begins with `!` is an exception. `ValueError` names a bad one."""
        for pattern in further:
            _check(pattern)
        self._claimed = _Names((*_FAMILIES, *(pattern for pattern in further if pattern[0] != "!")))
        self._kept = _Names(pattern[1:] for pattern in further if pattern[0] == "!")

    def covers(self, name: bytes) -> bool:
        """Whether a name is one of them. It is lower case, with dashes."""
        return self._claimed.covers(name) and not self._kept.covers(name)


def _check(pattern: str) -> None:
    bare = pattern.removeprefix("!").removeprefix("*").removesuffix("*").lower()
    if not bare or not _NAME.issuperset(bare):
        raise ValueError(f"{pattern!r} is not a field name, which may begin or end with `*`, and follow `!`")
    is_exception = pattern.startswith("!")
    names = _Names([pattern.removeprefix("!")])
    covered = [name.decode() for name in (_WRITTEN if is_exception else _NEEDED) if names.covers(name)]
    if covered:
        raise ValueError(f"{pattern!r} covers {covered[0]}, which the gateway itself reads or writes")
