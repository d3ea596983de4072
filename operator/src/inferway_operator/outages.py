"""Outages in the log: kopf tells of every attempt of every watch, which is hundreds of lines a minute."""

import logging
import re
import time
from collections.abc import Callable
from typing import Final

QUIET: Final = 60.0
"""Seconds without another line of the same kind."""

_ATTEMPT: Final = re.compile(r"Request attempt \S+ failed; will retry: \S+ (?P<url>\S+)")
"""kopf's words (1.45)."""


class Outages(logging.Filter):
    """Lets one line in a minute pass for each kind that cannot be watched, and says how many it did not.

    A line is of an outage by kopf's words, or by its attribute `outage`: the kind.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._told: dict[str, float] = {}
        self._untold: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is to be written."""
        kind = str(getattr(record, "outage", "")) or _kind(record.getMessage())
        if not kind:
            return True
        now = self._clock()
        if now - self._told.get(kind, float("-inf")) < QUIET:
            self._untold[kind] = self._untold.get(kind, 0) + 1
            return False
        self._told[kind] = now
        if untold := self._untold.pop(kind, 0):
            record.msg, record.args = f"{record.getMessage()} (and {untold} times before, untold)", ()
        return True


def _kind(message: str) -> str:
    """Its plural, which ends the path of a list or watch; "" when the line tells of no attempt."""
    attempt = _ATTEMPT.match(message)
    return attempt["url"].partition("?")[0].rpartition("/")[2] if attempt else ""
