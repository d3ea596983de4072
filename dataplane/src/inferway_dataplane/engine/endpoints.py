"""Endpoints: one upstream address each, with its idle connections. The most recently used one is used first."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Iterable
from time import monotonic
from typing import Final

from inferway_dataplane.core import problems
from inferway_dataplane.core.addresses import Policy
from inferway_dataplane.core.addresses import is_allowed as may_connect
from inferway_dataplane.core.problems import Problem
from inferway_dataplane.engine.upstream import NEVER, UpstreamConnection

log = logging.getLogger("inferway")

# Of a name with several addresses, seconds for each but the last; as much as a lost SYN needs to be sent again once.
_ONE_OF_SEVERAL: Final = 1.5


class ConnectFailed(Exception):  # noqa: N818 - it names what happened
    """No connection could be made; `problem` is what the client is told."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


class Endpoint:
    """One upstream address with its idle connections. `active` counts requests in flight."""

    __slots__ = ("active", "host", "idle", "is_name", "pools", "port", "tls")

    def __init__(self, pools: "Pools", host: str, port: int, tls: ssl.SSLContext | None, is_name: bool) -> None:
        self.pools = pools
        self.host = host
        self.port = port
        self.tls = tls
        self.is_name = is_name
        self.active = 0
        self.idle: list[UpstreamConnection] = []

    def take(self) -> "UpstreamConnection | None":
        """An idle connection that is still open."""
        idle = self.idle
        while idle:
            connection = idle.pop()
            if not connection.transport.is_closing():
                return connection
        return None

    async def connect(self, within: float) -> "UpstreamConnection":
        """A new connection within so many seconds; `ConnectFailed` says why not."""
        deadline = monotonic() + within
        try:
            async with asyncio.timeout(None if within == NEVER else within):
                addresses = await self._addresses()
                *others, last = addresses
                for number, address in enumerate(others):
                    # An address that swallows packets must leave time for those after it.
                    share = (deadline - monotonic()) / (len(addresses) - number)
                    try:
                        async with asyncio.timeout(min(share, _ONE_OF_SEVERAL)):
                            return await self._connect_to(address)
                    except OSError as error:  # a TimeoutError is one
                        log.debug(
                            "an address could not be connected to", extra={"host": self.host, "error": str(error)}
                        )
                return await self._connect_to(last)
        except TimeoutError:
            raise ConnectFailed(problems.CONNECT_TIMEOUT) from None
        except ssl.SSLError:
            raise ConnectFailed(problems.TLS_FAILED) from None
        except OSError:
            raise ConnectFailed(problems.CONNECT_FAILED) from None

    async def _connect_to(self, address: str) -> "UpstreamConnection":
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: UpstreamConnection(self),
            address,
            self.port,
            ssl=self.tls,
            server_hostname=self.host if self.tls is not None else None,
        )
        return connection

    async def _addresses(self) -> list[str]:
        """The addresses to try, in the resolver's order: resolved here, so that what was checked is connected to."""
        found = [self.host]
        if self.is_name:
            try:
                infos = await asyncio.get_running_loop().getaddrinfo(self.host, self.port, proto=socket.IPPROTO_TCP)
            except OSError:
                raise ConnectFailed(problems.DNS_FAILED) from None
            found = list(dict.fromkeys(str(info[4][0]) for info in infos))
        allowed = [address for address in found if may_connect(address, self.pools.address_policy)]
        if not allowed:
            raise ConnectFailed(problems.ADDRESS_REFUSED)
        return allowed


class Pools:
    """All endpoints of the process and all upstream connections, whatever runtime they came with."""

    def __init__(self, idle_timeout: float, idle_connections: int) -> None:
        self.idle_timeout = idle_timeout
        self.idle_connections = idle_connections
        self.address_policy: Policy = "Cluster"
        self.coarse_now = monotonic()  # as of the last turn of the wheel
        self.connections: set[UpstreamConnection] = set()
        self._endpoints: dict[tuple[str, int, bool], Endpoint] = {}
        self._tls: ssl.SSLContext | None = None

    def endpoint(self, host: str, port: int, *, tls: bool, is_name: bool) -> Endpoint:
        """The one endpoint of this address."""
        found = self._endpoints.get((host, port, tls))
        if found is None:
            context = self._tls_context() if tls else None
            found = self._endpoints[(host, port, tls)] = Endpoint(self, host, port, context, is_name)
        return found

    def keep_only(self, endpoints: Iterable[Endpoint]) -> None:
        """Forget endpoints that no runtime names any more; their idle connections close, those in use finish."""
        kept = set(endpoints)
        for key, endpoint in list(self._endpoints.items()):
            if endpoint not in kept:
                del self._endpoints[key]
                for connection in endpoint.idle:
                    connection.transport.close()
                endpoint.idle.clear()

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        return self._tls

    def sweep(self, now: float) -> None:
        """End what waited too long. Called by the wheel."""
        self.coarse_now = now
        late = [connection for connection in self.connections if connection.deadline <= now]
        for connection in late:
            connection.on_deadline()

    def close(self) -> None:
        """Close every connection at once."""
        for connection in list(self.connections):
            connection.transport.abort()
