"""What a plain scalar means. The answer is kubectl's, because the same file goes to a cluster, too.

kubectl reads YAML with go-yaml v2 and passes it on as JSON, so:

- `yes`, `on`, `y` and their opposites are booleans; a field that wants a string asks for quotes,
- `017` and `0o17` are 15, `0x1f` is 31, `1_000` is 1000, and `80.0` or `8e1` is 80, as JSON has one kind of number,
- `1:30` is a string (YAML 1.1 makes it 90), and so is everything that looks like a time: JSON has none,
- `.nan`, `.inf` and numbers beyond 64 bits have no form that the API server takes: refused.
"""

import math
import re
from typing import Final

Plain = None | bool | int | float | str

_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
}
_NUMERIC_START: Final = frozenset("0123456789+-.")
_INTEGER = re.compile(r"([-+]?)(?:0b([01]+)|0o?([0-7]+)|0x([0-9a-f]+)|(0|[1-9][0-9]*))", re.IGNORECASE | re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_BASES: Final = (2, 8, 16, 10)
_NO_JSON: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
# The longest number of 64 bits, in base 2 with sign and prefix; Python would also refuse to convert huge ones.
_LONGEST: Final = 67


def resolve(text: str) -> Plain:
    """The value of a scalar without quotes; `ValueError` says why it has none."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC_START:
        return text
    if _NO_JSON.fullmatch(text):
        raise ValueError(f"{text} is a number that JSON cannot express")
    bare = text.replace("_", "")
    if found := _INTEGER.fullmatch(bare):
        return _integer(found)
    if _FLOAT.fullmatch(bare):
        return _number(bare)
    return text


def _integer(found: re.Match[str]) -> int:
    sign, *digits = found.groups()
    value = 0
    if len(found[0]) <= _LONGEST:
        value = next(int(sign + text, base) for text, base in zip(digits, _BASES, strict=True) if text is not None)
    if len(found[0]) > _LONGEST or not -(1 << 63) <= value < 1 << 63:
        raise ValueError("the number has more than 64 bits; put it in quotes if it is no number")
    return value


def _number(text: str) -> int | float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("the number is too large for JSON; put it in quotes if it is no number")
    # 80.0 leaves kubectl as 80. Beyond 2**53 the digits would be invented.
    return int(value) if value.is_integer() and abs(value) <= 1 << 53 else value
