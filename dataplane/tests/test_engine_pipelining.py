"""Many requests in one segment: later ones wait for their turn, most of them as bytes, and bodies keep their limits."""

from time import process_time

import pytest
from fake_transport import BACKEND, OK, Wire, answer, answers, get, post, requests

from inferway_contract.document import DirectResponse, Match, PathMatch, Rule

UP = Rule(name="up", matches=(Match(path=PathMatch(value="/up")),), backends=(BACKEND,), max_request_body=10)
CHUNKED = get(b"/up", b"Transfer-Encoding: chunked", method=b"POST")


def echo(number: int) -> Rule:
    return Rule(
        name=f"echo-{number}",
        matches=(Match(path=PathMatch(value=f"/{number}")),),
        respond=DirectResponse(status=200, body=str(number), content_type="text/plain"),
    )


# --- how many are parsed --------------------------------------------------------------------------------------------------------


def test_one_head_is_parsed_behind_a_request_in_flight() -> None:
    wire = Wire(UP)
    refused = get(b"/404")
    wire.send(get(b"/up") + refused * 5_000)
    assert not wire.client.transport.is_reading
    assert len(wire.client.waiting) == 1  # the rest is bytes, not requests
    wire.answer(OK)
    assert [one.status for one in answers(wire.client_received())] == [200] + [404] * 5_000
    assert wire.client.transport.is_reading
    assert wire.is_open


def test_bytes_arriving_later_stay_behind_buffered_bytes() -> None:
    wire = Wire(UP, echo(1), echo(2))
    wire.send(get(b"/up") + get(b"/1") * 1_000)
    wire.send(get(b"/2")[:10], get(b"/2")[10:])
    wire.answer(OK)
    assert [one.body for one in answers(wire.client_received())] == [b"ok"] + [b"1"] * 1_000 + [b"2"]


def test_client_of_many_tiny_requests_gives_others_their_turn() -> None:
    wire = Wire(echo(1))
    wire.client.data_received(get(b"/1", b"X: unknown") * 2_000)
    assert 0 < len(answers(wire.client_received())) <= 64
    assert not wire.client.transport.is_reading
    wire.settle()
    assert len(answers(wire.client_received())) >= 2_000 - 64
    assert wire.client.transport.is_reading
    wire.client.data_received(get(b"/1", b"X: other") * 100 + get(b"/1")[:10])
    first = len(answers(wire.client_received()))
    wire.send(get(b"/1")[10:])
    assert first < 100
    assert first + len(answers(wire.client_received())) == 101


def test_client_of_many_tiny_chunks_gives_others_their_turn() -> None:
    wire = Wire(Rule(name="all", backends=(BACKEND,)))
    wire.client.data_received(CHUNKED + b"1\r\na\r\n" * 5_000 + b"0\r\n\r\n")
    assert 0 < wire.upstream_received().count(b"a\r\n") < 2_000
    wire.settle()
    wire.answer(OK)
    assert answer(wire.client_received()).status == 200
    assert wire.client.transport.is_reading


def test_blank_lines_between_requests_cost_little() -> None:
    wire = Wire(echo(1))
    began = process_time()
    wire.send(b"\r\n" * 1_000_000 + b"\r", b"\n", get(b"/1"))
    assert process_time() - began < 0.2
    assert answer(wire.client_received()).body == b"1"


def test_each_upstream_request_holds_back_the_next_ones() -> None:
    wire = Wire(UP)
    wire.send((get(b"/up") + get(b"/404") * 1_000) * 3)
    for _ in range(3):
        assert wire.upstream_received().startswith(b"GET /up ")
        wire.answer(OK)
    assert [one.status for one in answers(wire.client_received())] == ([200] + [404] * 1_000) * 3
    assert wire.client.transport.is_reading


def test_client_that_does_not_read_gets_no_new_exchange() -> None:
    # The first write fills the client's buffer: the transport calls `pause_writing` from within it.
    wire = Wire(echo(1))
    writes = []

    def pause_at_first(data: bytes) -> None:
        writes.append(data)
        if len(writes) == 1:
            wire.client.pause_writing()

    wire.client.transport.on_write = pause_at_first
    request = get(b"/1")
    wire.send(request * 2_000)
    assert len(writes) == 1
    assert not wire.client.transport.is_reading
    assert not wire.client.waiting  # the rest is bytes, not requests
    wire.client.resume_writing()
    wire.settle()
    assert len(answers(wire.client_received())) == 2_000
    assert wire.client.transport.is_reading


def test_requests_wait_while_an_earlier_response_is_unread() -> None:
    wire = Wire(UP, echo(1))
    wire.send(get(b"/up") + get(b"/1") * 3)

    def pause_once(data: bytes) -> None:
        wire.client.transport.on_write = None
        wire.client.pause_writing()

    wire.client.transport.on_write = pause_once
    wire.answer(OK)
    assert [response.body for response in answers(wire.client_received())] == [b"ok"]
    wire.client.resume_writing()
    wire.settle()
    assert [response.body for response in answers(wire.client_received())] == [b"1"] * 3
    assert wire.client.transport.is_reading


def test_client_that_does_not_read_is_answered_once_it_reads() -> None:
    wire = Wire(echo(1))
    wire.stop_reading()
    assert not wire.client.transport.is_reading
    wire.send(get(b"/1"))  # it was on its way
    assert wire.client_received() == b""
    wire.read_again()
    assert wire.client.transport.is_reading
    assert len(answers(wire.client_received())) == 1


def test_client_reading_in_bursts_gets_all_responses_in_order() -> None:
    wire = Wire(*[echo(number) for number in range(10)])
    room = 0

    def pause_when_full(data: bytes) -> None:
        nonlocal room
        room -= 1
        if not room:
            wire.client.pause_writing()

    wire.client.transport.on_write = pause_when_full
    room = 700
    wire.send(b"".join(get(b"/%d" % (number % 10)) for number in range(5_000)))
    received = wire.client_received()
    for _ in range(10):
        if wire.client.is_write_paused:
            room = 700
            wire.client.resume_writing()
            wire.settle()
            received += wire.client_received()
    assert [response.body for response in answers(received)] == [b"%d" % (number % 10) for number in range(5_000)]


@pytest.mark.parametrize("is_read", [True, False], ids=["read", "polled behind the rest"])
def test_requests_before_a_fin_are_all_answered(is_read: bool) -> None:
    wire = Wire(UP)
    wire.send(get(b"/up") + get(b"/404") * 3)
    if is_read:
        assert wire.client.eof_received()
    else:
        wire.client.expect_leaving(wire.gateway.clock.now())
    wire.answer(OK)
    assert [one.status for one in answers(wire.client_received())] == [200, 404, 404, 404]
    assert wire.client.transport.is_closing() == is_read  # else the loop reads the FIN next
    if not is_read:
        wire.half_close()
        assert wire.client.transport.is_closing()


# --- bodies of waiting requests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("apart", [False, True], ids=["in one segment", "apart"])
@pytest.mark.parametrize("end", [b"", b"0\r\n\r\n"], ids=["unfinished", "whole"])
def test_chunked_body_of_a_waiting_request_is_bounded(apart: bool, end: bytes) -> None:
    wire = Wire(UP, idle=2)
    pieces = (get(b"/up") + CHUNKED, b"6\r\n012345\r\n", b"6\r\n012345\r\n" + end)
    wire.send(*(pieces if apart else [b"".join(pieces)]))
    assert wire.upstream_received().startswith(b"GET /up ")
    wire.answer(OK)
    assert [response.status for response in answers(wire.client_received())] == [200, 413]
    assert not any(request.is_whole for request in requests(wire.upstream_received()))
    assert wire.endpoint.active == 0
    assert not wire.is_open


def test_chunked_body_of_exactly_the_bound_passes_after_waiting() -> None:
    wire = Wire(UP)
    wire.send(get(b"/up") + CHUNKED + b"6\r\n012345\r\n4\r\n6789\r\n0\r\n\r\n")
    wire.upstream_received()
    wire.answer(OK)
    assert wire.upstream_received().endswith(b"\r\n\r\n6\r\n012345\r\n4\r\n6789\r\n0\r\n\r\n")
    wire.answer(OK)
    assert [response.status for response in answers(wire.client_received())] == [200, 200]


def test_oversized_content_length_is_rejected_in_its_turn() -> None:
    wire = Wire(UP)
    wire.send(get(b"/up") + post(b"/up", b"0123456789a") + get(b"/up"))
    wire.upstream_received()
    wire.answer(OK)
    assert [response.status for response in answers(wire.client_received())] == [200, 413]
    assert wire.upstream_received() == b""
    assert not wire.is_open


def test_shutdown_closes_requests_behind_an_unread_response() -> None:
    wire = Wire()
    wire.send(get(b"/1") + get(b"/2"))
    wire.stop_reading()
    wire.answer(OK)
    wire.client.shutdown()
    wire.read_again()
    assert not wire.client.waiting
    assert not wire.is_open
