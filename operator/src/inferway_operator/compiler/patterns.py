"""What is wrong with a pattern."""

from functools import lru_cache

import re2

from inferway_contract import patterns


# The whole world is compiled at every change, and most patterns are those of the last time.
@lru_cache(maxsize=8192)
def mistake(pattern: str) -> str | None:
    """What is wrong with the pattern, in RE2's words, or None."""
    try:
        patterns.compiled(pattern)
    except re2.error as error:
        reason = error.args[0] if error.args else b""
        return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    return None
