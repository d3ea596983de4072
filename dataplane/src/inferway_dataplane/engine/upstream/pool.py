"""Endpoints: one upstream address each, with its idle connections. The most recently used one is used first."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Literal

from inferway_contract import address_policy
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.engine.clock import NEVER, Clock
from inferway_dataplane.engine.http1.head_cache import HeadCache
from inferway_dataplane.engine.upstream import connection_race, tls_connection, tls_failures
from inferway_dataplane.engine.upstream.connection import ConnectionOwner, UpstreamConnection
from inferway_dataplane.engine.upstream.connection_limit import ConnectionLimiter, Permit
from inferway_dataplane.engine.upstream.private_connections import CLOSER, PrivateLimit
from inferway_dataplane.engine.upstream.resolved_name import ResolvedName
from inferway_dataplane.settings import Settings
from inferway_dataplane.system.resource_monitor import NO_DESCRIPTOR

log = logging.getLogger("inferway")

_ADDRESS_TIMEOUT: Final = 1.5
"""Seconds for each address of a name but the last; as much as a lost SYN needs to be sent again once."""


_TLS_LOG_INTERVAL: Final = 60.0
"""Seconds between two log lines about failed handshakes of one endpoint."""

_PRIVATE_SHARE: Final = 2
"""At most one in this number of all upstream connections may be private to a client connection."""

_LOOKUPS_AT_ONCE: Final = 2


class ConnectFailed(Exception):  # noqa: N818 - it names what happened
    """No connection could be made; `problem` is the response to the client."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


class EndpointPool(ConnectionOwner):
    """One endpoint with its idle connections: an address, a name, or the addresses of a pod."""

    __slots__ = (
        "_tls_logged_at", "_tls_suppressed", "host", "hosts", "idle", "is_forgotten", "name", "pools", "port",
    )  # fmt: skip

    def __init__(
        self, pools: "Pools", hosts: tuple[str, ...], port: int, tls: ssl.SSLContext | None, is_name: bool
    ) -> None:
        """`hosts`: a name, or addresses with the preferred one first."""
        super().__init__(pools.clock, pools.head_cache, tls)
        self.pools = pools
        self.host = host = hosts[0]
        self.hosts = hosts  # the one that was connected to last is the first
        self.port = port
        self.name = ResolvedName(host, port, pools.clock, self._on_addresses) if is_name else None
        self.idle: list[UpstreamConnection] = []
        self.is_forgotten = False  # by the newest runtime; requests of older ones may still use it
        self._tls_logged_at = -NEVER
        self._tls_suppressed = 0  # failures since then

    # --- idle connections ------------------------------------------------------------------------------------------------

    def take(self) -> UpstreamConnection | None:
        """An idle connection that is still open."""
        idle = self.idle
        while idle:
            connection = idle.pop()
            if not connection.transport.is_closing():
                return connection
        return None

    def on_free(self, connection: UpstreamConnection, is_reusable: bool) -> None:
        pools = self.pools
        is_full = len(self.idle) >= pools.idle_connections and connection.keeper is None
        if not is_reusable or connection.transport.is_closing() or is_full:
            connection.close()
            return
        seconds, stated = connection.limits.keep_idle, connection.keep_idle
        if stated is not None:
            seconds = stated if seconds is None else min(seconds, stated)
        elif seconds is None:
            seconds = pools.idle_timeout
        limiter = pools.limiter
        connection.expect_response()
        connection.is_reused = True
        if connection.keeper is not None:
            connection.keeper.keep(connection)
            return
        if limiter.waiting:
            connection.deadline = NEVER
            if limiter.hand_over(self, connection):
                return
            if limiter.waiting:
                connection.close()  # another endpoint's request needs the permit
                return
        connection.deadline = self.clock.coarse_now + seconds
        self.idle.append(connection)

    def on_made(self, connection: UpstreamConnection) -> None:
        self.pools.connections.add(connection)
        has_moved = self.name is not None and self.name.addresses and connection.address not in self.name.addresses
        if has_moved or self.is_forgotten:
            connection.keeper = CLOSER

    def on_lost(self, connection: UpstreamConnection) -> None:
        self.pools.connections.discard(connection)
        if connection.permit is not None:
            connection.permit.leave()
        if connection.binding is not None:
            connection.binding.leave()
            self.pools.private.idle.pop(connection, None)
        if connection in self.idle:
            self.idle.remove(connection)

    # --- new connections -------------------------------------------------------------------------------------------------

    async def connect(self, within: float) -> UpstreamConnection:
        """A new connection within this many seconds, or one that has just become idle. Raises `ConnectFailed`."""
        return await self.pools.dial(self, within)

    async def dial(self, within: float) -> UpstreamConnection:
        """Wait for a permit, then connect. Raises `ConnectFailed`."""
        deadline = self.clock.now() + within
        try:
            async with _timeout(within):
                granted = await self.pools.limiter.enter(self)
        except TimeoutError:
            raise ConnectFailed(problems.PENDING_OVERFLOW) from None
        if isinstance(granted, UpstreamConnection):
            return granted
        # The endpoint is not at fault if most of the time was spent in the queue for a permit.
        is_late = deadline - self.clock.now() < within / 2
        try:
            return await self._connect(granted, deadline)
        except ConnectFailed as failure:
            granted.leave()
            if is_late and failure.problem is problems.CONNECT_TIMEOUT:
                raise ConnectFailed(problems.PENDING_OVERFLOW) from None
            raise
        except BaseException:
            granted.leave()
            raise

    async def _connect(self, permit: Permit, deadline: float) -> UpstreamConnection:
        try:
            async with _timeout(deadline - self.clock.now()):
                addresses = await self.addresses()
                if len(self.hosts) > 1:
                    return await self._race(addresses, permit)
                *others, last = addresses
                for number, address in enumerate(others):
                    # An address that swallows packets must leave time for those after it.
                    share = (deadline - self.clock.now()) / (len(addresses) - number)
                    try:
                        async with asyncio.timeout(min(share, self.pools.address_timeout)):
                            return await self._connect_to(address, permit)
                    except OSError as error:  # a TimeoutError is one
                        if isinstance(error, ssl.SSLError):
                            self._log_tls_failure(error)
                        log.debug("cannot connect to an address", extra={"host": self.host, "error": str(error)})
                return await self._connect_to(last, permit)
        except TimeoutError:
            raise ConnectFailed(problems.CONNECT_TIMEOUT) from None
        except ssl.SSLError as error:
            self._log_tls_failure(error)
            raise ConnectFailed(problems.TLS_FAILED) from None
        except OSError as error:
            if error.errno in NO_DESCRIPTOR:
                # The gateway lacks descriptors; the endpoint is not at fault.
                raise ConnectFailed(problems.PENDING_OVERFLOW) from None
            # A reset is not a refusal: it ends a connection that was made, and with it the handshake.
            is_cut = self.tls is not None and isinstance(error, (ConnectionResetError, ConnectionAbortedError))
            if is_cut:
                self._log_tls_failure(error)
            raise ConnectFailed(problems.TLS_FAILED if is_cut else problems.CONNECT_FAILED) from None

    async def _race(self, addresses: list[str], permit: Permit) -> UpstreamConnection:
        """Connect to a pod by the address that answers first; raise `OSError` if none does."""
        connection = await connection_race.first_of(addresses, self._connect_to)
        connection.permit = permit
        if connection not in self.pools.connections:
            raise ConnectionResetError("closed after the handshake")  # before it had the permit to give back
        self.hosts = (connection.address, *(host for host in self.hosts if host != connection.address))
        return connection

    async def _connect_to(self, address: str, permit: Permit | None = None) -> UpstreamConnection:
        connection = UpstreamConnection(self, permit, address)
        try:
            if self.tls is None:
                await asyncio.get_running_loop().create_connection(lambda: connection, address, self.port)
            else:
                await tls_connection.connect(connection, address, self.port, self.tls, self.host)
        except BaseException:
            # If the wait ended in the turn of the loop that made the connection, uvloop closes it without a report.
            self.pools.connections.discard(connection)
            raise
        return connection

    async def addresses(self) -> list[str]:
        """The addresses to try, in the resolver's order: the address that was checked is the one connected to.

        Raises `ConnectFailed` if none may be connected to.
        """
        addresses = list(self.hosts)
        if self.name is not None:
            try:
                addresses = await self.name.current()
            except OSError:
                raise ConnectFailed(problems.DNS_FAILED) from None
        is_standalone, api_server = self.pools.address_policy == "Standalone", self.pools.api_server
        allowed = [
            address
            for address in addresses
            if address_policy.objection(address, standalone=is_standalone, api_server=api_server) is None
        ]
        if not allowed:
            raise ConnectFailed(problems.ADDRESS_REFUSED)
        return allowed

    def _on_addresses(self) -> None:
        """Drain the connections to addresses that the name has no more: unused ones close, others after their response."""
        assert self.name is not None  # noqa: S101 - for the type checker: a name calls this
        for connection in [one for one in self.pools.connections if one.endpoint is self]:
            if connection.address not in self.name.addresses:
                self._drain(connection)

    def forget(self) -> None:
        """Drain all connections: no new request comes here."""
        self.is_forgotten = True
        for connection in [one for one in self.pools.connections if one.endpoint is self]:
            self._drain(connection)

    def _drain(self, connection: UpstreamConnection) -> None:
        connection.keeper = CLOSER
        if connection in self.idle:
            self.idle.remove(connection)
            connection.close()
        elif connection in self.pools.private.idle:
            del self.pools.private.idle[connection]
            connection.close()

    def _log_tls_failure(self, error: OSError) -> None:
        now = self.clock.now()
        if now < self._tls_logged_at + _TLS_LOG_INTERVAL:
            self._tls_suppressed += 1
            return
        log.warning(
            "TLS handshake with an upstream failed",
            extra={
                "endpoint": f"{self.host}:{self.port}",
                "error": tls_failures.describe(error),
                "suppressed": self._tls_suppressed,
            },
        )
        self._tls_logged_at, self._tls_suppressed = now, 0


def _timeout(seconds: float) -> asyncio.Timeout:
    return asyncio.timeout(None if seconds == NEVER else seconds)


def _load(context: ssl.SSLContext, authorities: str) -> None:
    try:
        context.load_verify_locations(authorities)
    except ssl.SSLError as error:
        raise OSError(
            f"upstream_ca: {authorities} has no certificates of authorities: {error.reason or error}"
        ) from None
    except OSError as error:
        raise OSError(f"upstream_ca: cannot read {authorities}: {error.strerror}") from None


class Pools:
    """All endpoints of the process and all upstream connections, of every runtime."""

    def __init__(
        self,
        clock: Clock,
        head_cache: HeadCache,
        settings: Settings,
        most: int,
        make_way: Callable[[], object],
        address_timeout: float = _ADDRESS_TIMEOUT,
    ) -> None:
        """`most`: connections at once; `make_way`: close one that can be spared. Raises `OSError` for an unreadable CA."""
        self.clock = clock
        self.head_cache = head_cache
        self.limiter: ConnectionLimiter[UpstreamConnection] = ConnectionLimiter(most, self._make_way)
        self._make_way_elsewhere = make_way
        self._authorities = settings.upstream_ca  # a PEM file, in addition to the system's
        self.idle_timeout = settings.upstream_idle_timeout
        self.idle_connections = settings.upstream_idle_connections
        self.private = PrivateLimit(max(1, most // _PRIVATE_SHARE))
        self.address_timeout = address_timeout
        self.address_policy: Literal["Cluster", "Standalone"] = "Cluster"
        self.api_server = ""  # its address, which no upstream in a cluster may have
        self.dial: Callable[[EndpointPool, float], Awaitable[UpstreamConnection]] = EndpointPool.dial
        self.connections: set[UpstreamConnection] = set()
        self._endpoints: dict[tuple[tuple[str, ...], int, bool], EndpointPool] = {}
        self._names: dict[EndpointPool, ResolvedName] = {}
        self._tls: ssl.SSLContext | None = None
        if self._authorities:
            self.tls_context()

    def endpoint(
        self, host: str, port: int, *, tls: bool, is_name: bool, further: tuple[str, ...] = ()
    ) -> EndpointPool:
        """The one endpoint of these addresses.

        `further` is a part of what it is known by: another Service may claim the same address with one of its own choice.
        """
        key = ((host, *further), port, tls)
        endpoint = self._endpoints.get(key)
        if endpoint is None:
            context = self.tls_context() if tls else None
            endpoint = self._endpoints[key] = EndpointPool(self, key[0], port, context, is_name)
            if endpoint.name is not None:
                self._names[endpoint] = endpoint.name
        return endpoint

    def keep_only(self, endpoints: Iterable[EndpointPool]) -> None:
        """Forget all other endpoints; their unused connections close, those in use close after their response."""
        kept = set(endpoints)
        for key, endpoint in list(self._endpoints.items()):
            if endpoint not in kept:
                del self._endpoints[key]
                self._names.pop(endpoint, None)
                endpoint.forget()

    def _make_way(self) -> None:
        """Close the connection that was idle for the longest; without one, make way elsewhere."""
        oldest = [(endpoint.idle[0].deadline, endpoint) for endpoint in self._endpoints.values() if endpoint.idle]
        if oldest:
            _, endpoint = min(oldest, key=lambda item: item[0])
            endpoint.idle.pop(0).transport.close()
        elif not self.private.close_oldest():
            self._make_way_elsewhere()

    def tls_context(self) -> ssl.SSLContext:
        """The context of all TLS upstreams."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
            if self._authorities:
                _load(self._tls, self._authorities)
            self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    def sweep(self, now: float) -> None:
        """End what waited too long. Called by the wheel."""
        late = [connection for connection in self.connections if connection.deadline <= now]
        for connection in late:
            connection.on_deadline()
        if self.limiter.waiting:
            self.limiter.look_again()
        self._look_up_names(now)

    def _look_up_names(self, now: float) -> None:
        """Look up the names that have connections again, few at a time: the loop has few threads for look-ups.

        A name without connections is looked up when the next one is made.
        """
        due = {endpoint for endpoint, name in self._names.items() if name.is_due(now)}
        if not due:
            return
        room = _LOOKUPS_AT_ONCE - sum(name.is_looking_up for name in self._names.values())
        connected = {connection.endpoint for connection in self.connections}
        names = sorted((self._names[one] for one in due if one in connected), key=lambda name: name.begun_at)
        for name in names[: max(room, 0)]:
            name.refresh()

    def close(self) -> None:
        for connection in list(self.connections):
            connection.transport.abort()
