"""Names of header fields, and patterns of them, as the setting `proxy_fields` takes them."""

from collections.abc import Iterable
from string import ascii_lowercase, digits
from typing import Final

_NAME: Final = frozenset(ascii_lowercase + digits + "!#$%&'+-.^_`|~")
_PUNCTUATION: Final = b"!#$%&'*+.^_`|~"
_DASHES: Final = bytes.maketrans(_PUNCTUATION, b"-" * len(_PUNCTUATION))

# The gateway reads these, and cannot do without them.
_NEEDED: Final = (
    b"host", b"content-length", b"content-type", b"transfer-encoding", b"connection", b"expect", b"upgrade", b"te",
    b"trailer",
)  # fmt: skip
# The gateway writes these for every client.
_WRITTEN: Final = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port")


def dashed(name: bytes) -> bytes:
    """Return a lower-case name as CGI-like frameworks read it: `_`, `.` and other punctuation are dashes."""
    return name.translate(_DASHES)


class FieldPatterns:
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
        """Whether one of them matches a name in lower case, with dashes."""
        return (
            name in self._exact
            or name.startswith(self._prefixes)
            or name.endswith(self._suffixes)
            or any(part in name for part in self._parts)
        )


def check_proxy_field(pattern: str) -> None:
    """Raise `ValueError` for a pattern of `proxy_fields` that cannot work. One that begins with `!` is an exception."""
    bare = pattern.removeprefix("!").removeprefix("*").removesuffix("*").lower()
    if not bare or not _NAME.issuperset(bare):
        raise ValueError(f"{pattern!r} is not a field name, which may begin or end with `*`, and follow `!`")
    names = FieldPatterns([pattern.removeprefix("!")])
    covered = [name.decode() for name in (_WRITTEN if pattern[0] == "!" else _NEEDED) if names.covers(name)]
    if covered:
        raise ValueError(f"{pattern!r} covers {covered[0]}, which the gateway itself reads or writes")
