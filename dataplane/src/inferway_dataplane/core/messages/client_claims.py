"""Fields that only a proxy can know: the client's address, scheme, host, certificate, user, or the path before a rewrite.

Each name is a convention of some proxy or framework. Upstreams believe such fields, so a peer that is not a trusted proxy
must not set them. Families cover the conventions of the same kind that are not listed.
"""

from collections.abc import Sequence
from typing import Final

from inferway_contract.field_patterns import FieldPatterns, check_proxy_field

FAMILIES: Final = (
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
"""Patterns of lower-case names with dashes. docs/http.md lists them."""


class ClientClaims:
    """The fields that only trusted proxies may send."""

    __slots__ = ("_claimed", "_kept")

    def __init__(self, further: Sequence[str] = ()) -> None:
        """`further`: names or patterns; one that begins with `!` is an exception. `ValueError` names a bad one."""
        for pattern in further:
            check_proxy_field(pattern)
        self._claimed = FieldPatterns((*FAMILIES, *(pattern for pattern in further if pattern[0] != "!")))
        self._kept = FieldPatterns(pattern[1:] for pattern in further if pattern[0] == "!")

    def covers(self, name: bytes) -> bool:
        """Whether a name is one of them. It is lower case, with dashes."""
        return self._claimed.covers(name) and not self._kept.covers(name)
