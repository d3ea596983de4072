"""What the targets' invariants share: alphabets, and sentences that more than one parser must fulfil."""

from typing import Final

CONTROL: Final = frozenset((*range(32), 127))
_HOST: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=%")
_IPV6: Final = frozenset(b"0123456789abcdef:.")
_DOMAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-._")

NEVER_ANSWERED: Final = frozenset(
    (b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"content-length", b"upgrade",
     b"proxy-authenticate", b"proxy-connection", b"x-request-id", b"age")
)  # fmt: skip
NEVER_PASSED: Final = frozenset(
    (b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"content-length", b"upgrade", b"host",
     b"proxy-authorization", b"proxy-connection", b"http2-settings", b"expect", b"x-forwarded-for", b"x-forwarded-proto",
     b"x-forwarded-host", b"forwarded", b"x-real-ip", b"x-original-url", b"x-rewrite-url", b"x-request-id", b"traceparent")
)  # fmt: skip


def assert_path(path: bytes) -> None:
    """A match path: no control byte, no backslash, no dot segment."""
    assert not CONTROL & set(path)
    assert b"\\" not in path
    assert not {b".", b".."} & set(path.split(b"/"))


def assert_host(host: bytes) -> None:
    """A host: lower case, no port; an IPv6 address in brackets, else a name that has an end."""
    assert host
    if host.startswith(b"["):
        assert host.endswith(b"]")
        assert _IPV6.issuperset(host[1:-1])
    else:
        assert _HOST.issuperset(host)
        assert not host.endswith(b".")


def fields(data: bytes) -> list[tuple[bytes, bytes]]:
    """Fields as a parser hands them over: `name: value` by line, values without white space around."""
    parts = (line.partition(b":") for line in data.split(b"\n"))
    return [(name, value.strip(b" \t")) for name, _, value in parts if name]


def is_below(origin: bytes, scheme: bytes, domain: bytes) -> bool:
    """Whether an origin is a host below a domain, and nothing else is in it."""
    if not (origin.startswith(scheme) and origin.endswith(domain)):
        return False
    labels = origin[len(scheme) : -len(domain)]
    return bool(labels) and _DOMAIN.issuperset(labels)
