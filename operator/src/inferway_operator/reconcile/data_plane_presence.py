"""Attendance: whether anybody serves what is published. Told once when nobody does, and once when somebody does again."""

import logging
from typing import Final

logger = logging.getLogger(__name__)

PATIENCE: Final = 5.0
"""Seconds without a pod that are no news: the first ones start, or one is replaced by the next."""


class DataPlanePresence:
    """Of the data plane's pods."""

    def __init__(self, namespace: str, selector: str) -> None:
        self._where = f"kubectl -n {namespace} get deployments; kubectl -n {namespace} get pods -l {selector}"
        self._missing_since: float | None = None
        self._is_told = False

    def note(self, pods: int, now: float) -> float:
        """So many count at `now` (monotonic). Returns after how many seconds it is to be called again at the latest."""
        if pods:
            if self._is_told:
                logger.info("there is a data plane again: %d pods", pods)
            self._missing_since, self._is_told = None, False
            return float("inf")
        if self._missing_since is None:
            self._missing_since = now
        rest = self._missing_since + PATIENCE - now
        if rest > 0:
            return rest
        if not self._is_told:
            logger.warning(
                "there is no data plane: no pod of it is ready, so nobody serves what is published; scale its Deployment up, or"
                " see why its pods are not ready (%s)",
                self._where,
            )
        self._is_told = True
        return float("inf")
