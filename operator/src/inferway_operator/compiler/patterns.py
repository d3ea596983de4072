"""RE2 patterns, with the same options as the data plane's: what is accepted here never refuses a document there."""

from functools import lru_cache
from typing import Final

import re2

MAX_MEMORY: Final = 1 << 20
"""Bytes that one compiled pattern may take, program and caches; bounds what a short pattern can unfold to."""

_options = re2.Options()
_options.log_errors = False  # it would write to stderr; the author is told by a condition
_options.max_mem = MAX_MEMORY


# The whole world is compiled at every change, and most patterns are those of the last time.
@lru_cache(maxsize=8192)
def mistake(pattern: str) -> str | None:
    """What is wrong with the pattern, in RE2's words, or None."""
    try:
        # Bytes, as in the data plane: a path need not be text.
        re2.compile(pattern.encode(), _options)
    except re2.error as error:
        reason = error.args[0] if error.args else b""
        return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    return None
