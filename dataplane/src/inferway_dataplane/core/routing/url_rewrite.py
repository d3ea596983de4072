"""URL rewrites and redirect locations (Gateway API HTTPPathModifier, HTTPRequestRedirectFilter)."""

from inferway_contract.document import NewPath, Redirect
from inferway_dataplane.core.messages.request_head import RequestHead


def new_path(change: NewPath, raw: bytes, prefix: bytes) -> bytes:
    """Return the raw path after a change. `prefix`: the PathPrefix that matched.

    ReplacePrefixMatch removes as many raw segments as the prefix has, so escapes in the rest stay as sent.
    """
    if change.full is not None:
        return change.full.encode() or b"/"
    segments = 0 if prefix == b"/" else prefix.count(b"/")
    rest = raw.split(b"/")[segments + 1 :]
    new = (change.prefix or "").encode()
    if not rest:
        return new or b"/"
    return new.rstrip(b"/") + b"/" + b"/".join(rest)


def location(redirect: Redirect, head: RequestHead, prefix: bytes, scheme: bytes) -> bytes:
    """Build the absolute Location of a redirect; parts not named come from the request."""
    target = redirect.scheme.encode() if redirect.scheme else scheme
    host = redirect.hostname.encode() if redirect.hostname else head.host
    port = _port(redirect, head, target)
    path = new_path(redirect.path, head.path, prefix) if redirect.path else head.path
    query = b"" if head.query is None else b"?" + head.query
    if not host:
        return path + query  # HTTP/1.0 without Host: only a relative reference is possible
    return target + b"://" + host + port + path + query


def _port(redirect: Redirect, head: RequestHead, scheme: bytes) -> bytes:
    if redirect.port is not None:
        port = redirect.port
    elif redirect.scheme is not None:
        return b""  # the default port of the new scheme
    else:
        raw = head.raw_host or b""
        text = raw[raw.rfind(b"]") + 1 :].partition(b":")[2]
        if not text:
            return b""
        port = int(text)
    return b"" if (scheme, port) in ((b"http", 80), (b"https", 443)) else b":%d" % port
