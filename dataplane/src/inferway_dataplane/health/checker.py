"""Active health checks, off the hot path: one probe at a time for each endpoint.

Checked are the endpoints of each rule with a `healthCheck`. This module decides when to probe, and what follows. `http_probe.py` sends probes; it is loaded only where there are
endpoints to check (httpx takes ten megabytes).
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from random import random
from time import monotonic
from typing import TYPE_CHECKING, Final

from inferway_contract.document import HealthCheck
from inferway_dataplane.core.rule import Rule
from inferway_dataplane.core.runtime import Runtime
from inferway_dataplane.core.steps import Steps
from inferway_dataplane.core.upstreams import health_state
from inferway_dataplane.core.upstreams.health_state import CheckRules
from inferway_dataplane.core.upstreams.members import Member

if TYPE_CHECKING:
    from inferway_dataplane.health.http_probe import Probe

_STOP: Final = 2.0  # seconds that `stop` waits for responses

log = logging.getLogger("inferway")

AT_ONCE: Final = 16
"""Probes at the same time, so that a thousand endpoints cost neither descriptors nor a burst."""


class HealthChecks:
    """One task for each endpoint that is checked."""

    def __init__(self, context: Callable[[], ssl.SSLContext]) -> None:
        """`context`: returns the one of upstream TLS; called when it is first needed."""
        self._context = context
        self._probe: Probe | None = None
        self._places = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[tuple[Member, HealthCheck], asyncio.Task[None]] = {}
        self._probing: set[asyncio.Task[None]] = set()
        """With a probe under way. A connection that is cancelled in its handshake would stay open, so these tasks end by
        themselves, within the check's time limit."""

    def following(self, runtime: Runtime) -> Steps[None]:
        """Check the endpoints of a new runtime, and no others. Checks that stay the same are not disturbed."""
        loop = asyncio.get_running_loop()
        checks: dict[tuple[Member, HealthCheck], tuple[Rule, CheckRules]] = {}
        for rule in runtime.rules:
            if rule.health_check is not None:
                for member in rule.backend_set.members:
                    checks[member, rule.health_check.definition] = (rule, rule.health_check)
                yield
        checked = {member for member, _ in checks}
        for key in self._tasks.keys() - checks.keys():
            self._end(self._tasks.pop(key))
            if key[0] not in checked:
                health_state.reset(key[0])
            yield
        for key in checks.keys() - self._tasks.keys():
            rule, rules = checks[key]
            task = loop.create_task(self._check(self._probe_to_use(), rule, key[0], rules))
            task.add_done_callback(_log_failure)
            self._tasks[key] = task
            yield

    async def stop(self) -> None:
        """End all checks, and close their connections."""
        tasks = [*self._tasks.values(), *self._probing]
        self._tasks.clear()
        for task in tasks:
            self._end(task)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_STOP)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._probe is not None:
            await self._probe.close()

    def _probe_to_use(self) -> "Probe":
        if self._probe is None:
            from inferway_dataplane.health.http_probe import Probe

            self._probe = Probe(self._context(), AT_ONCE)
        return self._probe

    def _end(self, task: asyncio.Task[None]) -> None:
        if task not in self._probing:
            task.cancel()

    async def _ask(self, probe: "Probe", member: Member, rules: CheckRules) -> int | None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker: this runs in one
        async with self._places:
            self._probing.add(task)
            try:
                return await probe.ask(member, rules)
            finally:
                self._probing.discard(task)

    async def _check(self, probe: "Probe", rule: Rule, member: Member, rules: CheckRules) -> None:
        # Spread the probes, both of one pod to its endpoints and of all pods to one endpoint.
        await asyncio.sleep(rules.interval * random())  # noqa: S311 - jitter, not secrecy
        key = (member, rules.definition)
        while True:
            began = monotonic()
            status = await self._ask(probe, member, rules)
            if self._tasks.get(key) is not asyncio.current_task():
                return  # the endpoint is not checked any more
            if health_state.on_check(member, status in rules.statuses, rules, monotonic()):
                data = {"endpoint": member.name, "route": rule.route, "rule": rule.name, "status": status}
                if member.is_unhealthy:
                    log.warning("an endpoint is not healthy", extra=data)
                else:
                    log.info("an endpoint is healthy again", extra=data)
            await asyncio.sleep(max(rules.interval - (monotonic() - began), 0.01))


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        # A bug: the endpoint keeps the health that it had.
        log.error("unexpected error in a health check, it has ended", exc_info=task.exception())
