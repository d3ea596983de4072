"""Which connection gives way at a full port, against a model; and one connection's limits over real sockets, with a fake server."""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, cast

import pytest
import trustme
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from inferway_contract.connection_limits import Connections, Limits, Reason
from inferway_contract.limited_connection import LimitedConnection, waiting_for_client
from inferway_contract.tls_acceptor import TlsAcceptor
from inferway_testing.until import until_async

MOST = 3
LATE = 30.0
"""Seconds; a test that needs them has failed."""


class Connection:
    def __init__(self) -> None:
        self.is_open = True

    def abort(self) -> None:
        self.is_open = False


@given(st.lists(st.tuples(st.sampled_from(["admit", "occupy", "vacate", "remove"]), st.integers(0, 5))))
def test_longest_wait_gives_way_and_busy_stays(steps: list[tuple[str, int]]) -> None:
    closed: Counter[Reason] = Counter()
    connections = Connections(Limits(connections=MOST), lambda reason: closed.update([reason]))
    waiting: list[Connection] = []
    busy: list[Connection] = []
    expected: Counter[Reason] = Counter()
    for step, number in steps:
        known = [*waiting, *busy]
        if step == "admit":
            new = Connection()
            is_admitted = connections.admit(new)
            assert is_admitted is (len(busy) < MOST)
            if not is_admitted:
                expected["full"] += 1
                continue
            if len(known) == MOST:
                assert not waiting.pop(0).is_open
                expected["evicted"] += 1
            waiting.append(new)
        elif number < len(known):
            one = known[number]
            getattr(connections, step)(one)
            if step == "occupy" and one in waiting:
                waiting.remove(one)
                busy.append(one)
            elif step == "vacate":
                (waiting if one in waiting else busy).remove(one)
                waiting.append(one)
            elif step == "remove":
                (waiting if one in waiting else busy).remove(one)
                connections.occupy(one)
                connections.vacate(one)
        assert len(connections) == len(waiting) + len(busy) <= MOST
        assert all(one.is_open for one in (*waiting, *busy))
    assert closed == expected


# --- one connection


class FakeServer(asyncio.Protocol):
    """Answers each request by `answer`; None = not by itself."""

    def __init__(self, port: "Port") -> None:
        self.port = port
        self.transport: asyncio.Transport
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.port.servers.append(self)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.port.answer is not None and self.received.strip() and self.received.endswith(b"\r\n\r\n"):
            self.transport.write(self.port.answer)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.port.lost += 1


class Port:
    """A port with limits; `servers` are the protocols behind them."""

    def __init__(self, limits: Limits, tls: ssl.SSLContext | None = None, answer: bytes | None = b"ok") -> None:
        self.answer, self.tls = answer, tls
        self.closed: Counter[Reason] = Counter()
        self.connections = Connections(limits, lambda reason: self.closed.update([reason]))
        self.servers: list[FakeServer] = []
        self.clients: list[asyncio.StreamWriter] = []
        self.lost = 0

    async def __aenter__(self) -> "Port":
        listening = socket.create_server(("127.0.0.1", 0))
        self.address = listening.getsockname()
        if self.tls is not None:
            self._acceptor = TlsAcceptor(listening, self._connection, self.tls)
        else:
            self._server = await asyncio.get_running_loop().create_server(self._connection, sock=listening)
        return self

    def _connection(self) -> LimitedConnection:
        return LimitedConnection(self.connections, FakeServer(self))

    async def __aexit__(self, *error: object) -> None:
        if self.tls is not None:
            await self._acceptor.close()
        else:
            self._server.close()
        for client in self.clients:
            client.transport.abort()
            with suppress(OSError):
                await client.wait_closed()
        await self.connections.wait_closed(LATE)
        await until(lambda: self.lost == len(self.servers))

    async def client(self, tls: ssl.SSLContext | None = None) -> "Client":
        name = "127.0.0.1" if tls is not None else None
        reader, writer = await asyncio.open_connection(*self.address, ssl=tls, server_hostname=name)
        self.clients.append(writer)
        return Client(reader, writer)


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, data: bytes = b"GET / HTTP/1.1\r\n\r\n") -> bytes:
        self.writer.write(data)
        return await asyncio.wait_for(self.reader.readexactly(2), LATE)

    async def is_closed(self) -> bool:
        try:
            return await asyncio.wait_for(self.reader.read(1), LATE) == b""
        except ConnectionError:
            return True


async def until(condition: Callable[[], bool]) -> None:
    await until_async(condition, "the port's state")


def run(scenario: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
    """On asyncio's own loop, and on the one of the data plane."""
    for factory in (asyncio.new_event_loop, uvloop.new_event_loop):
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(scenario(*arguments))


SHORT = 0.1
LONG = LATE
BOUNDED_HEAD = Limits(connections=MOST, head=SHORT, handshake=LONG, request=LONG, response=LONG)


@pytest.mark.outside
@pytest.mark.parametrize(
    "pieces", [[], [b"G"], [b"\r\n"], [b"GET / HTTP/1.1\r\n"], [b"GET / HTTP/1.1\r\nX: y\r\n\r"], [b"\r\n\r\n\r\n"]]
)
def test_incomplete_first_head_is_cut_in_time(pieces: list[bytes]) -> None:
    async def scenario() -> None:
        async with Port(BOUNDED_HEAD) as port:
            client = await port.client()
            for piece in pieces:
                client.writer.write(piece)
            assert await client.is_closed()
            assert port.closed == {"head": 1}

    run(scenario)


@pytest.mark.outside
def test_dripped_head_is_cut_though_bytes_come() -> None:
    async def scenario() -> None:
        async with Port(BOUNDED_HEAD) as port:
            client = await port.client()
            assert await client.ask() == b"ok"
            dripping = asyncio.create_task(drip(client))
            assert await client.is_closed()
            assert port.closed == {"head": 1}
            dripping.cancel()

    async def drip(client: Client) -> None:
        while True:
            client.writer.write(b"a")
            await asyncio.sleep(SHORT / 5)

    run(scenario)


@pytest.mark.outside
def test_idle_connection_after_a_response_stays() -> None:
    async def scenario() -> None:
        limits = Limits(connections=MOST, head=SHORT, request=SHORT, response=SHORT)
        async with Port(limits) as port:
            client, watch = await port.client(), await port.client()
            assert await client.ask() == b"ok"
            assert await watch.is_closed()  # after the same time limit, without a request
            assert await client.ask(b"\r\nGET / HTTP/1.1\r\n\r\n") == b"ok"
            assert port.closed == {"head": 1}

    run(scenario)


@pytest.mark.outside
def test_head_in_any_two_pieces_is_recognised() -> None:
    request = b"\r\nGET / HTTP/1.1\r\nA: b\r\n\r\n"

    async def scenario(cut: int) -> None:
        async with Port(Limits(connections=1), answer=None) as port:
            client = await port.client()
            client.writer.write(request[:cut])
            await until(lambda: bool(port.servers) and len(port.servers[0].received) == cut)
            client.writer.write(request[cut:])
            await until(lambda: port.servers[0].received == request)
            assert await (await port.client()).is_closed(), "the place belongs to a busy connection"
            assert port.closed == {"full": 1}

    for cut in range(1, len(request)):
        run(scenario, cut)


@pytest.mark.outside
def test_full_port_evicts_by_age_and_keeps_busy() -> None:
    async def scenario() -> None:
        async with Port(Limits(connections=MOST), answer=None) as port:
            busy, idle, dripping = [await port.client() for _ in range(3)]
            busy.writer.write(b"GET / HTTP/1.1\r\n\r\n")
            dripping.writer.write(b"GET")
            await until(lambda: [bool(server.received) for server in port.servers] == [True, False, True])
            for late in (idle, dripping):
                newest = await port.client()
                assert await late.is_closed()
                newest.writer.write(b"GET")
            assert port.closed == {"evicted": 2}
            port.servers[0].transport.write(b"ok")
            assert await asyncio.wait_for(busy.reader.readexactly(2), LATE) == b"ok"

    run(scenario)


@pytest.mark.outside
def test_port_with_only_busy_connections_refuses_more() -> None:
    async def scenario() -> None:
        async with Port(Limits(connections=MOST), answer=None) as port:
            clients = [await port.client() for _ in range(MOST)]
            for client in clients:
                client.writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await until(lambda: all(server.received for server in port.servers) and len(port.servers) == MOST)
            assert await (await port.client()).is_closed()
            assert port.closed == {"full": 1}
            # A server that reads a body waits for its client.
            with waiting_for_client(port.servers[1].transport):
                assert not await was_refused(await port.client())
                assert await clients[1].is_closed()
            assert port.closed == {"full": 1, "evicted": 1}

    async def was_refused(client: Client) -> bool:
        client.writer.write(b"G")
        try:
            return await asyncio.wait_for(client.reader.read(1), 0.1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    run(scenario)


@pytest.mark.outside
def test_request_without_an_answer_is_cut_in_time() -> None:
    async def scenario() -> None:
        async with Port(Limits(connections=MOST, request=SHORT), answer=None) as port:
            client = await port.client()
            client.writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert await client.is_closed()
            assert port.closed == {"request": 1}

    run(scenario)


@pytest.mark.outside
def test_client_that_does_not_read_is_cut_in_time() -> None:
    async def scenario() -> None:
        async with Port(Limits(connections=MOST, response=SHORT), answer=bytes(64 << 20)) as port:
            raw = socket.create_connection(port.address)
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
            await until(lambda: port.closed == {"response": 1})
            raw.close()

    run(scenario)


# --- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.mark.outside
def test_tls_handshakes_count_and_are_cut_in_time(authority: trustme.CA, server_tls: ssl.SSLContext) -> None:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def scenario() -> None:
        async with Port(Limits(connections=MOST), server_tls) as port:
            silent = [await port.client() for _ in range(MOST)]
            silent[1].writer.write(b"\x16\x03\x01\x02\x00")  # the beginning of a ClientHello
            client = await port.client(trusting)
            assert await silent[0].is_closed()
            assert await client.ask() == b"ok"
            assert port.closed == {"evicted": 1}
            silent[2].writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert await silent[2].is_closed(), "not TLS"
            assert port.closed == {"evicted": 1}
        async with Port(Limits(connections=MOST, handshake=SHORT), server_tls) as port:
            assert await (await port.client()).is_closed()
            assert port.closed == {"handshake": 1}
            assert not port.servers

    run(scenario)
