"""Active health checks: one question at a time to each endpoint of each rule that has a `healthCheck`, off the hot path.

httpx asks, through its transport alone: no cookie jar, no redirects, no proxies of the environment (a client would
remember what one endpoint said and tell it to another). The address that is asked is checked as that of a request is.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from random import random
from time import monotonic
from typing import Final

import httpx

from inferway_contract.document import HealthCheck
from inferway_dataplane.core import checking
from inferway_dataplane.core.checking import CheckRules
from inferway_dataplane.core.members import Member
from inferway_dataplane.core.runtime import Rule, Runtime
from inferway_dataplane.engine.endpoints import ConnectFailed, Endpoint

log = logging.getLogger("inferway")

AT_ONCE: Final = 16
"""Checks under way, so that a thousand endpoints cost neither descriptors nor a burst."""


class HealthChecks:
    """One task for each endpoint that is checked."""

    def __init__(self, context: Callable[[], ssl.SSLContext]) -> None:
        """`context`: that of upstream TLS, made when it is first needed."""
        self._context = context
        self._transport: httpx.AsyncHTTPTransport | None = None
        self._places = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[tuple[Member, HealthCheck], asyncio.Task[None]] = {}

    def follow(self, runtime: Runtime) -> None:
        """A new runtime is live: check its endpoints, and no others. What is checked as before goes on undisturbed."""
        loop = asyncio.get_running_loop()
        wanted = {
            (member, rule.health_check.said): (rule, rule.health_check)
            for rule in runtime.rules
            if rule.health_check is not None
            for member in rule.group.members
        }
        for key in self._tasks.keys() - wanted.keys():
            self._tasks.pop(key).cancel()
        for key in wanted.keys() - self._tasks.keys():
            task = loop.create_task(self._check(wanted[key][0], key[0], wanted[key][1]))
            task.add_done_callback(_tell_failure)
            self._tasks[key] = task

    async def stop(self) -> None:
        """End all checks."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._transport is not None:
            await self._transport.aclose()

    async def _check(self, rule: Rule, member: Member, rules: CheckRules) -> None:
        # Not all at the same moment, neither the endpoints of one pod nor the pods of one endpoint.
        await asyncio.sleep(rules.interval * random())  # noqa: S311 - jitter, not secrecy
        while True:
            began = monotonic()
            async with self._places:
                status = await self._ask(member, rules)
            if checking.on_check(member, rules.is_good(status), rules, monotonic()):
                told = {"endpoint": member.name, "route": rule.route, "rule": rule.name, "status": status}
                if member.is_unhealthy:
                    log.warning("an endpoint is not healthy", extra=told)
                else:
                    log.info("an endpoint is healthy again", extra=told)
            await asyncio.sleep(max(rules.interval - (monotonic() - began), 0.01))

    async def _ask(self, member: Member, rules: CheckRules) -> int | None:
        """The status of the answer; None = there was none in time."""
        endpoint: Endpoint = member.endpoint
        if self._transport is None:
            limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=0)
            self._transport = httpx.AsyncHTTPTransport(verify=self._context(), trust_env=False, limits=limits)
        try:
            async with asyncio.timeout(rules.timeout):
                addresses = await endpoint.addresses()
                for left in range(len(addresses), 1, -1):
                    # As for a request: who cannot be connected to leaves time for the addresses after it.
                    request = self._request(member, endpoint, addresses[-left], rules, rules.timeout / left)
                    try:
                        return await self._status(self._transport, request)
                    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                        log.debug(
                            "an address cannot be connected to", extra={"host": endpoint.host, "error": str(error)}
                        )
                return await self._status(self._transport, self._request(member, endpoint, addresses[-1], rules))
        except (OSError, ConnectFailed, httpx.HTTPError) as error:
            log.debug("a health check failed", extra={"endpoint": member.name, "error": str(error) or repr(error)})
            return None

    async def _status(self, transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> int:
        response = await transport.handle_async_request(request)
        await response.aclose()
        return response.status_code

    def _request(
        self, member: Member, endpoint: Endpoint, address: str, rules: CheckRules, connect: float | None = None
    ) -> httpx.Request:
        """`connect`: seconds to connect in; None = as long as the whole check may take."""
        url = httpx.URL(
            scheme="https" if endpoint.tls is not None else "http",
            host=address,
            port=endpoint.port,
            raw_path=rules.path,
        )
        fields = {"host": member.name, "user-agent": "inferway-health-check", "accept": "*/*", "connection": "close"}
        extensions = {"sni_hostname": endpoint.host, "timeout": {"connect": connect}}
        return httpx.Request("GET", url, headers=fields, extensions=extensions)


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        # A mistake of ours: the endpoint keeps the health it had, and it is told.
        log.error("a health check ended in a way that is not foreseen", exc_info=task.exception())
