"""Endpoints: one upstream address each, with its idle connections. The most recently used one is used first."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Final, Literal

from inferway_contract import address_policy
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.engine.upstream.connection import NEVER, UpstreamConnection
from inferway_dataplane.engine.upstream.connection_limit import ConnectionLimiter, Permit
from inferway_dataplane.system.resource_monitor import NO_DESCRIPTOR

log = logging.getLogger("inferway")

# Of a name with several addresses, seconds for each but the last; as much as a lost SYN needs to be sent again once.
_ONE_OF_SEVERAL: Final = 1.5


class ConnectFailed(Exception):  # noqa: N818 - it names what happened
    """No connection could be made; `problem` is what the client is told."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


class EndpointPool:
    """One upstream address with its idle connections. `active` counts requests in flight."""

    __slots__ = ("_lookup", "active", "host", "idle", "is_name", "pools", "port", "tls")

    def __init__(self, pools: "Pools", host: str, port: int, tls: ssl.SSLContext | None, is_name: bool) -> None:
        self.pools = pools
        self.host = host
        self.port = port
        self.tls = tls
        self.is_name = is_name
        self.active = 0
        self.idle: list[UpstreamConnection] = []
        self._lookup: asyncio.Future[list[str]] | None = None

    def take(self) -> "UpstreamConnection | None":
        """An idle connection that is still open."""
        idle = self.idle
        while idle:
            connection = idle.pop()
            if not connection.transport.is_closing():
                return connection
        return None

    async def connect(self, within: float) -> "UpstreamConnection":
        """A new connection within so many seconds, or one that has just become idle; `ConnectFailed` says why not."""
        deadline = monotonic() + within
        try:
            async with _timeout(within):
                given = await self.pools.room.enter(self)
        except TimeoutError:
            raise ConnectFailed(problems.PENDING_OVERFLOW) from None
        if isinstance(given, UpstreamConnection):
            return given
        try:
            return await self._connect(given, deadline)
        except BaseException:
            given.leave()
            raise

    async def _connect(self, seat: Permit, deadline: float) -> "UpstreamConnection":
        try:
            async with _timeout(deadline - monotonic()):
                addresses = await self.addresses()
                *others, last = addresses
                for number, address in enumerate(others):
                    # An address that swallows packets must leave time for those after it.
                    share = (deadline - monotonic()) / (len(addresses) - number)
                    try:
                        async with asyncio.timeout(min(share, _ONE_OF_SEVERAL)):
                            return await self._connect_to(address, seat)
                    except OSError as error:  # a TimeoutError is one
                        log.debug("an address cannot be connected to", extra={"host": self.host, "error": str(error)})
                return await self._connect_to(last, seat)
        except TimeoutError:
            raise ConnectFailed(problems.CONNECT_TIMEOUT) from None
        except ssl.SSLError:
            raise ConnectFailed(problems.TLS_FAILED) from None
        except OSError as error:
            if error.errno in NO_DESCRIPTOR:
                raise ConnectFailed(problems.PENDING_OVERFLOW) from None  # our own want, and no fault of the endpoint
            # A reset is no refusal: it ends a connection that was made, and with it the handshake.
            is_cut = self.tls is not None and isinstance(error, (ConnectionResetError, ConnectionAbortedError))
            raise ConnectFailed(problems.TLS_FAILED if is_cut else problems.CONNECT_FAILED) from None

    async def _connect_to(self, address: str, seat: Permit) -> "UpstreamConnection":
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: UpstreamConnection(self, seat),
            address,
            self.port,
            ssl=self.tls,
            server_hostname=self.host if self.tls is not None else None,
        )
        return connection

    async def addresses(self) -> list[str]:
        """The addresses to try, in the resolver's order: resolved here, so that what was checked is connected to.

        `ConnectFailed` where there is none that may be connected to.
        """
        found = [self.host]
        if self.is_name:
            # One look-up of a name at a time, which all who connect now share: the loop has few threads for them, and a
            # name that nobody answers for must not have them all.
            if self._lookup is None or self._lookup.done():
                self._lookup = asyncio.ensure_future(self._look_up())
                self._lookup.add_done_callback(_take_notice)
            try:
                found = await asyncio.shield(self._lookup)
            except OSError:
                raise ConnectFailed(problems.DNS_FAILED) from None
        standalone, api_server = self.pools.address_policy == "Standalone", self.pools.api_server
        allowed = [
            address
            for address in found
            if address_policy.objection(address, standalone=standalone, api_server=api_server) is None
        ]
        if not allowed:
            raise ConnectFailed(problems.ADDRESS_REFUSED)
        return allowed

    async def _look_up(self) -> list[str]:
        infos = await asyncio.get_running_loop().getaddrinfo(self.host, self.port, proto=socket.IPPROTO_TCP)
        return list(dict.fromkeys(str(info[4][0]) for info in infos))


def _take_notice(lookup: asyncio.Future[list[str]]) -> None:
    """Who waited has seen how it failed; nobody may be waiting any more."""
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
    """All endpoints of the process and all upstream connections, whatever runtime they came with."""

    def __init__(
        self,
        idle_timeout: float,
        idle_connections: int,
        most: int,
        make_way: Callable[[], object],
        authorities: str = "",
    ) -> None:
        """`most`: connections at once; `make_way`: end one that can be spared; `authorities`: a PEM file, beside the
        system's own. Seconds and numbers."""
        self.room = ConnectionLimiter(most, self._make_way)
        self._make_way_elsewhere = make_way
        self._authorities = authorities
        self.idle_timeout = idle_timeout
        self.idle_connections = idle_connections
        self.address_policy: Literal["Cluster", "Standalone"] = "Cluster"
        self.api_server = ""  # its address, which is no upstream in a cluster
        self.coarse_now = monotonic()  # as of the last turn of the wheel
        self.connections: set[UpstreamConnection] = set()
        self._endpoints: dict[tuple[str, int, bool], EndpointPool] = {}
        self._tls: ssl.SSLContext | None = None
        if authorities:
            self.tls_context()  # a file that cannot be read is told at the start, by `OSError`

    def endpoint(self, host: str, port: int, *, tls: bool, is_name: bool) -> EndpointPool:
        """The one endpoint of this address."""
        found = self._endpoints.get((host, port, tls))
        if found is None:
            context = self.tls_context() if tls else None
            found = self._endpoints[(host, port, tls)] = EndpointPool(self, host, port, context, is_name)
        return found

    def keep_only(self, endpoints: Iterable[EndpointPool]) -> None:
        """Forget endpoints that no runtime names any more; their idle connections close, those in use finish."""
        kept = set(endpoints)
        for key, endpoint in list(self._endpoints.items()):
            if endpoint not in kept:
                del self._endpoints[key]
                for connection in endpoint.idle:
                    connection.transport.close()
                endpoint.idle.clear()

    def _make_way(self) -> None:
        """The connection that was idle for the longest goes; without one, whoever else can be spared."""
        idle = [endpoint.idle[0] for endpoint in self._endpoints.values() if endpoint.idle]
        if idle:
            longest = min(idle, key=lambda connection: connection.deadline)
            longest.endpoint.idle.remove(longest)
            longest.transport.close()
        else:
            self._make_way_elsewhere()

    def tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            if self._authorities:
                _load(self._tls, self._authorities)
            self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    def sweep(self, now: float) -> None:
        """End what waited too long. Called by the wheel."""
        self.coarse_now = now
        late = [connection for connection in self.connections if connection.deadline <= now]
        for connection in late:
            connection.on_deadline()
        if self.room.waiting:
            self.room.look_again()

    def close(self) -> None:
        """Close every connection at once."""
        for connection in list(self.connections):
            connection.transport.abort()
