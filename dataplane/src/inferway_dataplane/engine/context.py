"""What a request reads: clock, identifiers, stores, pools, counters, caps, and the runtime that is live."""

import asyncio
import random
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from inferway_dataplane.core.messages.client_address import TrustedProxies
from inferway_dataplane.core.runtime import Runtime
from inferway_dataplane.core.upstreams.kept_bodies import KeptBodies
from inferway_dataplane.engine.clock import Clock
from inferway_dataplane.engine.http1.head_cache import HeadCache
from inferway_dataplane.engine.upstream.pool import Pools
from inferway_dataplane.observability.access_log import AccessLog
from inferway_dataplane.observability.stats import Stats
from inferway_dataplane.settings import Settings
from inferway_dataplane.stores.response_store import ResponseStore
from inferway_dataplane.system.secret_files import SecretFiles

if TYPE_CHECKING:
    from inferway_dataplane.observability.tracing import Tracing

Settler = Callable[[Any, float], None]
"""Called once with each finished exchange and its seconds."""


class Context:
    """One for the process; `gateway.py` builds it."""

    __slots__ = (
        "_id", "_id_prefix", "access_log", "call_soon", "clock", "head_cache", "in_flight", "is_closing",
        "kept_bodies", "max_in_flight", "now", "pools", "random", "report", "runtime", "secret", "secrets", "settings", "stats",
        "store", "tracing", "trusted",
    )  # fmt: skip

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        stats: Stats,
        head_cache: HeadCache,
        pools: Pools,
        store: ResponseStore,
        access_log: AccessLog,
        report: Settler,
    ) -> None:
        """`report`: called with each exchange that is logged or sampled."""
        self.settings = settings
        self.clock = clock
        self.now = clock.now
        self.stats = stats
        self.pools = pools
        self.access_log = access_log
        self.report = report
        self.store = store
        self.head_cache = head_cache
        self.kept_bodies = KeptBodies(settings.retry_body_bytes)
        self.secrets = SecretFiles(settings.secrets_directory)
        self.trusted = TrustedProxies(settings.trusted_proxies, settings.trusted_hops)
        self.tracing: Tracing | None = None
        self.runtime: Runtime | None = None  # the live one; `live.py` replaces it
        self.in_flight = 0
        self.max_in_flight = settings.max_in_flight  # 0 while memory is short
        self.is_closing = False  # no connection is kept alive: memory is short, or the process is stopping
        # A cache key's identity part is keyed with a secret of this process: keys reveal nothing of credentials.
        self.secret = secrets.token_bytes(32)
        self.random: Callable[[], float] = random.random
        self.call_soon: Callable[[Callable[[], None]], object] = lambda call: asyncio.get_running_loop().call_soon(call)
        self._id_prefix = secrets.token_hex(8).encode()
        self._id = secrets.randbits(62)

    def next_id(self) -> tuple[bytes, bytes]:
        """A trace id (32 hex digits, also the request id) and a span id (16). Unique, not secret."""
        self._id += 1
        number = b"%016x" % (self._id & 0xFFFFFFFFFFFFFFFF)
        return self._id_prefix + number, number
