"""Other readings of a path: what an upstream may make of it that reads more into a path than the gateway does.

The gateway keeps `%2F` and `%5C` as written, and takes `;` for an ordinary character. Many upstreams do not: ASGI and WSGI
servers, nginx and Go decode the whole path, servlet containers cut path parameters (`/a;x=1`, RFC 3986 3.3) and then
resolve the dot segments that appear. Patterns read characters, so no pattern matches bytes that are not UTF-8, which
upstreams replace or take as they are. A path whose other readings select another rule must not be served under the literal
one: its rule, its limits and its credentials would be those of another resource.
"""

import re
from collections.abc import Iterator
from typing import Final

from inferway_contract import paths

MOST_READINGS: Final = 8
MOST_DOT_SEGMENTS: Final = 16
"""Bounds of what is compared. A path beyond them is ambiguous by itself: no client that means well sends one."""

# Asked by their numbers: for `bytes` in `bytes` CPython first raises and drops an exception.
_SEMICOLON: Final = ord(";")
_PERCENT: Final = ord("%")
_MARK: Final = b"\x00"  # refused in every path
_PARAMETERS = re.compile(rb";[^/]*")
_DOT_SEGMENT = re.compile(rb"/\.\.?(?![^/])")


def may_differ(path: bytes) -> bool:
    """Whether the match path has something that can be read in another way."""
    return (
        _SEMICOLON in path
        or (_PERCENT in path and (b"%2F" in path or b"%5C" in path))
        or (not path.isascii() and _replaced(path) is not path)
    )


def readings(path: bytes, raw: bytes) -> list[bytes] | None:
    """Return the other readings of a match path, each once; None = there are too many. Costs O(length).

    `raw`: the path as sent. The readings are the path with its separators decoded, with its parameters cut, and with both
    in both orders; each of these also with its dot segments resolved, and with its empty segments removed, as by servers
    that normalise paths. In all of them, bytes that are not UTF-8 are replaced.
    """
    characters = _replaced(path)
    if b"%25" in raw:
        # To an upstream that decodes once `%252F` is text, but it stands in the match path as `%2F` does.
        others = _readings(_replaced(paths.decoded(raw.replace(b"%25", _MARK))))
        if others is not None:
            others = [other.replace(_MARK, b"%") for other in others]
    else:
        others = _readings(characters)
    if others is None or characters is path:
        return others
    return [characters, *others] if len(others) < MOST_READINGS else None


def _replaced(path: bytes) -> bytes:
    """Replace what is not UTF-8 by U+FFFD; the same object if there is nothing to replace."""
    try:
        path.decode()
    except UnicodeDecodeError:
        return path.decode(errors="replace").encode()
    return path


def _readings(path: bytes) -> list[bytes] | None:
    seen = {path}
    for reading in _unresolved(path):
        for form in _resolved(reading):
            if form is None:
                return None
            seen.add(form)
        if len(seen) > MOST_READINGS + 1:
            return None
    seen.discard(path)
    return list(seen)


def _unresolved(path: bytes) -> Iterator[bytes]:
    decodings = _decodings(path)
    yield from decodings
    if b";" in path:
        cut = _PARAMETERS.sub(b"", path)
        yield cut
        yield from _decodings(cut)
        for decoded in decodings:
            yield _PARAMETERS.sub(b"", decoded)


def _decodings(path: bytes) -> set[bytes]:
    with_slashes = path.replace(b"%2F", b"/")
    # An escaped backslash separates on Windows only; elsewhere it is a character of its segment.
    return {with_slashes, with_slashes.replace(b"%5C", b"/")} - {path}


def _resolved(path: bytes) -> Iterator[bytes | None]:
    yield path
    has_dots = b"/." in path and _DOT_SEGMENT.search(path) is not None
    if has_dots:
        yield _without_dots(path)
    if b"//" in path:
        merged = path
        while b"//" in merged:
            merged = merged.replace(b"//", b"/")
        yield _without_dots(merged) if has_dots else merged


def _without_dots(path: bytes) -> bytes | None:
    """Resolve dot segments (RFC 3986 5.2.4); None = too many."""
    if path.endswith((b"/.", b"/..")):
        path += b"/"
    start = 0
    for _ in range(MOST_DOT_SEGMENTS):
        dots = _DOT_SEGMENT.search(path, start)
        if dots is None:
            return path
        start = dots.start()
        if dots.end() - start == len(b"/.."):
            start = max(path.rfind(b"/", 0, start), 0)
        path = path[:start] + path[dots.end() :]
    return None
