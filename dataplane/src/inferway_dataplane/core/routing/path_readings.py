"""Other readings of a path: what an upstream may make of it that reads more into a path than the gateway does.

The gateway keeps `%2F` and `%5C` as written, and takes `;` for an ordinary character. Many upstreams do not: ASGI and WSGI
servers, nginx and Go decode the whole path, servlet containers cut path parameters (`/a;x=1`, RFC 3986 3.3) and then
resolve the dot segments that appear. A path whose other readings select another rule must not be served under the literal
one: its rule, its limits and its credentials would be those of another resource.
"""

import re
from collections.abc import Iterator

_PARAMETERS = re.compile(rb";[^/]*")
_DOT_SEGMENT = re.compile(rb"/\.\.?(?![^/])")


def may_differ(path: bytes) -> bool:
    """Whether the match path has something that can be read in another way."""
    return b";" in path or (b"%" in path and (b"%2F" in path or b"%5C" in path))


def readings(path: bytes) -> Iterator[bytes]:
    """Yield the other readings of a match path, each once; O(length).

    The path with its separators decoded, with its parameters cut, and with both in both orders; each with its dot
    segments resolved, and with its empty segments removed (servers that normalise do both).
    """
    seen = {path}
    for reading in _unresolved(path):
        for form in _resolved(reading):
            if form not in seen:
                seen.add(form)
                yield form


def _unresolved(path: bytes) -> Iterator[bytes]:
    with_slashes = path.replace(b"%2F", b"/")
    # An escaped backslash separates on Windows only; elsewhere it is a character of its segment.
    decodings = {with_slashes, with_slashes.replace(b"%5C", b"/")}
    yield from decodings
    if b";" in path:
        cut = _PARAMETERS.sub(b"", path)
        yield cut
        cut_with_slashes = cut.replace(b"%2F", b"/")
        yield from {cut_with_slashes, cut_with_slashes.replace(b"%5C", b"/")}
        for decoded in decodings:
            yield _PARAMETERS.sub(b"", decoded)


def _resolved(path: bytes) -> Iterator[bytes]:
    yield path
    has_dots = b"/." in path and _DOT_SEGMENT.search(path) is not None
    if has_dots:
        yield _without_dots(path.split(b"/"))
    if b"//" in path:
        first, *segments = path.split(b"/")
        merged = [first, *filter(None, segments)]
        if not segments[-1]:
            merged.append(b"")
        yield _without_dots(merged) if has_dots else b"/".join(merged)


def _without_dots(segments: list[bytes]) -> bytes:
    """Resolve dot segments (RFC 3986 5.2.4). `segments`: of a path, the first one empty."""
    kept: list[bytes] = []
    for segment in segments[1:]:
        if segment == b"..":
            if kept:
                kept.pop()
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)
