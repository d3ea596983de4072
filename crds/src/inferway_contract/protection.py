"""What an unreadable pattern or match may have meant: a broader match that protects all of it.

An invalid rule refuses the requests that it may have been written for. Where a pattern cannot be read, its literal beginning
is known: the characters that every corrected form of it begins with.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

import re2

from inferway_contract import patterns
from inferway_contract.document import Match, PathMatch, Precedence, ValueMatch

_REST: Final = r"\C*"
"""Any bytes: `.` does not match bytes that are not UTF-8, which a path may have."""
_FLAGS: Final = re.compile(r"\(\?([imsU]+)\)")
_BEFORE_REPEAT: Final = re.compile(r"(?:\(\?[:=!<PimsU-]+|\((?!\?[:=!<PimsU-])|[^(])[*+?{]", re.DOTALL)
"""A special character, or the beginning of a group, and a repetition behind it."""
_REPEATS: Final = frozenset("*?+{")
_COUNT_BEFORE_REPEAT: Final = re.compile(r"\{[^}]*\}[*+?{]")
_ENCODED_DOT: Final = re.compile("%2e", re.IGNORECASE)
_UNCERTAIN: Final = re.compile(r"[?#%\\*\x00-\x1f\x7f\ud800-\udfff]|//")
_SPECIAL: Final = re.compile(r"[.\[\]()|^$\ud800-\udfff]")
_CASED: Final = re.compile("[A-Za-z\x80-\U0010ffff]")
_QUOTED: Final = re.compile(r"\\(.)", re.DOTALL)
_LONGEST: Final = 256
"""Characters of a literal beginning. A shorter one protects more, and always compiles."""


def protected(match: Match, is_readable: Callable[[str], bool] = patterns.is_readable) -> Match:
    """Return the match itself if its patterns can be read, else a broader one in the same place of the order.

    A condition with an unreadable pattern is left out, as the value that it asks for is not known. `is_readable` is false
    for every pattern of a route whose patterns exceed a bound: they are not compiled.
    """
    headers, query = _readable(match.headers, is_readable), _readable(match.query, is_readable)
    path = match.path
    if path.type == "RegularExpression" and not is_readable(path.value):
        path = beginning(path.value)
    if (path, headers, query) == (match.path, match.headers, match.query):
        return match
    return Match(
        path=path,
        method=match.method,
        headers=headers,
        query=query,
        precedence=match.precedence or precedence_of(match),
    )


def precedence_of(match: Match) -> Precedence:
    """Return the place of a match in the order of precedence."""
    return Precedence(
        path_type=match.path.type,
        path_length=len(match.path.value.encode()),
        has_method=match.method is not None,
        headers=len(match.headers),
        query=len(match.query),
    )


def beginning(pattern: str) -> PathMatch:
    """Return a match of all paths that begin as every corrected form of this pattern does."""
    literal, has_case = literal_beginning(pattern)
    return _beginning(literal, "" if has_case or not literal else "(?i)")


def unread(match: Match) -> Match:
    """Return a broader match in the same place of the order that needs no pattern to be compiled."""
    match = protected(match, lambda pattern: False)
    path = match.path
    if path.type != "RegularExpression":
        return match
    return match.model_copy(update={"path": literal_path(path.value)})


def literal_path(pattern: str) -> PathMatch:
    """Return a match of all paths that begin as every corrected form of this pattern does; see `literal_of`."""
    literal, has_case = literal_beginning(pattern)
    if not has_case:
        # Letters of other alphabets fold to ASCII ones: only what has no case at all is certain.
        literal = _CASED.split(literal, maxsplit=1)[0]
    return _beginning(literal.partition("\0")[0])


def literal_of(pattern: str) -> bytes | None:
    """Return the literal beginning of a pattern that has nothing else, as `literal_path` writes it; None = it has more."""
    if not pattern.endswith(_REST):
        return None
    escaped = pattern.removesuffix(_REST)
    literal = _QUOTED.sub(r"\1", escaped)
    return literal.encode() if re2.escape(literal) == escaped else None


def beginning_of_path(value: str) -> PathMatch:
    """Return a match of all paths that begin as every corrected form of this Exact or PathPrefix value does."""
    segments = _UNCERTAIN.split(_ENCODED_DOT.sub(".", value))[0].split("/")
    climbs = segments.count("..")
    if climbs or "." in segments:
        first = next(index for index, segment in enumerate(segments) if segment in (".", ".."))
        # Without its dot segments the path may continue from any segment above.
        segments = [*segments[: max(first - climbs, 1)], ""]
    text = "/".join(segments)
    return _beginning(text if text.startswith("/") else "")


def _beginning(literal: str, flags: str = "") -> PathMatch:
    return PathMatch(type="RegularExpression", value=flags + re2.escape(literal[:_LONGEST]) + _REST)


def literal_beginning(pattern: str) -> tuple[str, bool]:
    """Return the characters that every corrected form of an RE2 pattern begins with, and whether their case counts.

    A corrected form changes nothing before the first character that is not literal. The last literal character does not
    count in front of a repetition, and none does where an alternative could begin with something else.
    """
    has_case = True
    while flags := _FLAGS.match(pattern):
        has_case = has_case and "i" not in flags[1]
        pattern = pattern[flags.end() :]
    if _may_begin_otherwise(pattern):
        return "", True
    literal: list[str] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if position == 0 and character == "^":
            position = 1
            continue
        if character == "\\":
            quoted, position = _escaped(pattern, position)
            if not quoted:
                break
            literal += quoted
        elif character in _REPEATS:
            # Without `a{2000}` the form `/ba{2000}*` is `/b*`.
            del literal[-2 if _COUNT_BEFORE_REPEAT.match(pattern, position) else -1 :]
            break
        elif _SPECIAL.match(character):
            if _BEFORE_REPEAT.match(pattern, position):
                del literal[-1:]  # a corrected form may repeat it: `/a(*` becomes `/a*`
            break
        else:
            literal.append(character)
            position += 1
    return "".join(literal), has_case


def _escaped(pattern: str, position: int) -> tuple[str, int]:
    r"""Return the literal text of the escape here and the position behind it; "" if it is not literal.

    Literal are a punctuation character after a backslash, but not another backslash, and text between `\Q` and `\E`.
    """
    if pattern.startswith("\\Q", position):
        end = pattern.find("\\E", position)
        return (pattern[position + 2 : end], end + 2) if end > position + 2 else ("", position)
    character = pattern[position + 1 : position + 2]
    # Of two backslashes one may be too many: `/\\(` may have been `/\(`, the literal `/(`.
    if not character.isascii() or character.isalnum() or character in ("", "_", "\\"):
        return "", position
    return character, position + 2


def _may_begin_otherwise(pattern: str) -> bool:
    r"""Whether a corrected form of the pattern may begin with something else.

    So it is where the whole pattern may have alternatives. A `|` within a closed group belongs to it. One within a class may
    be of the whole pattern, as a corrected form may lack the bracket. Where an opening parenthesis is left over, so may any `|`
    in it. So it is, too, with a `)` or `\E` whose beginning is missing: it may belong anywhere.
    """
    open_groups: list[bool] = []  # whether each has a `|` of its own
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if character == "\\":
            if pattern.startswith("\\E", position):
                return True
            quoted, behind = _escaped(pattern, position)
            position = behind if quoted else position + 2
            continue
        if character == "[":
            # A `]` at the start of a class is one of its characters.
            start = position + 1 + (pattern[position + 1 : position + 2] == "^")
            end = _end_of_class(pattern, start)
            if "|" in (pattern[position:] if end < 0 else pattern[position:end]):
                return True
            if end < 0:
                return any(open_groups)
            position = end
        elif character == "(":
            open_groups.append(False)
        elif character == ")":
            if not open_groups:
                return True
            open_groups.pop()
        elif character == "|":
            if not open_groups:
                return True
            open_groups[-1] = True
        position += 1
    return any(open_groups)


def _end_of_class(pattern: str, start: int) -> int:
    """Return the position of the `]` of a class whose first character is at `start`; -1 without one."""
    position = start + (1 if pattern[start : start + 1] == "]" else 0)
    while position < len(pattern):
        if pattern[position] == "\\":
            position += 1
        elif pattern[position] == "]":
            return position
        position += 1
    return -1


def _readable(matches: Iterable[ValueMatch], is_readable: Callable[[str], bool]) -> tuple[ValueMatch, ...]:
    return tuple(match for match in matches if match.type == "Exact" or is_readable(match.value))
