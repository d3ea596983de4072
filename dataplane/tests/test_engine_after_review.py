"""Holds that outlive their reason, clocks that run too fast, permits that do not come back."""

import asyncio
from typing import Any

import pytest
from fake_transport import BACKEND, OK, Wire, answers, get, post

from inferway_contract.document import Retry, Rule, Timeouts
from inferway_dataplane.core.messages.chunked_body import ChunkedBodyScanner
from inferway_dataplane.core.upstreams.backends import Credential
from inferway_dataplane.engine.upstream.connection_limit import ConnectionLimiter


@pytest.mark.parametrize("is_bytewise", [False, True])
def test_p9_seventeen_digits_are_refused_however_they_come(is_bytewise: bool) -> None:
    wire = Wire()
    head = get(b"/first", b"Transfer-Encoding: chunked", method=b"POST")
    data = head + b"00000000000000005\r\nhello\r\n0\r\n\r\n" + get(b"/second")
    wire.send(*([bytes([byte]) for byte in data] if is_bytewise else [data]))
    assert [own.status for own in answers(wire.got())] == [400]
    assert b"/second" not in wire.asked()
    assert not wire.is_open


def test_a_size_that_cannot_be_read_is_told() -> None:
    for size in (b"x", b"-1", b"0" * 17, b"", b"1_0"):
        extent = ChunkedBodyScanner()
        extent.scan(size + b"\r\nhello\r\n", 0)
        assert extent.is_lost, size


def test_a_hold_of_an_upstream_ends_with_it() -> None:
    wire = Wire(Rule(name="all", backends=(BACKEND,), timeouts=Timeouts(backend_request=1000)))
    wire.send(post(b"/", b"x" * 60_000)[:-59_900])
    wire.upstream.pause_writing()
    assert not wire.client.transport.is_reading
    wire.pass_time(1.3)
    assert [own.status for own in answers(wire.got())] == [504]
    assert wire.client.transport.is_reading
    assert not wire.client.holds


def test_a_stop_does_not_strand_who_waits_behind_an_unread_answer() -> None:
    wire = Wire()
    wire.send(get(b"/1") + get(b"/2"))
    wire.stop_reading()
    wire.answer(OK)
    wire.client.shutdown()
    wire.read_again()
    assert not wire.client.waiting
    assert not wire.is_open


def test_who_reads_much_of_what_was_written_at_once_is_not_cut() -> None:
    wire = Wire()
    transport = wire.client.transport
    transport.is_stuck = True
    transport.written += b"x" * 10_000_000
    wire.client.pause_writing()
    for _ in range(3):
        wire.pass_time(59)
        del transport.written[:1_000_000]
        wire.pass_time(1.5)
        assert not wire.was_aborted
    wire.pass_time(61)  # what was read last still counts
    wire.pass_time(61)
    assert wire.was_aborted
    assert wire.gateway.stats.cut == {"not_reading": 1}


def test_a_connection_that_we_have_closed_is_the_first_to_go() -> None:
    wire = Wire()
    wire.client.transport.is_stuck = True
    wire.client.close()
    wire.pass_time(1.5)
    rank = wire.gateway.cap.rank(wire.client)
    assert rank is not None
    assert rank[0] == 0


def test_a_handshake_may_be_evicted_as_an_incomplete_head() -> None:
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


def test_under_tls_a_fin_ends_the_connection() -> None:
    wire = Wire()
    wire.client.transport.can_half_close = False
    wire.send(get(b"/"))
    assert wire.client.eof_received() is False


def test_a_connection_whose_answer_is_not_wanted_rests_reading() -> None:
    wire = Wire(Rule(name="all", backends=(BACKEND,), retry=Retry(statuses=(503,))))
    wire.send(get(b"/"))
    own = wire.upstream
    own.pause()
    own.forget()
    own.is_complete = own.is_reusable = True
    own._end_forgotten()
    assert own.endpoint.active == 0
    assert own.transport.is_reading
    assert not own.is_paused


def test_who_gives_up_waiting_for_a_seat_leaves_the_line() -> None:
    async def test() -> None:
        room: ConnectionLimiter[Any] = ConnectionLimiter(1, lambda: None)
        endpoint = object()
        await room.enter(endpoint)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await room.enter(endpoint)
        assert not room.waiting

    asyncio.run(test())


def test_look_alikes_of_a_credential_are_removed_with_it() -> None:
    fields = [(b"X_Model_Key", b"mine"), (b"X-Model_Key", b"mine"), (b"x-other", b"1")]
    assert Credential("x-model-key", "", "f").apply(fields, b"s") == [(b"x-other", b"1"), (b"x-model-key", b"s")]
