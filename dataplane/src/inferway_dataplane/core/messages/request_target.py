"""The request target (RFC 9112 3.2): path, query and host."""

from typing import Final

from inferway_contract.paths import AmbiguousPath, match_path
from inferway_dataplane.core.messages import authority, problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.request_head import RequestHead

# Asked by its number: for `bytes` in `bytes` CPython first raises and drops an exception.
_FRAGMENT: Final = ord("#")
_MEMO_BOUND: Final = 4096
_LONGEST_PATH: Final = 1024  # longer paths are not kept, so the memo is bounded in bytes too

# A bounded memo of a pure function: most requests repeat the same few paths.
_paths: dict[bytes, bytes] = {}


def locate(head: RequestHead, target: bytes) -> Problem | None:
    """Set the head's path, query, match path, host (lower case, without its port) and authority."""
    if target[:1] != b"/" and (target != b"*" or head.method != b"OPTIONS"):
        split = _absolute_form(target)
        if split is None:
            return problems.BAD_TARGET
        # The target's authority replaces Host, which must still be valid (RFC 9112 3.2.2).
        if head.block.host is None:
            return problems.BAD_HOST
        # Its scheme is only the client's word: the connection's counts, or what a trusted proxy forwards.
        head.raw_host, target = split
        host = authority.host_of(head.raw_host)
        if host is None:
            return problems.BAD_HOST
        head.host = host
        head.authority = head.block.authority_for(head.raw_host)
    elif head.block.host is None:
        return problems.BAD_HOST
    path, mark, query = target.partition(b"?")
    head.path = path
    if head.method == b"OPTIONS":
        hops = head.block.max_forwards
        if hops is not None and not hops.isdigit():
            return problems.BAD_MAX_FORWARDS
        # RFC 9110 7.6.2: at 0 the gateway is the final recipient.
        head.is_for_gateway = path == b"*" or (hops is not None and not hops.strip(b"0"))
    if mark:
        head.query = query
    if _FRAGMENT in target:
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


def _absolute_form(target: bytes) -> tuple[bytes, bytes] | None:
    scheme, mark, rest = target.partition(b"://")
    if not mark or scheme.lower() not in (b"http", b"https"):
        return None
    cut = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
    host, path = rest[:cut], rest[cut:]
    if not host or b"@" in host:
        return None
    return host, path if path.startswith(b"/") else b"/" + path
