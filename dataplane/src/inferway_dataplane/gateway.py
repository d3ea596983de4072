"""What all connections of the process share: the live runtime, stores, counters, identifiers, the wheel."""

import asyncio
import logging
import os
import secrets
from collections.abc import Callable
from email.utils import formatdate
from time import monotonic, time
from typing import TYPE_CHECKING, Final

import re2

from inferway_contract import canonical
from inferway_contract.document import ConfigDocument, EndpointsDocument
from inferway_dataplane.core import runtime
from inferway_dataplane.core.messages.client_address import TrustedProxies
from inferway_dataplane.core.runtime import Runtime
from inferway_dataplane.engine.downstream import timeouts
from inferway_dataplane.engine.downstream.eviction import RESERVE, ConnectionCap
from inferway_dataplane.engine.http1 import head_cache
from inferway_dataplane.engine.stages import order as stage_order
from inferway_dataplane.engine.upstream.pool import Pools
from inferway_dataplane.health.checker import HealthChecks
from inferway_dataplane.observability.access_log import AccessLog
from inferway_dataplane.observability.stats import Stats
from inferway_dataplane.settings import Settings
from inferway_dataplane.sources import Refused
from inferway_dataplane.stores.memory_responses import MemoryResponses
from inferway_dataplane.system import resource_monitor
from inferway_dataplane.system.secret_files import SecretFiles

if TYPE_CHECKING:
    from inferway_dataplane.engine.downstream.connection import ClientConnection
    from inferway_dataplane.observability.tracing import Tracing

TICK: Final = 0.25
"""Seconds between two turns of the wheel: the grain of every time limit. One timer for the process, none for requests."""

_IDLE_KEYS_A_TICK: Final = 2_000

log = logging.getLogger("inferway")


def _no_loop(call: Callable[[], None]) -> None:
    raise RuntimeError("the gateway was not started")


class Gateway:
    """The data plane without its sockets."""

    def __init__(self, settings: Settings, access_log: AccessLog, descriptors: int = 1024) -> None:
        """`descriptors`: how many the process may have open."""
        self.settings = settings
        self.access_log = access_log
        self.stats = Stats()
        self.store = MemoryResponses(settings.cache_bytes)
        self.admission = ConnectionCap(self, descriptors)
        self.pools = Pools(
            settings.upstream_idle_timeout,
            settings.upstream_idle_connections,
            self.admission.max_upstreams,
            self.admission.free_upstream,
            settings.upstream_ca,
        )
        self.pools.api_server = settings.api_server or os.environ.get("KUBERNETES_SERVICE_HOST", "")
        self.in_flight = 0
        self.max_in_flight = settings.max_in_flight  # 0 while memory is short
        self.is_closing = False  # no connection is kept alive: memory is short, or the process will stop
        self._memory = resource_monitor.Memory(settings.memory_limit)
        self._descriptors = descriptors
        self.health = HealthChecks(self.pools.tls_context)
        self.secrets = SecretFiles(settings.secrets_directory)
        self.trusted = TrustedProxies(settings.trusted_proxies, settings.trusted_hops)
        self.live: Runtime | None = None
        self.revision = ""
        self.last_error = ""
        self.is_draining = False
        self.connections: set[ClientConnection] = set()
        # A cache key's identity part is keyed with a secret of this process: keys say nothing about credentials.
        self.secret = secrets.token_bytes(32)
        self.tracing: Tracing | None = None
        self.date = b""
        self.coarse_now = 0.0  # monotonic, as of the last turn of the wheel: enough for time limits of seconds
        self._id_prefix = secrets.token_hex(8).encode()
        self._id = secrets.randbits(62)
        self.call_soon: Callable[[Callable[[], None]], object] = _no_loop
        self._wheel: asyncio.Task[None] | None = None
        self._tell_time()

    # --- documents -----------------------------------------------------------------------------------------------------

    def accept(self, config: ConfigDocument, endpoints: EndpointsDocument, revision: str = "", error: str = "") -> None:
        """Build a runtime and swap it in. `Refused` (and nothing changes) when the documents cannot be built.

        `revision`: what the config is known by where it came from; "" = the hash of its canonical bytes. `error`: of
        something newer that stays refused while this is served; "" = nothing is.
        """
        started = monotonic()
        try:
            built = runtime.build(
                config,
                endpoints,
                endpoint_of=self.pools.endpoint,
                stats_of=self.stats.of,
                older=self.live,
                now=started,
            )
        except (LookupError, re2.error, ValueError) as mistake:
            self.reject(str(mistake))
            raise Refused(str(mistake)) from mistake
        for rule in built.rules:
            rule.stages = stage_order.needed(rule)
        self.pools.address_policy = config.address_policy
        self.secrets.want(built.secrets)
        self.live = built
        head_cache.forget_routes()
        self.revision = revision or canonical.revision(config)
        self.last_error = error
        self.pools.keep_only(built.upstreams)
        self.stats.keep_only(rule.stats for rule in built.rules)
        if self._wheel is not None:
            self.health.follow(built)
        self.stats.config_apply_seconds = monotonic() - started
        log.info("serving a new document", extra={"revision": self.revision, "routes": len(config.routes)})

    def reject(self, error: str) -> None:
        """A new state was refused before it became a runtime; the last good one goes on."""
        self.stats.config_rejected += 1
        self.last_error = error
        log.error("refused a new document, the last good one goes on", extra={"error": error})

    # --- identifiers ---------------------------------------------------------------------------------------------------

    def next_id(self) -> tuple[bytes, bytes]:
        """A request id (32 hex digits, also a valid trace id) and a span id (16). Unique, not secret."""
        self._id += 1
        number = b"%016x" % (self._id & 0xFFFFFFFFFFFFFFFF)
        return self._id_prefix + number, number

    def trace_id(self, span_id: bytes) -> bytes:
        """The trace id of a trace that starts here with this span."""
        return self._id_prefix + span_id

    # --- the wheel -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the wheel; the loop must run."""
        loop = asyncio.get_running_loop()
        self.call_soon = loop.call_soon
        self._wheel = loop.create_task(self._turn(), name="wheel")
        if self.live is not None:
            self.health.follow(self.live)

    async def stop(self) -> None:
        """Stop the wheel and close what is still open."""
        if self._wheel is not None:
            self._wheel.cancel()
            await asyncio.gather(self._wheel, return_exceptions=True)
        await self.health.stop()
        for connection in list(self.connections):
            connection.abort()
        self.pools.close()

    async def _turn(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self._tell_time()
            for look in (
                self._look_at_clients,
                self.pools.sweep,
                self._look_at_buckets,
                self._look_at_limits,
                self.access_log.tick,
            ):
                try:
                    look(self.coarse_now)
                except Exception:
                    # A mistake in one of them must not end every time limit of the process.
                    log.exception("the wheel met an error")

    def _look_at_clients(self, now: float) -> None:
        late = [one for one in self.connections if one.deadline <= now or one.unread_deadline <= now]
        for connection in late:
            timeouts.look(connection, now)
        for connection in [one for one in self.connections if one.holds]:
            timeouts.look_for_leaving(connection, now)

    def _look_at_buckets(self, now: float) -> None:
        if self.live is not None:
            for bucket in self.live.buckets.values():
                bucket.forget_idle(now, _IDLE_KEYS_A_TICK)
        self.stats.settle()

    def _look_at_limits(self, now: float) -> None:
        used = self._memory.share()
        was_short = not self.max_in_flight
        self.max_in_flight = 0 if used >= resource_monitor.FULL else self.settings.max_in_flight
        self.is_closing = self.is_draining or used >= resource_monitor.TIGHT
        if was_short != (not self.max_in_flight):
            log.warning("memory is short, new work is refused" if not was_short else "memory is there again")
        # A listing of many descriptors is not free: it is looked at only where there may be many. That the lowest free one is
        # high says it too, whoever has the others (the admin port is not capped).
        near = self._descriptors - RESERVE
        may_be_many = 2 * (len(self.connections) + len(self.pools.connections)) > near
        if resource_monitor.next_descriptor() > near or (may_be_many and resource_monitor.open_descriptors() > near):
            self.stats.accept_pressure += 1

    def _tell_time(self) -> None:
        self.coarse_now = monotonic()
        self.date = formatdate(time(), usegmt=True).encode()
