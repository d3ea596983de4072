"""A line in the log when a problem appears or changes, and none while it stays."""

import logging


class ProblemLog:
    """The last problem of one thing that is tried again and again."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._problem = ""

    def report(self, level: int, message: str, problem: str, **data: object) -> None:
        """Log `message` with the problem as its `error`, unless that was the last one."""
        if problem != self._problem:
            self._problem = problem
            self._log.log(level, message, extra={"error": problem, **data})

    def clear(self) -> None:
        """The thing has worked: log its next problem, even if it is the same again."""
        self._problem = ""
