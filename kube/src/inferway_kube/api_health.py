"""Whether the API server answers, as its users experience it together: logged when that changes, not with every attempt."""

import logging
import time
from collections.abc import Callable
from typing import Final

from inferway_kube.errors import ApiError

PATIENCE: Final = 5.0
"""Seconds in which the API server may recover unnoticed: a connection that was cut, a restart, a definition that is new."""


class ApiHealth:
    """The troubles of everything that calls the API server, by caller. Of an outage each kind is logged once, and its end."""

    def __init__(
        self, log: logging.Logger, clock: Callable[[], float] = time.monotonic, patience: float = PATIENCE
    ) -> None:
        """`clock`: monotonic seconds. `patience`: see `PATIENCE`; 0 = log at once."""
        self._log = log
        self._clock = clock
        self._patience = patience
        self._troubles: dict[str, ApiError] = {}
        self._since = 0.0
        """When the present outage began."""
        self._reported: set[str] = set()
        """The kinds of trouble that were logged of the present outage."""

    @property
    def trouble(self) -> str:
        """What is wrong with it; "" = it answers."""
        error = next(iter(self._troubles.values()), None)
        return "" if error is None else f"{error.summary}: {error}" + (f": {error.remedy}" if error.is_refusal else "")

    def failed(self, caller: str, error: ApiError) -> None:
        """An attempt of `caller` failed."""
        now = self._clock()
        if not self._troubles:
            self._since = now
            self._reported.clear()
        self._troubles[caller] = error
        summary = error.summary
        may_pass = not error.is_refusal and now - self._since < self._patience
        if summary in self._reported or may_pass:
            return
        self._reported.add(summary)
        self._log.warning(
            "%s; the live documents stay", summary, extra={"what": caller, "error": str(error), "mend": error.remedy}
        )

    def answered(self, caller: str) -> None:
        """An attempt of `caller` worked."""
        if self._troubles.pop(caller, None) is not None and not self._troubles and self._reported:
            self._reported.clear()
            self._log.info("the API server answers again")
