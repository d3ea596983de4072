"""Endpoints: one upstream address each, with its idle connections. The most recently used one is used first."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Literal

from inferway_contract import address_policy
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.engine.clock import NEVER, Clock
from inferway_dataplane.engine.http1.head_cache import HeadCache
from inferway_dataplane.engine.upstream.connection import ConnectionOwner, UpstreamConnection
from inferway_dataplane.engine.upstream.connection_limit import ConnectionLimiter, Permit
from inferway_dataplane.settings import Settings
from inferway_dataplane.system.resource_monitor import NO_DESCRIPTOR

log = logging.getLogger("inferway")

_ADDRESS_TIMEOUT: Final = 1.5
"""Seconds for each address of a name but the last; as much as a lost SYN needs to be sent again once."""


class ConnectFailed(Exception):  # noqa: N818 - it names what happened
    """No connection could be made; `problem` is the response to the client."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


class EndpointPool(ConnectionOwner):
    """One upstream address with its idle connections."""

    __slots__ = ("_lookup", "host", "idle", "is_name", "pools", "port")

    def __init__(self, pools: "Pools", host: str, port: int, tls: ssl.SSLContext | None, is_name: bool) -> None:
        super().__init__(pools.clock, pools.head_cache, tls)
        self.pools = pools
        self.host = host
        self.port = port
        self.is_name = is_name
        self.idle: list[UpstreamConnection] = []
        self._lookup: asyncio.Future[list[str]] | None = None

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
        if not is_reusable or connection.transport.is_closing() or len(self.idle) >= pools.idle_connections:
            connection.close()
            return
        limiter = pools.limiter
        connection.expect_response()
        connection.is_reused = True
        if limiter.waiting:
            connection.deadline = NEVER
            if limiter.hand_over(self, connection):
                return
            if limiter.waiting:
                connection.close()  # another endpoint's request needs the permit
                return
        connection.deadline = self.clock.coarse_now + pools.idle_timeout
        self.idle.append(connection)

    def on_made(self, connection: UpstreamConnection) -> None:
        self.pools.connections.add(connection)

    def on_lost(self, connection: UpstreamConnection) -> None:
        self.pools.connections.discard(connection)
        if connection.permit is not None:
            connection.permit.leave()
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
        try:
            return await self._connect(granted, deadline)
        except BaseException:
            granted.leave()
            raise

    async def _connect(self, permit: Permit, deadline: float) -> UpstreamConnection:
        try:
            async with _timeout(deadline - self.clock.now()):
                addresses = await self.addresses()
                *others, last = addresses
                for number, address in enumerate(others):
                    # An address that swallows packets must leave time for those after it.
                    share = (deadline - self.clock.now()) / (len(addresses) - number)
                    try:
                        async with asyncio.timeout(min(share, self.pools.address_timeout)):
                            return await self._connect_to(address, permit)
                    except OSError as error:  # a TimeoutError is one
                        log.debug("cannot connect to an address", extra={"host": self.host, "error": str(error)})
                return await self._connect_to(last, permit)
        except TimeoutError:
            raise ConnectFailed(problems.CONNECT_TIMEOUT) from None
        except ssl.SSLError:
            raise ConnectFailed(problems.TLS_FAILED) from None
        except OSError as error:
            if error.errno in NO_DESCRIPTOR:
                # The gateway lacks descriptors; the endpoint is not at fault.
                raise ConnectFailed(problems.PENDING_OVERFLOW) from None
            # A reset is not a refusal: it ends a connection that was made, and with it the handshake.
            is_cut = self.tls is not None and isinstance(error, (ConnectionResetError, ConnectionAbortedError))
            raise ConnectFailed(problems.TLS_FAILED if is_cut else problems.CONNECT_FAILED) from None

    async def _connect_to(self, address: str, permit: Permit) -> UpstreamConnection:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: UpstreamConnection(self, permit),
            address,
            self.port,
            ssl=self.tls,
            server_hostname=self.host if self.tls is not None else None,
        )
        return connection

    async def addresses(self) -> list[str]:
        """The addresses to try, in the resolver's order: the address that was checked is the one connected to.

        Raises `ConnectFailed` if none may be connected to.
        """
        addresses = [self.host]
        if self.is_name:
            # One look-up of a name at a time, shared by all that connect now: the loop has few threads for look-ups,
            # and a name without an answer must not take them all.
            if self._lookup is None or self._lookup.done():
                self._lookup = asyncio.ensure_future(self._look_up())
                self._lookup.add_done_callback(_retrieve_exception)
            try:
                addresses = await asyncio.shield(self._lookup)
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

    async def _look_up(self) -> list[str]:
        infos = await asyncio.get_running_loop().getaddrinfo(self.host, self.port, proto=socket.IPPROTO_TCP)
        return list(dict.fromkeys(str(info[4][0]) for info in infos))


def _retrieve_exception(lookup: asyncio.Future[list[str]]) -> None:
    """Keep asyncio from logging a failure after all its waiters have left."""
    if not lookup.cancelled():
        lookup.exception()


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
        self.address_timeout = address_timeout
        self.address_policy: Literal["Cluster", "Standalone"] = "Cluster"
        self.api_server = ""  # its address, which no upstream in a cluster may have
        self.dial: Callable[[EndpointPool, float], Awaitable[UpstreamConnection]] = EndpointPool.dial
        self.connections: set[UpstreamConnection] = set()
        self._endpoints: dict[tuple[str, int, bool], EndpointPool] = {}
        self._tls: ssl.SSLContext | None = None
        if self._authorities:
            self.tls_context()

    def endpoint(self, host: str, port: int, *, tls: bool, is_name: bool) -> EndpointPool:
        """The one endpoint of this address."""
        endpoint = self._endpoints.get((host, port, tls))
        if endpoint is None:
            context = self.tls_context() if tls else None
            endpoint = self._endpoints[(host, port, tls)] = EndpointPool(self, host, port, context, is_name)
        return endpoint

    def keep_only(self, endpoints: Iterable[EndpointPool]) -> None:
        """Forget all other endpoints; their idle connections close, those in use finish."""
        kept = set(endpoints)
        for key, endpoint in list(self._endpoints.items()):
            if endpoint not in kept:
                del self._endpoints[key]
                for connection in endpoint.idle:
                    connection.transport.close()
                endpoint.idle.clear()

    def _make_way(self) -> None:
        """Close the connection that was idle for the longest; without one, make way elsewhere."""
        oldest = [(endpoint.idle[0].deadline, endpoint) for endpoint in self._endpoints.values() if endpoint.idle]
        if oldest:
            _, endpoint = min(oldest, key=lambda item: item[0])
            endpoint.idle.pop(0).transport.close()
        else:
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

    def close(self) -> None:
        for connection in list(self.connections):
            connection.transport.abort()
