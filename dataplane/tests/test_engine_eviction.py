"""Caps of connections: how descriptors are shared out, and who goes when there are too many connections."""

from collections.abc import Callable
from typing import Any

import pytest
from fake_transport import Transport, Wire, get

from inferway_dataplane.engine.downstream.connection import ClientConnection
from inferway_dataplane.engine.downstream.eviction import RESERVE
from inferway_dataplane.gateway import Gateway
from inferway_dataplane.observability.access_log import AccessLog
from inferway_dataplane.settings import Settings

HALF = b"GET / HTTP/1.1\r\nHost: a.example\r\nX-A: "
BODY = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1000\r\n\r\n"


@pytest.mark.parametrize(
    ("descriptors", "setting", "clients", "upstreams"),
    [
        (1024, 10_000, 480, 480),
        (1_048_576, 10_000, 10_000, 1_048_576 - RESERVE - 10_000),
        (256, 10, 10, 182),
        (RESERVE + 9, 10_000, 4, 5),
        (RESERVE, 10_000, 1, 1),  # too few for anything, and it starts all the same
        (8, 10_000, 1, 1),
    ],
)
def test_descriptors_are_divided_between_clients_and_upstreams(
    descriptors: int, setting: int, clients: int, upstreams: int
) -> None:
    gateway = Gateway(Settings(max_connections=setting), AccessLog(0, enabled=False), descriptors)
    assert (gateway.cap.max_connections, gateway.cap.max_upstreams) == (clients, upstreams)
    assert gateway.pools.limiter.permits == upstreams


class FullGateway:
    """A gateway that takes this number of connections; `self.wire.client` is the first."""

    def __init__(self, most: int, **settings: Any) -> None:
        self.wire = Wire(max_connections=most, idle=16, **settings)
        self.gateway = self.wire.gateway

    def connect(self, *sent: bytes) -> ClientConnection | None:
        """One more, if there is room: as the listener asks."""
        if not self.gateway.cap.admit():
            return None
        client = self.wire.connect()
        self.wire.send(*sent, client=client)
        self.wire.settle()
        return client

    def cut(self) -> dict[str, int]:
        """Why connections were cut."""
        return self.gateway.stats.cut

    def pass_time(self, seconds: float) -> None:
        """As the wheel does."""
        self.gateway.clock.coarse_now += seconds


def is_cut(client: ClientConnection | None) -> bool:
    assert client is not None, "there was no room for it"
    aborted: bool = client.transport.is_aborted
    return aborted


def test_no_connection_is_evicted_below_the_limit() -> None:
    full = FullGateway(3)
    others = [full.connect() for _ in range(2)]
    assert not any(is_cut(one) for one in (full.wire.client, *others))
    assert full.cut() == {}


def test_connection_being_accepted_counts_once() -> None:
    full = FullGateway(3)
    full.connect(HALF)
    full.pass_time(2.0)
    coming = full.gateway.client_connection()
    full.gateway.cap.coming[coming] = lambda: None
    coming.connection_made(Transport())
    # Two others, and it: that the listener has not done with it yet makes no fourth of it.
    assert full.cut() == {}
    full.gateway.cap.coming[full.gateway.client_connection()] = lambda: None
    assert full.gateway.cap.admit()
    assert full.cut() == {"evicted_head": 1}


def test_evicted_connection_still_closing_does_not_count() -> None:
    full = FullGateway(2)
    full.connect(HALF)
    full.pass_time(2.0)
    admission = full.gateway.cap
    assert admission.admit()
    assert admission.admit()  # the evicted one is still closing: no other one is evicted
    assert full.cut() == {"evicted_head": 1}


def test_longest_idle_connection_is_evicted_first() -> None:
    full = FullGateway(3)
    full.wire.send(get())
    full.wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    full.pass_time(1.0)
    other = full.connect(get())
    full.wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    half = full.connect(HALF)
    full.pass_time(2.0)
    full.connect(get())
    assert is_cut(full.wire.client)
    full.connect(get())
    assert is_cut(other)
    assert not is_cut(half)
    assert full.cut() == {"evicted_idle": 2}


def test_oldest_incomplete_head_is_evicted_before_bodies() -> None:
    full = FullGateway(3)
    full.wire.send(BODY)
    old = full.connect(HALF)
    full.pass_time(1.0)
    new = full.connect(HALF)
    full.pass_time(2.0)
    full.connect(get())
    assert (is_cut(old), is_cut(new), is_cut(full.wire.client)) == (True, False, False)
    full.connect(get())
    assert (is_cut(new), is_cut(full.wire.client)) == (True, False)
    assert full.cut() == {"evicted_head": 2}


def test_slowest_body_is_evicted() -> None:
    full = FullGateway(2)
    full.wire.send(BODY, bytes(100))
    slow = full.connect(BODY, bytes(10))
    full.pass_time(2.0)
    full.connect(get())
    assert (is_cut(full.wire.client), is_cut(slow)) == (False, True)
    assert full.cut() == {"evicted_body": 1}


def test_body_rate_for_eviction_ignores_time_without_reading() -> None:
    full = FullGateway(2)
    full.wire.send(BODY, bytes(100))
    held = full.connect(BODY, bytes(50))
    full.pass_time(10.0)
    held.held_seconds = 8.0  # so 50 bytes in two seconds against 100 in ten
    full.connect(get())
    assert (is_cut(full.wire.client), is_cut(held)) == (True, False)


def test_new_connection_is_evicted_after_all_others() -> None:
    """Or those who come back by the hundred as soon as they are cut would push out who is about to ask (decision 0006)."""
    full = FullGateway(3)
    full.wire.send(BODY, bytes(100))
    full.pass_time(2.0)
    half, silent = full.connect(HALF), full.connect()
    silent.deadline = half.deadline  # the clock of connections that come is the machine's, which has not moved
    full.connect(get())
    assert (is_cut(full.wire.client), is_cut(half), is_cut(silent)) == (True, False, False)
    assert full.cut() == {"evicted_body": 1}


def test_complete_request_is_not_evicted_for_a_new_connection() -> None:
    full = FullGateway(2)
    full.wire.send(get())
    other = full.connect(get())
    assert full.connect() is None
    assert not is_cut(full.wire.client)
    assert not is_cut(other)
    assert full.cut() == {}
    assert len(full.gateway.cap.connections) == 2


def test_body_with_a_response_begun_is_not_evicted() -> None:
    full = FullGateway(1)
    full.wire.send(BODY)
    full.wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal")
    assert full.connect() is None
    assert not is_cut(full.wire.client)


def test_client_that_does_not_read_is_evicted() -> None:
    full = FullGateway(1)
    full.wire.send(get())
    full.wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\nbegin")
    assert full.connect() is None  # as long as it reads
    full.wire.client.pause_writing()
    full.pass_time(2.0)
    assert full.connect() is not None
    assert is_cut(full.wire.client)
    assert full.cut() == {"evicted_unread": 1}
    assert full.gateway.context.in_flight == 0


def test_victim_active_since_its_choice_is_checked_again() -> None:
    """Victims are chosen for several evictions at once, where there are many connections."""
    full = FullGateway(200)
    idle = [full.connect(HALF) for _ in range(199)]
    full.pass_time(2.0)
    full.connect()
    assert sum(is_cut(one) for one in (full.wire.client, *idle)) == 1
    chosen = [client for _, client in full.gateway.cap._victims]
    assert len(chosen) == 2
    nearest = chosen[-1]
    full.wire.send(b"1\r\n\r\n" if nearest in idle else get(), client=nearest)  # now it has a complete request
    full.connect()
    assert not is_cut(nearest)
    assert sum(is_cut(one) for one in (full.wire.client, *idle)) == 2


def test_busy_connections_are_ranked_once_a_tick() -> None:
    full = FullGateway(2)
    full.wire.send(get())
    full.connect(get())
    looks: list[ClientConnection] = []

    def counting(connection: ClientConnection) -> Callable[[], bool]:
        def is_closing() -> bool:
            looks.append(connection)  # a rank begins with this question
            return False

        return is_closing

    for connection in full.gateway.cap.connections:
        connection.transport.is_closing = counting(connection)
    for _ in range(5):
        assert full.connect() is None
    assert len(looks) == 2
    full.pass_time(0.25)
    full.connect()
    assert len(looks) == 4


def test_upstream_permit_evicts_only_clients_that_do_not_read() -> None:
    full = FullGateway(3)
    full.connect(HALF)
    assert not full.gateway.cap.free_upstream()
    full.wire.send(get())
    full.wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\nbegin")
    full.wire.client.pause_writing()
    full.pass_time(2.0)
    assert full.gateway.cap.free_upstream()
    assert is_cut(full.wire.client)


def test_closed_connection_is_evicted_first() -> None:
    wire = Wire()
    wire.client.transport.is_stuck = True
    wire.client.close()
    wire.pass_time(1.5)
    rank = wire.gateway.cap.rank(wire.client)
    assert rank is not None
    assert rank[0] == 0


def test_tls_handshake_is_evicted_like_an_incomplete_head() -> None:
    wire = Wire(max_connections=1)
    admission = wire.gateway.cap
    wire.leave()
    cut: list[str] = []
    shaking = wire.connect()
    wire.gateway.cap.connections.discard(shaking)
    shaking.transport = None
    admission.coming[shaking] = lambda: cut.append("cut")
    wire.pass_time(2.0)
    assert admission.admit()
    assert cut == ["cut"]
    assert not admission.coming
    assert wire.gateway.stats.cut == {"evicted_head": 1}
