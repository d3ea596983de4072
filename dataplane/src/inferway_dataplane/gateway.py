"""The data plane without its sockets: builds the parts and runs what is due with each turn of the wheel."""

import logging
import os
from collections.abc import Callable

from inferway_dataplane.core.steps import completed
from inferway_dataplane.engine.clock import TICK, Clock, Wheel
from inferway_dataplane.engine.context import Context
from inferway_dataplane.engine.downstream import timeouts
from inferway_dataplane.engine.downstream.connection import ClientConnection
from inferway_dataplane.engine.downstream.eviction import RESERVE, ConnectionCap
from inferway_dataplane.engine.exchange.report import report
from inferway_dataplane.engine.http1.head_cache import HeadCache
from inferway_dataplane.engine.upstream.pool import Pools
from inferway_dataplane.health.checker import HealthChecks
from inferway_dataplane.live import Live
from inferway_dataplane.observability.access_log import AccessLog
from inferway_dataplane.observability.stats import Stats
from inferway_dataplane.settings import Settings
from inferway_dataplane.stores.memory_responses import MemoryResponses
from inferway_dataplane.system import resource_monitor

log = logging.getLogger("inferway")


class Gateway:
    """The parts of one data plane."""

    def __init__(
        self,
        settings: Settings,
        access_log: AccessLog,
        descriptors: int = 1024,
        *,
        clock: Clock | None = None,
        tick: float = TICK,
        head_cache: HeadCache | None = None,
    ) -> None:
        """`descriptors`: the number that the process may have open; `tick`: seconds between two turns of the wheel."""
        self.settings = settings
        self.access_log = access_log
        self.clock = clock or Clock()
        self.stats = Stats()
        self.cap = ConnectionCap(settings, self.clock, self.stats, descriptors)
        head_cache = head_cache or HeadCache(settings.proxy_fields)
        self.pools = Pools(self.clock, head_cache, settings, self.cap.max_upstreams, self.cap.free_upstream)
        self.pools.api_server = settings.api_server or os.environ.get("KUBERNETES_SERVICE_HOST", "")
        self.store = MemoryResponses(settings.cache_bytes)
        self.context = Context(settings, self.clock, self.stats, head_cache, self.pools, self.store, access_log, report)
        self.live = Live(self.context)
        self.health = HealthChecks(self.pools.tls_context)
        self.is_draining = False
        self._memory = resource_monitor.Memory(settings.memory_limit)
        self._descriptors = descriptors
        checks: tuple[Callable[[float], None], ...] = (
            lambda now: timeouts.check_all(self.cap.connections, now),
            self.pools.sweep,
            self.live.forget_idle_keys,
            self.stats.settle,
            self.check_resources,
            access_log.tick,
        )
        self.wheel = Wheel(self.clock, checks, tick)

    def client_connection(self) -> ClientConnection:
        """The protocol of a new client connection."""
        return ClientConnection(self.context, self.cap)

    def start(self) -> None:
        """Start the wheel and the health checks; the loop must run."""
        self.wheel.start()
        self.live.on_swap = self.health.following
        if self.context.runtime is not None:
            completed(self.health.following(self.context.runtime))

    async def stop(self) -> None:
        """Stop both, and close what is still open."""
        await self.wheel.stop()
        await self.health.stop()
        for connection in list(self.cap.connections):
            connection.transport.abort()
        self.pools.close()

    def drain(self) -> None:
        """Let every response close its connection: the process is stopping."""
        self.is_draining = self.context.is_closing = True

    def check_resources(self, now: float) -> None:
        """Refuse work while memory is short; count looks that find few descriptors. Called by the wheel."""
        context = self.context
        used = self._memory.share()
        was_short = not context.max_in_flight
        context.max_in_flight = 0 if used >= resource_monitor.FULL else self.settings.max_in_flight
        context.is_closing = self.is_draining or used >= resource_monitor.TIGHT
        if was_short != (not context.max_in_flight):
            log.warning("memory is short, refusing new work" if not was_short else "memory is available again")
        # Listing many descriptors is expensive, so it happens only where there may be many. A high number of the lowest
        # free one shows it too, whatever holds the others (the admin port has no cap).
        near = self._descriptors - RESERVE
        may_be_many = 2 * (len(self.cap.connections) + len(self.pools.connections)) > near
        if resource_monitor.next_descriptor() > near or (may_be_many and resource_monitor.open_descriptors() > near):
            self.stats.accept_pressure += 1
