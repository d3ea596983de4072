"""Logs a problem when it appears or changes, not while it stays."""

import logging


class ProblemLog:
    """The last problem of something that is tried again and again."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._last: tuple[str, dict[str, object]] | None = None

    def report(self, level: int, message: str, **data: object) -> bool:
        """Log a message with its data, unless both are the last ones. Returns whether it was logged."""
        if self._last == (message, data):
            return False
        self._last = (message, data)
        self._log.log(level, message, extra=data)
        return True

    def clear(self) -> bool:
        """Forget the problem, because a try has worked. Returns whether there was one."""
        had_problem, self._last = self._last is not None, None
        return had_problem
