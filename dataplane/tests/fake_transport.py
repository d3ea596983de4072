"""The real connection classes without sockets: bytes in, bytes out, as a trace.

`Wire` is one gateway with one client connection and some idle upstream connections. `client_received` and
`upstream_received` return the bytes that reached a side. A closed transport calls its protocol's `connection_lost`
before the next step, as a loop would.
"""

import re
from collections.abc import Callable, Iterable
from functools import cache
from time import monotonic
from typing import Any

from inferway_contract.document import (
    Backend,
    ConfigDocument,
    EndpointsDocument,
    Match,
    PathMatch,
    Policy,
    Route,
    Rule,
    Timeouts,
    Url,
)
from inferway_dataplane.core.steps import completed
from inferway_dataplane.engine.clock import TICK, Clock
from inferway_dataplane.engine.downstream import timeouts
from inferway_dataplane.engine.downstream.connection import ClientConnection
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.engine.http1.head_cache import HeadCache
from inferway_dataplane.engine.upstream.connection import UpstreamConnection
from inferway_dataplane.gateway import Gateway
from inferway_dataplane.observability.access_log import AccessLog
from inferway_dataplane.settings import Settings

HOST, PORT = "192.0.2.80", 8000
BACKEND = Backend(url=Url(scheme="http", host=HOST, port=PORT))
CLIENT = "203.0.113.9"
ONE_PATH = Rule(
    name="r",
    matches=(Match(path=PathMatch(value="/x")),),
    backends=(BACKEND,),
    timeouts=Timeouts(request=0, backend_request=0),
)
"""A rule for one path only: everything else is refused at once. The upstream may take as long as it likes."""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def get(target: bytes = b"/", *fields: bytes, method: bytes = b"GET", host: bytes = b"a.example") -> bytes:
    """A request without a body."""
    return b"\r\n".join([b"%b %b HTTP/1.1" % (method, target), b"Host: " + host, *fields, b"", b""])


def post(target: bytes, body: bytes, *fields: bytes) -> bytes:
    """A request with a body of declared length."""
    return get(target, b"Content-Length: %d" % len(body), *fields, method=b"POST") + body


def bytewise(data: bytes) -> Iterable[bytes]:
    """One byte at a time."""
    return (data[at : at + 1] for at in range(len(data)))


class Transport:
    """Takes what is written, and remembers what was done to it."""

    def __init__(self, peer: str = CLIENT) -> None:
        self.peer = peer
        self.written = bytearray()
        self.is_reading = True
        self.is_closed = False  # orderly: what was written arrives
        self.is_aborted = False
        self.has_eof = False
        self.is_lost = False  # the protocol's `connection_lost` was called
        self.is_stuck = False  # the peer takes nothing: an orderly end waits for it
        self.can_half_close = True  # TLS cannot
        self.on_write: Callable[[bytes], None] | None = None  # called from within each write

    def write(self, data: bytes) -> None:
        assert not self.has_eof, "written after the end"
        if not self.is_closing():
            self.written += data
        if self.on_write is not None:
            self.on_write(data)

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.write(b"".join(pieces))

    def take(self) -> bytes:
        """What was written since the last time."""
        data = bytes(self.written)
        self.written.clear()
        return data

    def is_closing(self) -> bool:
        return self.is_closed or self.is_aborted

    @property
    def is_over(self) -> bool:
        """Whether the loop calls the protocol's `connection_lost`."""
        return self.is_aborted or (self.is_closed and not self.is_stuck)

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_aborted = True

    def get_write_buffer_size(self) -> int:
        return len(self.written) if self.is_stuck else 0

    def can_write_eof(self) -> bool:
        return self.can_half_close

    def write_eof(self) -> None:
        self.has_eof = True

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self.peer, 4711) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


_settings = cache(Settings)
"""To read them of the environment takes longer than most of what a wire is made for. They never change."""


class Wire:
    """One client, one gateway, and its upstream."""

    def __init__(
        self,
        *rules: Rule,
        policies: tuple[Policy, ...] = (),
        idle: int = 1,
        peer: str = CLIENT,
        now: Callable[[], float] = monotonic,
        tick: float = TICK,
        head_cache: HeadCache | None = None,
        stages: tuple[Callable[[Exchange], bool], ...] = (),
        **settings: Any,
    ) -> None:
        """`idle`: upstream connections that wait. `now`: the monotonic clock. `head_cache`: of an earlier wire.
        `stages`: run before the rules' own."""
        config = ConfigDocument(
            address_policy="Standalone",
            routes=(Route(id="demo/a", rules=rules or (Rule(name="all", backends=(BACKEND,)),)),),
            policies=policies,
        )
        log = AccessLog(0, enabled=False)
        self.gateway = Gateway(_settings(**settings), log, clock=Clock(now), tick=tick, head_cache=head_cache)
        self.later: list[Callable[[], None]] = []  # what the loop would call soon
        self.gateway.context.call_soon = self.later.append
        completed(self.gateway.live.accepting(config, EndpointsDocument()))
        for rule in self.gateway.context.runtime.rules if self.gateway.context.runtime is not None else ():
            rule.stages = (*stages, *rule.stages)
        self.endpoint = self.gateway.pools.endpoint(HOST, PORT, tls=False, is_name=False)
        self.upstreams = [self.add_upstream() for _ in range(idle)]
        self.client = self.connect(peer)

    def add_upstream(self) -> UpstreamConnection:
        """One more idle connection, used before those that are there."""
        connection = UpstreamConnection(self.endpoint)
        connection.connection_made(Transport(HOST))
        self.endpoint.idle.append(connection)
        return connection

    def connect(self, peer: str = CLIENT) -> ClientConnection:
        """Another client."""
        client = self.gateway.client_connection()
        client.connection_made(Transport(peer))
        return client

    # --- the client ---------------------------------------------------------------------------------------------------

    def send(self, *pieces: bytes, client: ClientConnection | None = None) -> None:
        """The client sends, piece by piece, as long as it can."""
        connection = client or self.client
        for piece in pieces:
            if connection.transport.is_lost:
                return
            connection.data_received(piece)
            self.settle()

    def client_received(self, client: ClientConnection | None = None) -> bytes:
        """Return the bytes that reached the client since the last call."""
        return (client or self.client).transport.take()

    def leave(self) -> None:
        """The client's connection is gone."""
        self._lose(self.client)
        self.settle()

    def half_close(self) -> None:
        """The client sends no more."""
        if not self.client.eof_received():
            self.client.transport.close()
        self.settle()

    def stop_reading(self) -> None:
        """The client takes nothing any more, and more is written than its buffer should hold."""
        self.client.transport.is_stuck = True
        self.client.pause_writing()

    def read_again(self) -> None:
        """The client takes what there is."""
        self.client.transport.is_stuck = False
        self.client.resume_writing()
        self.settle()

    @property
    def is_open(self) -> bool:
        """Whether the client may ask again."""
        transport = self.client.transport
        return not (transport.is_closing() or transport.has_eof)

    @property
    def was_aborted(self) -> bool:
        """Whether the client saw its connection cut, and not end."""
        return self.client.transport.is_aborted

    # --- the upstream ---------------------------------------------------------------------------------------------------

    @property
    def upstream(self) -> UpstreamConnection:
        """The upstream connection that was used last."""
        return next((one for one in self.upstreams if one.receiver is not None), self.upstreams[-1])

    def upstream_received(self) -> bytes:
        """Return the bytes that reached the upstream since the last call, over all connections."""
        return b"".join(one.transport.take() for one in self.upstreams)

    def answer(self, *pieces: bytes) -> None:
        """The upstream answers, piece by piece, on the connection that is in use."""
        connection = self.upstream
        for piece in filter(None, pieces):
            if connection.transport.is_lost:
                return
            connection.data_received(piece)
            self.settle()

    def upstream_closes(self, exc: Exception | None = None) -> None:
        """The upstream ends the connection that is in use."""
        self._lose(self.upstream, exc)
        self.settle()

    @property
    def idle(self) -> int:
        """Upstream connections that may be used again."""
        return len([one for one in self.endpoint.idle if not one.transport.is_closing()])

    # --- the loop ---------------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Call what is due, then `connection_lost` of every protocol with a closed transport."""
        while self.later:
            self.later.pop(0)()
        while lost := [
            one
            for one in (*self.gateway.cap.connections, *self.upstreams)
            if one.transport.is_over and not one.transport.is_lost
        ]:
            for one in lost:
                self._lose(one)

    def pass_time(self, seconds: float) -> None:
        """Turn the wheel, this number of seconds later. Clients are checked before upstreams."""
        gateway = self.gateway
        gateway.clock.coarse_now += seconds
        timeouts.check_all(gateway.cap.connections, gateway.clock.coarse_now)
        gateway.pools.sweep(gateway.clock.coarse_now)
        self.settle()

    @property
    def cut(self) -> dict[str, int]:
        """Client connections that were cut, by reason."""
        return self.gateway.stats.cut

    def _lose(self, connection: Any, exc: Exception | None = None) -> None:
        if not connection.transport.is_lost:
            connection.transport.is_lost = True
            connection.transport.is_closed = True
            connection.connection_lost(exc)


_OWN = re.compile(rb"(?im)^(x-request-id|traceparent|date): [^\r\n]*\r\n")
_ID = re.compile(rb'"requestId":"[0-9a-f]{32}"')


def plain(data: bytes) -> bytes:
    """Without what differs with each request."""
    return _ID.sub(b'"requestId":""', _OWN.sub(b"", data))


class ForwardedRequest:
    """One request as an upstream reads it."""

    def __init__(self, head: bytes, body: bytes, *, is_whole: bool) -> None:
        self.head = head
        self.body = body
        self.is_whole = is_whole

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ForwardedRequest) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(self.head)

    def __repr__(self) -> str:
        return f"ForwardedRequest({self.head!r}, {self.body!r}, is_whole={self.is_whole})"


def requests(data: bytes) -> list[ForwardedRequest]:
    """Read requests strictly; the last one may be cut."""
    read = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end, f"half a head: {head!r}"
        lengths, codings = header(head, b"content-length"), header(head, b"transfer-encoding")
        assert len(lengths) + len(codings) <= 1, head
        body, is_whole = b"", True
        if codings:
            body, is_whole, data = _unchunked(data)
        elif lengths:
            size = int(lengths[0])
            body, is_whole, data = data[:size], len(data) >= size, data[size:]
        read.append(ForwardedRequest(plain(head + b"\r\n"), body, is_whole=is_whole))
    return read


class Answer:
    """One answer as a client reads it."""

    def __init__(self, status: int, fields: list[tuple[bytes, bytes]], body: bytes, *, is_whole: bool = True) -> None:
        self.status = status
        self.fields = fields
        self.body = body
        self.is_whole = is_whole

    def __getitem__(self, name: str) -> str:
        """The field's only value."""
        (value,) = self.all(name)
        return value

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))

    def all(self, name: str) -> list[str]:
        return [value.decode() for field, value in self.fields if field.lower() == name.lower().encode()]


def answers(data: bytes, *, to_head: bool = False) -> list[Answer]:
    """Read responses strictly (RFC 9112); the last one may be cut."""
    read = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end, f"half a head: {head!r}"
        line, *lines = head.split(b"\r\n")
        version, code, _ = line.split(b" ", 2)
        assert version == b"HTTP/1.1"
        fields = [tuple(one.split(b": ", 1)) for one in lines]
        response = Answer(int(code), fields, b"")  # type: ignore[arg-type]
        read.append(response)
        lengths, codings = response.all("content-length"), response.all("transfer-encoding")
        assert len(lengths) + len(codings) <= 1, head
        if response.status < 200 or response.status in (204, 304) or to_head:
            assert not codings or to_head
        elif codings:
            response.body, response.is_whole, data = _unchunked(data)
        elif lengths:
            size = int(lengths[0])
            response.is_whole = len(data) >= size
            response.body, data = data[:size], data[size:]
        else:
            assert response["connection"] == "close"
            response.body, data = data, b""
    return read


def _unchunked(data: bytes) -> tuple[bytes, bool, bytes]:
    body = b""
    while True:
        size, mark, data = data.partition(b"\r\n")
        if not mark:
            return body, False, b""
        length = int(size, 16)
        body += data[:length]
        if len(data) < length + 2:
            return body, False, b""
        assert data[length : length + 2] == b"\r\n"
        data = data[length + 2 :]
        if not length:
            return body, True, data


def answer(data: bytes, *, to_head: bool = False) -> Answer:
    """The one answer that this is."""
    responses = answers(data, to_head=to_head)
    assert len(responses) == 1, [response.status for response in responses]
    return responses[0]


def header(data: bytes, name: bytes) -> list[bytes]:
    """All values of a field in a request or response head."""
    lines = data.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return [line.partition(b": ")[2] for line in lines if line.partition(b":")[0].lower() == name.lower()]
