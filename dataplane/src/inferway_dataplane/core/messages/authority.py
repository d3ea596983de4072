"""Hosts and authorities (RFC 3986 3.2): what Host, an absolute target or X-Forwarded-Host name."""

from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final

_REG_NAME: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=%")
_HEX: Final = frozenset(b"0123456789abcdef")
_IPV6: Final = frozenset(b"0123456789abcdef:.")
_DEFAULT_PORTS: Final = {b"http": 80, b"https": 443}
_MEMO_BOUND: Final = 4096
_LONGEST: Final = 300  # longer texts are not kept, so the memos are bounded in bytes too


def host_of(raw: bytes) -> bytes | None:
    """Return the lower-case host of a Host value; None when malformed (RFC 9110 7.2)."""
    return _known_host(raw) if len(raw) <= _LONGEST else _parse_host(raw.lower())


def host_and_authority(raw: bytes, scheme: bytes) -> tuple[bytes | None, bytes]:
    """Return host and normalised authority of a Host value; None and nothing when malformed."""
    return _known_both(raw, scheme) if len(raw) <= _LONGEST else _both(raw, scheme)


def normalise(raw: bytes, scheme: bytes, port: int | None = None) -> bytes:
    """Return a valid authority in lower case, without the default port of its scheme. `port` replaces its own."""
    return _known_authority(raw, scheme, port) if len(raw) <= _LONGEST else _authority(raw, scheme, port)


def port_of(raw: bytes) -> int | None:
    """Return the port of a valid authority; None = it has none, or an empty one."""
    digits = raw[raw.rfind(b"]") + 1 :].partition(b":")[2]
    return int(digits) if digits else None


def port_used(normalised: bytes, scheme: bytes) -> int:
    """Return the port of a normalised authority, or the default of its scheme."""
    port = port_of(normalised)
    return _DEFAULT_PORTS[scheme] if port is None else port


def _authority(raw: bytes, scheme: bytes, port: int | None) -> bytes:
    host = host_of(raw) or b""
    if port is None:
        port = port_of(raw)
    return host if port is None or port == _DEFAULT_PORTS[scheme] else b"%b:%d" % (host, port)


def _both(raw: bytes, scheme: bytes) -> tuple[bytes | None, bytes]:
    host = _parse_host(raw.lower())
    return host, b"" if host is None else _authority(raw, scheme, None)


def _parse_host(raw: bytes) -> bytes | None:
    if raw.startswith(b"["):
        inner, closed, rest = raw[1:].partition(b"]")
        if not closed or not _is_ipv6(inner) or (rest and not _is_port(rest)):
            return None
        return b"[" + inner + b"]"
    host, colon, port = raw.partition(b":")
    if (colon and not _is_port(b":" + port)) or len(host) > 255 or not _is_reg_name(host):
        return None
    # `example.com.` and `example.com` are one name (RFC 3986 3.2.2). An empty Host is legal only without authority, and
    # a name that ends in two dots is invalid: each peer would shorten it in its own way.
    name = host.removesuffix(b".")
    return None if not name or name.endswith(b".") else name


def _is_reg_name(text: bytes) -> bool:
    if not _REG_NAME.issuperset(text):
        return False
    # Every percent sign must begin an escape (RFC 3986 3.2.2): peers disagree about any other.
    return all(len(rest) >= 2 and _HEX.issuperset(rest[:2]) for rest in text.split(b"%")[1:])


def _is_ipv6(text: bytes) -> bool:
    if not _IPV6.issuperset(text):
        return False
    try:
        IPv6Address(text.decode("ascii"))
    except ValueError:
        return False
    return True


def _is_port(text: bytes) -> bool:
    digits = text[1:]
    return text[:1] == b":" and (not digits or (digits.isdigit() and len(digits) <= 5 and int(digits) <= 65535))


_known_host = lru_cache(_MEMO_BOUND)(lambda raw: _parse_host(raw.lower()))
_known_both = lru_cache(_MEMO_BOUND)(_both)
_known_authority = lru_cache(_MEMO_BOUND)(_authority)
