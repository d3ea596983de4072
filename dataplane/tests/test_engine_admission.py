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
def test_descriptors_are_shared_out_beforehand(descriptors: int, setting: int, clients: int, upstreams: int) -> None:
    gateway = Gateway(Settings(max_connections=setting), AccessLog(0, enabled=False), descriptors)
    assert (gateway.cap.max_connections, gateway.cap.max_upstreams) == (clients, upstreams)
    assert gateway.pools.limiter.permits == upstreams


class Full:
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


def test_as_long_as_there_is_room_nobody_goes() -> None:
    full = Full(3)
    others = [full.connect() for _ in range(2)]
    assert not any(is_cut(one) for one in (full.wire.client, *others))
    assert full.cut() == {}


def test_who_is_accepted_and_not_yet_a_connection_takes_a_place_and_only_one() -> None:
    full = Full(3)
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


def test_who_is_cut_and_not_yet_gone_takes_none() -> None:
    full = Full(2)
    full.connect(HALF)
    full.pass_time(2.0)
    admission = full.gateway.cap
    assert admission.admit()
    assert admission.admit()  # the evicted one is still closing: no other one is evicted
    assert full.cut() == {"evicted_head": 1}


def test_who_waits_the_longest_for_a_next_request_goes_first() -> None:
    full = Full(3)
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


def test_an_incomplete_head_goes_before_a_body_and_the_oldest_one_first() -> None:
    full = Full(3)
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


def test_of_bodies_the_slowest_goes() -> None:
    full = Full(2)
    full.wire.send(BODY, bytes(100))
    slow = full.connect(BODY, bytes(10))
    full.pass_time(2.0)
    full.connect(get())
    assert (is_cut(full.wire.client), is_cut(slow)) == (False, True)
    assert full.cut() == {"evicted_body": 1}


def test_the_time_in_which_we_did_not_read_is_not_the_client_s() -> None:
    full = Full(2)
    full.wire.send(BODY, bytes(100))
    held = full.connect(BODY, bytes(50))
    full.pass_time(10.0)
    held.held_seconds = 8.0  # so 50 bytes in two seconds against 100 in ten
    full.connect(get())
    assert (is_cut(full.wire.client), is_cut(held)) == (True, False)


def test_who_has_just_come_goes_after_all_others() -> None:
    """Or those who come back by the hundred as soon as they are cut would push out who is about to ask (decision 0006)."""
    full = Full(3)
    full.wire.send(BODY, bytes(100))
    full.pass_time(2.0)
    half, silent = full.connect(HALF), full.connect()
    silent.deadline = half.deadline  # the clock of connections that come is the machine's, which has not moved
    full.connect(get())
    assert (is_cut(full.wire.client), is_cut(half), is_cut(silent)) == (True, False, False)
    assert full.cut() == {"evicted_body": 1}


def test_a_complete_request_keeps_its_place_and_the_new_one_is_refused() -> None:
    full = Full(2)
    full.wire.send(get())
    other = full.connect(get())
    assert full.connect() is None
    assert not is_cut(full.wire.client)
    assert not is_cut(other)
    assert full.cut() == {}
    assert len(full.gateway.cap.connections) == 2


def test_a_body_whose_answer_has_begun_is_not_evicted() -> None:
    full = Full(1)
    full.wire.send(BODY)
    full.wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal")
    assert full.connect() is None
    assert not is_cut(full.wire.client)


def test_an_answer_that_is_not_taken_does_not_protect() -> None:
    full = Full(1)
    full.wire.send(get())
    full.wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\nbegin")
    assert full.connect() is None  # as long as it reads
    full.wire.client.pause_writing()
    full.pass_time(2.0)
    assert full.connect() is not None
    assert is_cut(full.wire.client)
    assert full.cut() == {"evicted_unread": 1}
    assert full.gateway.context.in_flight == 0


def test_who_did_something_since_it_was_chosen_is_looked_at_again() -> None:
    """Victims are chosen for several evictions at once, where there are many connections."""
    full = Full(200)
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


def test_a_crowd_of_busy_ones_is_looked_at_once_a_turn() -> None:
    full = Full(2)
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


def test_for_an_upstream_only_those_go_that_do_not_take_an_answer() -> None:
    full = Full(3)
    full.connect(HALF)
    assert not full.gateway.cap.free_upstream()
    full.wire.send(get())
    full.wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\nbegin")
    full.wire.client.pause_writing()
    full.pass_time(2.0)
    assert full.gateway.cap.free_upstream()
    assert is_cut(full.wire.client)
