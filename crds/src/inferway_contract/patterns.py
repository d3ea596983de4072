"""RE2 patterns, with the same options in both planes: pods accept every pattern that the compiler accepts.

Python's `re` is never used for a user's pattern: RE2 runs in linear time, so no pattern can hang a process. RE2 also holds
the interpreter's lock while it compiles, so each compilation must be short: about a millisecond, also of a refused pattern.
"""

import hashlib
import re
from threading import Lock
from typing import Any, Final, NamedTuple

import re2

MAX_MEMORY: Final = 64 << 10
"""Memory of one compiled pattern in bytes, program and caches; bounds the expansion of short patterns."""
MAX_UNICODE_CLASSES: Final = 8
r"""Classes such as `\pL` in one pattern. RE2 reads each as up to 680 ranges, whatever becomes of them: up to 0.2 ms."""
MAX_REPEATED: Final = 5_000
"""Sum of the counts of all `{n}` and `{n,m}` of one pattern. RE2 copies what is repeated before it measures it."""

OBJECT_SIZE: Final = 50
"""Added to the size of each pattern: a compiled object takes about 2 KiB even with the shortest program."""
UNICODE_CLASS_SIZE: Final = 100
"""Added for each Unicode class, which is read before the program becomes shorter by it. A byte of the text adds 1."""
REFUSED_SIZE: Final = 1_000
"""Size of a refused pattern: the time of the attempt, which is what it costs."""

_MEMO_BOUND: Final = 1 << 16
"""Patterns whose size or error is remembered, about 200 bytes each."""

_UNICODE_CLASS: Final = re.compile(r"\\[pP]")
_COUNT: Final = re.compile(r"\{(\d{1,9})(?:,(\d{0,9}))?\}")

_options = re2.Options()
_options.log_errors = False  # it would write to stderr; a condition reports the error
_options.max_mem = MAX_MEMORY


class Checked(NamedTuple):
    """The result of compiling a pattern."""

    size: int
    """Its cost in instructions of RE2's program: about 1 µs to compile and 16 bytes of memory each."""
    error: str | None
    """Why it is refused; None = it is valid."""


_memo: dict[bytes, Checked] = {}  # by digest: patterns may have 4 KiB each
_memo_lock: Final = Lock()


def compiled(pattern: str) -> Any:
    """Compile a pattern over bytes, as a path need not be text. Raises `re2.error` for an invalid or too large one."""
    key = _key(pattern)
    known = _memo.get(key)
    if known is not None and known.error is not None:
        raise re2.error(known.error)
    result, checked = _compile(pattern)
    _remember(key, checked)
    if checked.error is not None:
        raise re2.error(checked.error)
    return result


def check(pattern: str) -> Checked:
    """Return size and error of a pattern. It is compiled once, however often and by whatever part it is checked."""
    key = _key(pattern)
    known = _memo.get(key)
    if known is None:
        known = _compile(pattern)[1]
        _remember(key, known)
    return known


def size(pattern: str) -> int:
    """Return the cost of a pattern, in instructions of RE2's program; `REFUSED_SIZE` if it is refused."""
    return check(pattern).size


def error_of(pattern: str) -> str | None:
    """Return why a pattern is refused, in RE2's words; None = it is valid."""
    return check(pattern).error


def is_readable(pattern: str) -> bool:
    """Whether the pattern can be compiled."""
    return check(pattern).error is None


def _key(pattern: str) -> bytes:
    return hashlib.blake2b(pattern.encode(errors="surrogatepass"), digest_size=16).digest()


def _remember(key: bytes, checked: Checked) -> None:
    with _memo_lock:
        if len(_memo) >= _MEMO_BOUND:
            del _memo[next(iter(_memo))]
        _memo[key] = checked


def _compile(pattern: str) -> tuple[Any, Checked]:
    error = _error_before_compilation(pattern)
    if error is None:
        try:
            result = re2.compile(pattern.encode(), _options)
        except re2.error as refused:
            reason = refused.args[0] if refused.args else b""
            error = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        except UnicodeEncodeError:
            error = "not valid UTF-8"
        else:
            return result, Checked(result.programsize + _size_of_text(pattern), None)
    return None, Checked(REFUSED_SIZE, error)


def _size_of_text(pattern: str) -> int:
    return OBJECT_SIZE + len(pattern.encode()) + UNICODE_CLASS_SIZE * len(_UNICODE_CLASS.findall(pattern))


def _error_before_compilation(pattern: str) -> str | None:
    """Return why RE2 would take long for the pattern, accepted or not; None = it would not."""
    classes = len(_UNICODE_CLASS.findall(pattern))
    if classes > MAX_UNICODE_CLASSES:
        return f"pattern too large: it has {classes} Unicode classes, of which there may be {MAX_UNICODE_CLASSES}"
    repeated = sum(int(most or least) for least, most in _COUNT.findall(pattern))
    if repeated > MAX_REPEATED:
        return f"pattern too large: the sum of its repetitions is {repeated}, and may be {MAX_REPEATED}"
    return None
