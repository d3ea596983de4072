"""One health check, by httpx's transport: without cookies, redirects and the environment's proxies.

A client of httpx would send one endpoint's cookies to another. Addresses are checked like those of requests.
"""

import asyncio
import logging
import ssl
from time import monotonic
from typing import Final

import httpx

from inferway_dataplane.core.upstreams.health_state import CheckRules
from inferway_dataplane.core.upstreams.members import Member
from inferway_dataplane.engine.upstream.pool import ConnectFailed, EndpointPool

log = logging.getLogger("inferway")

_GRACE: Final = 0.05  # seconds


class Probe:
    """Sends probes to endpoints."""

    def __init__(self, context: ssl.SSLContext, at_once: int) -> None:
        """`context`: the one of upstream TLS; `at_once`: connections."""
        limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=0)
        self._transport = httpx.AsyncHTTPTransport(verify=context, trust_env=False, limits=limits)

    async def close(self) -> None:
        """Close what is open."""
        await self._transport.aclose()

    async def ask(self, member: Member, rules: CheckRules) -> int | None:
        """Return the status of the response; None = there was none in time."""
        endpoint: EndpointPool = member.endpoint
        deadline = monotonic() + rules.timeout
        try:
            # httpx's own limits close a connection properly; this one bounds their sum.
            async with asyncio.timeout(rules.timeout + _GRACE):
                addresses = await endpoint.addresses()
                for left in range(len(addresses), 1, -1):
                    # As for a request: an address that cannot be connected to leaves time for those after it.
                    request = self._request(member, endpoint, addresses[-left], rules, (deadline - monotonic()) / left)
                    try:
                        return await self._status(request)
                    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                        log.debug(
                            "an address cannot be connected to", extra={"host": endpoint.host, "error": str(error)}
                        )
                return await self._status(self._request(member, endpoint, addresses[-1], rules, deadline - monotonic()))
        except (OSError, ConnectFailed, httpx.HTTPError) as error:
            log.debug("a health check failed", extra={"endpoint": member.name, "error": str(error) or repr(error)})
            return None

    async def _status(self, request: httpx.Request) -> int:
        response = await self._transport.handle_async_request(request)
        await response.aclose()
        return response.status_code

    def _request(
        self, member: Member, endpoint: EndpointPool, address: str, rules: CheckRules, connect: float
    ) -> httpx.Request:
        """`connect`: seconds for connecting, the TLS handshake included."""
        url = httpx.URL(
            scheme="https" if endpoint.tls is not None else "http",
            host=address,
            port=endpoint.port,
            raw_path=rules.path,
        )
        fields = {"host": member.name, "user-agent": "inferway-health-check", "accept": "*/*", "connection": "close"}
        # Never 0 or less, which would mean no limit.
        limits = {"connect": max(connect, 0.001), "read": rules.timeout, "write": rules.timeout, "pool": rules.timeout}
        extensions = {"sni_hostname": endpoint.host, "timeout": limits}
        return httpx.Request("GET", url, headers=fields, extensions=extensions)
