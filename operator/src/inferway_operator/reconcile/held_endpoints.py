"""Namespaces whose endpoints wait because they have written too many bytes: their Services keep the published ones."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Set
from typing import Final

from inferway_contract.problem_log import ProblemLog
from inferway_operator.publish import write_budget
from inferway_operator.publish.plan import Write
from inferway_operator.publish.write_budget import WriteBudget

LONGEST_DEBT: Final = 15.0
"""Seconds, and thirty more while the budget of all is used up: pods that are gone are endpoints no longer."""

logger = logging.getLogger(__name__)


class HeldEndpoints:
    """Decides with a budget of its own: changes of routes neither pay for endpoints nor wait for them."""

    def __init__(self, budget: WriteBudget, wake: Callable[[], None]) -> None:
        self._budget = budget
        self._wake = wake
        self._problem = ProblemLog(logger)
        self._release: asyncio.TimerHandle | None = None

    def held(self) -> Set[str]:
        """Return the held namespaces. Wakes the reconciler when the first of them need not wait longer."""
        held = self._budget.held(time.monotonic())
        if self._release is not None:
            self._release.cancel()
            self._release = None
        if not held:
            self._problem.clear()
            return frozenset()
        self._problem.report(logging.WARNING, f"endpoints wait, too many bytes were written: {', '.join(sorted(held))}")
        self._release = asyncio.get_running_loop().call_later(min(held.values()), self._wake)
        return held.keys()

    def spend(self, writes: Iterable[Write]) -> None:
        """Count the writes of a publication."""
        costs, written = write_budget.endpoints_costs(writes)
        self._budget.spend(costs, written, time.monotonic())
