"""The request target (RFC 9112 3.2): path, query and host."""

from ipaddress import IPv6Address
from typing import Final

from inferway_contract.paths import AmbiguousPath, match_path
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.request_head import RequestHead

_REG_NAME: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=%")
_HEX: Final = frozenset(b"0123456789abcdef")
_IPV6: Final = frozenset(b"0123456789abcdef:.")
_MEMO_BOUND: Final = 4096
# Longer hosts and paths are not kept, so the memos are bounded in bytes too.
_LONGEST_HOST: Final = 300
_LONGEST_PATH: Final = 1024

# Bounded memos of pure functions: most requests repeat the same few hosts and paths.
_hosts: dict[bytes, bytes | None] = {}
_paths: dict[bytes, bytes] = {}


def locate(head: RequestHead, target: bytes) -> Problem | None:
    """Set the head's path, query, match path and host (lower case, without its port)."""
    raw_host = head.raw_host
    if target[:1] != b"/" and (target != b"*" or head.method != b"OPTIONS"):
        split = _absolute_form(target)
        if split is None:
            return problems.BAD_TARGET
        # The target's authority replaces Host, which must still be valid (RFC 9112 3.2.2).
        if raw_host is not None and host_of(raw_host) is None:
            return problems.BAD_HOST
        raw_host, target = split
        head.raw_host = raw_host
    if raw_host is not None:
        host = _hosts.get(raw_host) or host_of(raw_host)
        if host is None:
            return problems.BAD_HOST
        head.host = host
    path, mark, query = target.partition(b"?")
    head.path = path
    if mark:
        head.query = query
    if b"#" in target:
        return problems.BAD_TARGET
    path_to_match = _paths.get(path)
    if path_to_match is None:
        try:
            path_to_match = match_path(path)
        except AmbiguousPath:
            return problems.AMBIGUOUS_PATH
        if len(path) <= _LONGEST_PATH:
            if len(_paths) >= _MEMO_BOUND:
                _paths.clear()
            _paths[path] = path_to_match
    head.match_path = path_to_match
    return None


def host_of(raw: bytes) -> bytes | None:
    """Return the lower-case host of a Host value; None when malformed (RFC 9110 7.2)."""
    try:
        return _hosts[raw]
    except KeyError:
        pass
    host = _parse_host(raw.lower())
    if len(raw) <= _LONGEST_HOST:
        if len(_hosts) >= _MEMO_BOUND:
            _hosts.clear()
        _hosts[raw] = host
    return host


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


def _absolute_form(target: bytes) -> tuple[bytes, bytes] | None:
    scheme, mark, rest = target.partition(b"://")
    if not mark or scheme.lower() not in (b"http", b"https"):
        return None
    cut = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
    authority, path = rest[:cut], rest[cut:]
    if not authority or b"@" in authority:
        return None
    return authority, path if path.startswith(b"/") else b"/" + path
