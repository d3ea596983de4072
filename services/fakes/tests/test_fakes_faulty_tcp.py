"""The TCP fault proxy: each fault as a client sees it, over real sockets."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from time import monotonic

import pytest

from inferway_fakes.faulty_tcp import Accepting, Ending, FaultyTcp, Flow
from inferway_fakes.upstream import Close, Upstream, answer
from inferway_testing.until import until

REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
DEADLINE = 5.0

Connect = Callable[[], socket.socket]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


@pytest.fixture
def tcp(upstream: Upstream) -> Iterator[FaultyTcp]:
    with FaultyTcp(upstream.port) as running:
        yield running


@pytest.fixture
def connect(tcp: FaultyTcp) -> Iterator[Connect]:
    with ExitStack() as stack:
        yield lambda: stack.enter_context(socket.create_connection(("127.0.0.1", tcp.port), DEADLINE))


def ask(client: socket.socket) -> bytes:
    client.sendall(REQUEST)
    return client.recv(65536)


def read_to_end(client: socket.socket) -> bytes:
    received = b""
    while piece := client.recv(65536):
        received += piece
    return received


def test_proxy_forwards_and_counts_connections(tcp: FaultyTcp, connect: Connect, upstream: Upstream) -> None:
    client = connect()
    assert ask(client).endswith(b"ok")
    assert ask(client).endswith(b"ok")
    connect()
    until(lambda: (tcp.connections, upstream.connections) == (2, 2), "both are counted")
    assert tcp.open_connections == 2
    assert (tcp.bytes_to_target, tcp.bytes_to_client) == (2 * len(REQUEST), 2 * len(b"".join(answer())))  # type: ignore[arg-type]
    client.close()
    until(lambda: tcp.open_connections == 1, "the end of one is seen")
    until(lambda: upstream.open_connections == 1, "and passed on")


def test_half_closed_connection_stays_usable(tcp: FaultyTcp, connect: Connect) -> None:
    client = connect()
    client.sendall(REQUEST)
    client.shutdown(socket.SHUT_WR)
    assert read_to_end(client).endswith(b"ok")


def test_refuse_keeps_the_port_and_open_connections(tcp: FaultyTcp, connect: Connect) -> None:
    client = connect()
    assert ask(client)
    tcp.change(accepting=Accepting.REFUSE)
    with pytest.raises(ConnectionRefusedError):
        connect()
    assert ask(client).endswith(b"ok")
    port = tcp.port
    tcp.change(accepting=Accepting.FORWARD)
    assert tcp.port == port
    assert ask(connect()).endswith(b"ok")


def test_drop_makes_connects_hang_until_it_ends(tcp: FaultyTcp, connect: Connect) -> None:
    tcp.change(accepting=Accepting.DROP)
    with pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", tcp.port), 0.3)
    tcp.change(accepting=Accepting.FORWARD)
    assert ask(connect()).endswith(b"ok")
    assert tcp.connections == 1


def test_silent_accepts_and_never_responds(tcp: FaultyTcp, connect: Connect, upstream: Upstream) -> None:
    tcp.change(accepting=Accepting.SILENT)
    client = connect()
    client.settimeout(0.3)
    with pytest.raises(TimeoutError):
        ask(client)
    assert tcp.connections == 1
    assert upstream.connections == 0


def test_refusing_target_resets_the_client() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        # The reset may arrive so early that connecting fails.
        with (
            FaultyTcp(nobody.getsockname()[1]) as tcp,
            pytest.raises(ConnectionResetError),
            socket.create_connection(("127.0.0.1", tcp.port), DEADLINE) as client,
        ):
            client.recv(1)


@pytest.mark.parametrize("direction", ["to_target", "to_client"])
def test_delay_holds_back_each_piece(tcp: FaultyTcp, connect: Connect, direction: str) -> None:
    client = connect()
    ask(client)
    tcp.change(**{direction: Flow(delay=0.3)})  # type: ignore[arg-type]
    began = monotonic()
    ask(client)
    assert 0.3 <= monotonic() - began < DEADLINE
    tcp.heal()
    began = monotonic()
    ask(client)
    assert monotonic() - began < 0.25


def test_bytes_per_second_limits_the_rate(tcp: FaultyTcp, connect: Connect, upstream: Upstream) -> None:
    upstream.script = lambda seen: [*answer(b"x" * 20_000), Close()]
    tcp.change(to_client=Flow(bytes_per_second=40_000))
    client = connect()
    client.sendall(REQUEST)
    began = monotonic()
    assert len(read_to_end(client)) > 20_000
    assert 0.4 < monotonic() - began < DEADLINE


@pytest.mark.parametrize("size", [0, 1, 25, 60])
def test_response_is_cut_with_fin_after_n_bytes(
    tcp: FaultyTcp, connect: Connect, upstream: Upstream, size: int
) -> None:
    upstream.script = lambda seen: answer(b"x" * 1000)
    tcp.change(to_client=Flow(cut_after=size))
    client = connect()
    client.sendall(REQUEST if size else b"")
    assert len(read_to_end(client)) == size
    until(lambda: not upstream.open_connections, "the target's side is closed too")


def test_response_is_cut_with_rst(tcp: FaultyTcp, connect: Connect) -> None:
    tcp.change(to_client=Flow(cut_after=10, cut=Ending.RST))
    client = connect()
    client.sendall(REQUEST)
    with pytest.raises(ConnectionResetError):
        read_to_end(client)


def test_request_is_cut_after_n_bytes(tcp: FaultyTcp, connect: Connect, upstream: Upstream) -> None:
    tcp.change(to_target=Flow(cut_after=len(REQUEST) - 1))
    client = connect()
    client.sendall(REQUEST)
    assert read_to_end(client) == b""
    assert upstream.seen == []
    assert tcp.bytes_to_target == len(REQUEST) - 1


@pytest.mark.parametrize("ending", list(Ending))
def test_armed_race_closes_the_reused_connection_once(
    tcp: FaultyTcp, connect: Connect, upstream: Upstream, ending: Ending
) -> None:
    client = connect()
    tcp.arm_race(ending)
    assert ask(client).endswith(b"ok")  # the first request of a connection is not affected
    if ending is Ending.FIN:
        assert ask(client) == b""
    else:
        with pytest.raises(ConnectionResetError):
            ask(client)
    assert len(upstream.seen) == 1
    tcp.arm_race(None)
    fresh = connect()
    assert ask(fresh)
    assert ask(fresh)


def test_stopped_flow_blocks_the_sender(upstream: Upstream) -> None:
    with (
        FaultyTcp(upstream.port, receive_buffer=4096) as tcp,
        socket.create_connection(("127.0.0.1", tcp.port), DEADLINE) as client,
    ):
        tcp.change(to_target=Flow(is_stopped=True))
        client.settimeout(0.3)
        sent = client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 67108864\r\n\r\n")
        try:
            while sent < 32 << 20:
                sent += client.send(b"x" * 65536)
        except TimeoutError:
            pass
        else:
            pytest.fail("32 MiB were taken by a flow that does not read")
        assert tcp.bytes_to_target == 0
        tcp.change(to_target=Flow())
        until(lambda: tcp.bytes_to_target == sent, "all of it moves again")


def test_cut_all_closes_every_open_connection(tcp: FaultyTcp, connect: Connect, upstream: Upstream) -> None:
    clients = [connect() for _ in range(3)]
    for client in clients:
        ask(client)
    assert tcp.cut_all(Ending.RST) == 3
    for client in clients:
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    until(lambda: not upstream.open_connections, "the targets' sides are closed")
    until(lambda: not tcp.open_connections, "nothing is open")


@pytest.mark.parametrize("fault", [{"delay": -1.0}, {"delay": 61.0}, {"bytes_per_second": -1}, {"cut_after": -1}])
def test_invalid_flow_is_rejected(fault: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(fault))):
        Flow(**fault)  # type: ignore[arg-type]


def test_freeze_open_stops_open_connections_but_not_new_ones(upstream):
    with FaultyTcp(upstream.port) as tcp, socket.create_connection(("127.0.0.1", tcp.port), 5) as old:
        request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
        old.sendall(request)
        assert old.recv(1000).startswith(b"HTTP/1.1 200")
        assert tcp.freeze_open() == 1
        old.sendall(request)
        with socket.create_connection(("127.0.0.1", tcp.port), 5) as new:
            new.sendall(request)
            assert new.recv(1000).startswith(b"HTTP/1.1 200")
        old.settimeout(0.2)
        with pytest.raises(TimeoutError):
            old.recv(1000)
        assert len(upstream.seen) == 2
