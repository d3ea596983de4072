"""Namespaces whose changes wait because they have written too many bytes: they keep the objects that were compiled last."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping

from inferway_contract.problem_log import ProblemLog
from inferway_contract.sharding import ConfigIndex, Layout
from inferway_operator.publish import write_budget
from inferway_operator.publish.plan import Write
from inferway_operator.publish.write_budget import WriteBudget
from inferway_operator.world.world import World

logger = logging.getLogger(__name__)


class HeldNamespaces:
    """Decides with a budget, and wakes the reconciler when a namespace need not wait longer."""

    def __init__(self, budget: WriteBudget, wake: Callable[[], None]) -> None:
        self._budget = budget
        self._wake = wake
        self._compiled: World | None = None
        self._problem = ProblemLog(logger)
        self._release: asyncio.TimerHandle | None = None

    def begin_term(self) -> None:
        """Forget the last compilation: another operator may have published since."""
        self._compiled = None

    def world(self, newest: World) -> World:
        """Return what to compile: the newest objects, of held namespaces the ones that were compiled last."""
        held = self._budget.held(time.monotonic()) if self._compiled is not None else {}
        if self._release is not None:
            self._release.cancel()
        if self._compiled is None or not held:
            self._problem.clear()
            return newest
        self._problem.report(logging.WARNING, f"changes wait, too many bytes were written: {', '.join(sorted(held))}")
        self._release = asyncio.get_running_loop().call_later(min(held.values()), self._wake)
        return write_budget.with_older(newest, self._compiled, held.keys())

    def note_compiled(self, world: World) -> None:
        """Keep what was compiled."""
        self._compiled = world

    def spend(self, writes: Iterable[Write], layout: Layout[ConfigIndex], before: Mapping[str, str]) -> None:
        """Count the writes of a publication. `before`: fragments of the config that was published last."""
        costs, size = write_budget.costs(writes, layout, before)
        self._budget.spend(costs, size, time.monotonic())
