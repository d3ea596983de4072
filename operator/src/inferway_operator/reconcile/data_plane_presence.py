"""Logs once when no data-plane pod serves the published config, and once when one does again."""

import logging
from typing import Final

from inferway_contract.problem_log import ProblemLog

logger = logging.getLogger(__name__)

PATIENCE: Final = 5.0
"""Seconds without a pod that are not logged: the first pods start, or one is replaced by the next."""
_MISSING: Final = (
    "no ready data-plane pod: the published config is not served; scale the Deployment up, or check its pods"
)


class DataPlanePresence:
    """The number of data-plane pods that count, over time."""

    def __init__(self, namespace: str, selector: str) -> None:
        self._remedy = f"kubectl -n {namespace} get deployments; kubectl -n {namespace} get pods -l {selector}"
        self._missing_since: float | None = None
        self._problem = ProblemLog(logger)

    def note(self, pods: int, now: float) -> float:
        """Take the number of pods at `now` (monotonic). Returns the seconds until the next call at the latest."""
        if pods:
            self._missing_since = None
            if self._problem.clear():
                logger.info("the data plane is ready again: %d pods", pods)
            return float("inf")
        if self._missing_since is None:
            self._missing_since = now
        rest = self._missing_since + PATIENCE - now
        if rest > 0:
            return rest
        self._problem.report(logging.WARNING, _MISSING, mend=self._remedy)
        return float("inf")
