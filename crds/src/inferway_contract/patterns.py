"""RE2 patterns, with the same options in both planes: what the compiler accepts never refuses a document in a pod.

Never Python's `re` on a user's pattern: RE2 runs in linear time, so none can hang us.
"""

from typing import Any, Final

import re2

MAX_MEMORY: Final = 1 << 20
"""Bytes that one compiled pattern may take, program and caches; bounds what a short pattern can unfold to."""

_options = re2.Options()
_options.log_errors = False  # it would write to stderr; the author is told by a condition
_options.max_mem = MAX_MEMORY


def compiled(pattern: str) -> Any:
    """The pattern, over bytes, because a path need not be text. `re2.error` when it is none, or too large."""
    return re2.compile(pattern.encode(), _options)
