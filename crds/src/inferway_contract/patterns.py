"""RE2 patterns, with the same options in both planes: pods accept every pattern that the compiler accepts.

Python's `re` is never used for a user's pattern: RE2 runs in linear time, so no pattern can hang a process.
"""

from typing import Any, Final

import re2

MAX_MEMORY: Final = 1 << 20
"""Memory of one compiled pattern in bytes, program and caches; bounds the expansion of short patterns."""

_options = re2.Options()
_options.log_errors = False  # it would write to stderr; a condition reports the error
_options.max_mem = MAX_MEMORY


def compiled(pattern: str) -> Any:
    """Compile a pattern over bytes, as a path need not be text. Raises `re2.error` for an invalid or too large one."""
    return re2.compile(pattern.encode(), _options)
