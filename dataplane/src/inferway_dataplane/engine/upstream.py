"""Upstream connections: one endpoint keeps its own, the most recently used one is used first."""

import asyncio
import ssl
from collections.abc import Iterable
from time import monotonic
from typing import Any, Final, Protocol

import httptools

from inferway_dataplane.core import addresses, memo, problems
from inferway_dataplane.core.heads import Fields, ResponseHead, read_response
from inferway_dataplane.core.problems import Problem

NEVER: Final = float("inf")
HIGH_WATER: Final = 64 << 10


class Receiver(Protocol):
    """What an upstream connection tells of the answer it reads. Exactly one of `on_end` and `on_broken` comes last."""

    is_head_request: bool
    is_request_complete: bool

    def on_informational(self, status: int, fields: Fields) -> None: ...
    def on_head(self, head: ResponseHead) -> None: ...
    def on_body(self, data: bytes) -> None: ...
    def on_fed(self) -> None: ...
    def on_end(self) -> None: ...
    def on_broken(self, problem: Problem, *, unanswered: bool) -> None: ...
    def on_writable(self, writable: bool) -> None: ...


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
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None if within == NEVER else within):
                address = await self._address(loop)
                _, connection = await loop.create_connection(
                    lambda: UpstreamConnection(self),
                    address,
                    self.port,
                    ssl=self.tls,
                    server_hostname=self.host if self.tls is not None else None,
                )
        except TimeoutError:
            raise ConnectFailed(problems.CONNECT_TIMEOUT) from None
        except ssl.SSLError:
            raise ConnectFailed(problems.TLS_FAILED) from None
        except OSError:
            raise ConnectFailed(problems.CONNECT_FAILED) from None
        return connection

    async def _address(self, loop: asyncio.AbstractEventLoop) -> str:
        """The address to connect to: resolved here, so that what was checked is what is connected to."""
        address = self.host
        if self.is_name:
            try:
                found = await loop.getaddrinfo(self.host, self.port, proto=6)
            except OSError:
                raise ConnectFailed(problems.DNS_FAILED) from None
            address = str(found[0][4][0])
        if not addresses.is_allowed(address, self.pools.address_policy):
            raise ConnectFailed(problems.ADDRESS_REFUSED)
        return address


class Pools:
    """All endpoints of the process and all upstream connections, whatever runtime they came with."""

    def __init__(self, idle_timeout: float, idle_connections: int) -> None:
        self.idle_timeout = idle_timeout
        self.idle_connections = idle_connections
        self.address_policy: addresses.Policy = "Cluster"
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


class UpstreamConnection(asyncio.Protocol):
    """One connection, one answer at a time. It parses and counts; what the answer means is the receiver's business."""

    __slots__ = (
        "_segment",
        "deadline",
        "endpoint",
        "fields",
        "has_excess",
        "has_received",
        "head_bytes",
        "is_close_delimited",
        "is_complete",
        "is_head_done",
        "is_paused",
        "is_reusable",
        "is_reused",
        "max_head",
        "parser",
        "receiver",
        "stream_idle",
        "transport",
    )

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.transport: Any = None
        self.receiver: Receiver | None = None
        self.parser = httptools.HttpResponseParser(self)
        self.deadline = NEVER
        self.is_reused = False
        self.is_paused = False
        self.stream_idle = NEVER
        self.max_head = 0
        self._segment: bytes | None = None  # what came with the first byte of an answer, while it is parsed
        self._reset()

    def _reset(self) -> None:
        self.fields: Fields = []
        self.head_bytes = 0
        self.has_received = False
        self.is_head_done = False
        self.is_complete = False
        self.is_reusable = False
        self.is_close_delimited = False
        self.has_excess = False

    # --- use ---------------------------------------------------------------------------------------------------------

    def start(self, receiver: Receiver, data: bytes, deadline: float, stream_idle: float, max_head: int) -> None:
        """Send the head (and what there is of the body) of a request and wait for its answer.

        `deadline`: monotonic seconds until the head is there; `stream_idle`: seconds between two pieces of the body;
        `max_head`: bytes that the head may have.
        """
        self.stream_idle = stream_idle
        self.max_head = max_head
        self.receiver = receiver
        self.deadline = deadline
        self.endpoint.active += 1
        self.transport.write(data)

    def abandon(self) -> None:
        """The receiver does not want the rest: a connection in the middle of an answer is of no use to others."""
        if self.receiver is not None:
            self.receiver = None
            self.endpoint.active -= 1
        self.deadline = NEVER
        self.transport.abort()

    def _fail(self, problem: Problem) -> None:
        receiver, self.receiver = self.receiver, None
        self.deadline = NEVER
        unanswered = not self.has_received
        self.transport.abort()
        if receiver is not None:
            self.endpoint.active -= 1
            receiver.on_broken(problem, unanswered=unanswered)

    def _complete(self) -> None:
        receiver, self.receiver = self.receiver, None
        endpoint = self.endpoint
        endpoint.active -= 1
        is_read_whole = receiver is None or receiver.is_request_complete
        if self.is_paused:
            self.resume()
        if self.has_excess or not (self.is_reusable and is_read_whole) or self.transport.is_closing():
            self.deadline = NEVER
            self.transport.close()
        elif len(endpoint.idle) >= endpoint.pools.idle_connections:
            self.transport.close()
        else:
            self._reset()
            self.is_reused = True
            self.deadline = endpoint.pools.coarse_now + endpoint.pools.idle_timeout
            endpoint.idle.append(self)
        if receiver is not None:
            receiver.on_end()

    def pause(self) -> None:
        """The client reads slowly: read no more until `resume`."""
        if not self.is_paused:
            self.is_paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self.is_paused:
            self.is_paused = False
            self.transport.resume_reading()

    def on_deadline(self) -> None:
        """The wheel found this connection late."""
        self.deadline = NEVER
        if self.receiver is None:
            self.transport.close()
        else:
            self._fail(problems.UPSTREAM_TIMEOUT)

    # --- asyncio.Protocol ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.set_write_buffer_limits(HIGH_WATER)
        self.endpoint.pools.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.endpoint.pools.connections.discard(self)
        self.deadline = NEVER
        if self.receiver is not None:
            if self.is_close_delimited and exc is None:
                self.is_reusable = False
                self._complete()
            else:
                self._fail(problems.UPSTREAM_CLOSED)
        elif self in self.endpoint.idle:
            self.endpoint.idle.remove(self)

    def pause_writing(self) -> None:
        if self.receiver is not None:
            self.receiver.on_writable(False)

    def resume_writing(self) -> None:
        if self.receiver is not None:
            self.receiver.on_writable(True)

    def data_received(self, data: bytes) -> None:
        receiver = self.receiver
        if receiver is None:
            # Bytes that nobody asked for: whatever comes next on this connection cannot be trusted.
            self.transport.abort()
            return
        segment = None
        if not self.has_received:
            self.has_received = True
            known = None if receiver.is_head_request else memo.known_answer(data)
            if known is not None and known[1] <= self.max_head:
                self._deliver_known(receiver, data, *known)
                return
            segment = data
        self._segment = segment
        if not self.is_head_done:
            self.head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if self.receiver is receiver and not self.is_complete:
                self._fail(problems.BAD_RESPONSE)
                return
            self.has_excess = True
        if self.receiver is not receiver:
            return  # it was abandoned while it read
        if not self.is_head_done:
            if self.head_bytes > self.max_head:
                self._fail(problems.RESPONSE_HEAD_TOO_LARGE)
            return
        receiver.on_fed()
        if self.is_complete:
            self._complete()
        elif self.receiver is receiver:
            self.deadline = self.endpoint.pools.coarse_now + self.stream_idle

    def _deliver_known(self, receiver: Receiver, data: bytes, head: ResponseHead, end: int) -> None:
        """A whole answer whose head was parsed before: nothing is left to parse."""
        self.is_head_done = self.is_complete = True
        self.is_reusable = head.keep_alive
        receiver.on_head(head)
        if len(data) > end:
            receiver.on_body(data[end:])
        receiver.on_fed()
        self._complete()

    # --- httptools -----------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.is_complete:
            self.has_excess = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.is_head_done:
            self.fields.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        receiver = self.receiver
        if receiver is None or self.is_complete:
            return
        parser = self.parser
        status = parser.get_status_code()
        fields = self.fields
        if status < 100 or status > 599 or parser.get_http_version() not in ("1.1", "1.0"):
            raise ValueError("not an answer of HTTP/1.1")
        if self.head_bytes > self.max_head and _size(fields) > self.max_head:
            raise ValueError("the head is too large")
        if status < 200:
            self.fields = []
            self.head_bytes = 0
            self._segment = None  # it begins with this head, not with the answer's
            if status == 101:
                raise ValueError("no upgrade was asked for")
            receiver.on_informational(status, fields)
            return
        head = read_response(status, fields, parser.should_keep_alive())
        if head is None:
            raise ValueError("the framing has two readings")
        if self._segment is not None and not receiver.is_head_request:
            memo.learn_answer(self._segment, head)
        self.is_head_done = True
        self.is_reusable = head.keep_alive
        if receiver.is_head_request:
            # The parser would take the next answer for this one's body: it has none, so the message ends here.
            self.is_complete = True
            self.parser = httptools.HttpResponseParser(self)
        elif status not in (204, 304):
            self.is_close_delimited = not head.is_chunked and head.content_length < 0
        receiver.on_head(head)

    def on_body(self, data: bytes) -> None:
        if self.is_complete:
            self.has_excess = True
        elif self.receiver is not None:
            self.receiver.on_body(data)

    def on_message_complete(self) -> None:
        if self.is_head_done:
            self.is_complete = True


def _size(fields: Fields) -> int:
    return sum(len(name) + len(value) + 4 for name, value in fields)
