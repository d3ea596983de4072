"""A new connection under way for one request."""

import asyncio
import logging
from collections.abc import Callable

from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.upstreams.circuit_breaker import Breaker
from inferway_dataplane.engine.upstream.connection import UpstreamConnection
from inferway_dataplane.engine.upstream.pool import ConnectFailed, EndpointPool

log = logging.getLogger("inferway")


class ConnectAttempt:
    """Counts as load of its endpoint, and as pending for the circuit breaker, until it ends."""

    __slots__ = ("_breaker", "_endpoint", "_on_end", "_task")

    def __init__(
        self,
        endpoint: EndpointPool,
        within: float,
        breaker: Breaker,
        on_end: Callable[[UpstreamConnection | Problem], None],
    ) -> None:
        """`within`: seconds. The breaker has counted it as pending. `on_end` gets the connection, or why there is none."""
        self._endpoint = endpoint
        self._breaker = breaker
        self._on_end: Callable[[UpstreamConnection | Problem], None] | None = on_end
        # A request that waits for a connection is load too; else an endpoint that answers no SYN looks the least busy.
        endpoint.active += 1
        self._task = asyncio.get_running_loop().create_task(self._connect(within))

    async def _connect(self, within: float) -> None:
        result: UpstreamConnection | Problem
        try:
            result = await self._endpoint.connect(within)
        except ConnectFailed as failure:
            result = failure.problem
        except Exception:
            # A bug, here or in a library: it costs this request, and no client waits forever.
            log.exception("unexpected error while connecting")
            result = problems.INTERNAL
        on_end = self._leave()
        if on_end is not None:
            on_end(result)
        elif isinstance(result, UpstreamConnection):
            result.close()

    def end(self) -> None:
        """Stop: the connection is not wanted any more."""
        if self._leave() is not None:
            self._task.cancel()

    def _leave(self) -> Callable[[UpstreamConnection | Problem], None] | None:
        """Give back what this counts as; the first call returns whom to call, later ones None."""
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            self._endpoint.active -= 1
            self._breaker.leave_pending()
        return on_end
