"""Time limits of the upstream and of the client: which of them run, and whose failure an end is."""

import json
from typing import Any

import pytest
from fake_transport import BACKEND, OK, Wire, answer, answers, get, post

from inferway_contract.document import Rule, Timeouts

SLOW = Rule(name="all", backends=(BACKEND,), timeouts=Timeouts(backend_request=2_000, request=3_000))
UPLOAD = get(b"/", b"Content-Length: 100000", method=b"POST")
CHUNKED = get(b"/", b"Transfer-Encoding: chunked", method=b"POST")


class TimedWire(Wire):
    """A wire whose clocks advance only by `pass_time`."""

    def __init__(self, *rules: Rule, **settings: Any) -> None:
        self.seconds = 100.0
        super().__init__(*rules, now=lambda: self.seconds, **settings)

    def pass_time(self, seconds: float) -> None:
        self.seconds += seconds
        super().pass_time(seconds)


def failures(wire: Wire) -> int:
    """Failures in a row that are counted for the endpoint."""
    assert wire.gateway.context.runtime is not None
    [rule] = wire.gateway.context.runtime.rules
    return rule.backend_set.members[0].failures


def problem(wire: Wire) -> tuple[int, str]:
    response = answer(wire.client_received())
    return response.status, json.loads(response.body)["code"]


@pytest.mark.parametrize("head", [UPLOAD, CHUNKED], ids=["length", "chunked"])
def test_slow_upload_is_not_the_endpoints_time(head: bytes) -> None:
    wire = TimedWire(SLOW)
    wire.send(head)
    for _ in range(8):  # 16 s, at 10 kB each 2 s
        wire.pass_time(2)
        wire.send(b"x" * 10_000 if head is UPLOAD else b"2710\r\n" + b"x" * 10_000 + b"\r\n")
    assert wire.client_received() == b""
    wire.send(b"x" * 20_000 if head is UPLOAD else b"0\r\n\r\n")
    wire.pass_time(1.5)
    wire.answer(OK)
    assert answer(wire.client_received()).status == 200
    assert failures(wire) == 0


def test_time_of_the_endpoint_begins_with_the_whole_request() -> None:
    wire = TimedWire(SLOW)
    wire.send(UPLOAD)
    wire.pass_time(10)
    wire.send(b"x" * 100_000)
    wire.pass_time(1.9)
    assert wire.client_received() == b""
    wire.pass_time(0.6)
    assert problem(wire) == (504, "upstream_timeout")
    assert failures(wire) == 1


def test_upstream_that_takes_no_body_is_at_fault() -> None:
    wire = TimedWire(SLOW)
    wire.send(UPLOAD + b"x" * 70_000)
    wire.upstream.pause_writing()
    assert not wire.client.transport.is_reading
    wire.pass_time(1.9)
    assert wire.client_received() == b""
    wire.pass_time(0.6)
    assert problem(wire) == (504, "upstream_timeout")
    assert failures(wire) == 1


def test_upstream_that_takes_the_body_slowly_is_not_at_fault() -> None:
    wire = TimedWire(SLOW)
    wire.send(UPLOAD + b"x" * 10_000)
    for _ in range(9):
        wire.upstream.pause_writing()
        wire.pass_time(1.5)
        wire.upstream.resume_writing()
        wire.send(b"x" * 10_000)
    wire.answer(OK)
    assert answer(wire.client_received()).status == 200
    assert failures(wire) == 0


def test_client_that_stops_sending_is_answered_408() -> None:
    wire = TimedWire(SLOW)
    wire.send(UPLOAD + b"x" * 70_000)
    wire.pass_time(14)
    assert wire.client_received() == b""
    wire.pass_time(2)
    assert problem(wire) == (408, "request_too_slow")
    assert failures(wire) == 0
    assert wire.gateway.stats.rules[("demo/a", "all")].upstream_errors == {}


def test_client_that_does_not_read_stops_the_time_for_the_head() -> None:
    wire = TimedWire(SLOW)
    wire.send(get())
    wire.stop_reading()
    wire.pass_time(30)
    wire.read_again()
    wire.answer(OK)
    assert answer(wire.client_received()).status == 200
    wire.send(get())
    wire.pass_time(1)
    wire.stop_reading()
    wire.pass_time(30)
    wire.read_again()
    wire.pass_time(1.5)  # what was left of the time runs on
    assert problem(wire) == (504, "upstream_timeout")


def test_response_during_a_slow_upload_is_not_late() -> None:
    """An echo: each piece is returned as it comes."""
    wire = TimedWire(Rule(name="all", backends=(BACKEND,), timeouts=Timeouts(stream_idle=5_000)))
    wire.send(CHUNKED + b"1\r\na\r\n")
    wire.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
    for _ in range(4):
        wire.pass_time(9)
        wire.send(b"400\r\n" + b"x" * 1024 + b"\r\n" + b"2710\r\n" + b"x" * 10_000 + b"\r\n")
    wire.send(b"0\r\n\r\n")
    wire.answer(b"0\r\n\r\n")
    assert answer(wire.client_received()).is_whole


def test_stream_is_late_again_after_the_whole_request() -> None:
    wire = TimedWire(Rule(name="all", backends=(BACKEND,), timeouts=Timeouts(stream_idle=5_000)))
    wire.send(CHUNKED + b"1\r\na\r\n")
    wire.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
    wire.send(b"0\r\n\r\n")
    wire.pass_time(5.5)
    assert wire.was_aborted


def test_pipelined_request_has_its_whole_time() -> None:
    wire = TimedWire(
        Rule(name="all", backends=(BACKEND,), timeouts=Timeouts(backend_request=0, request=3_000, stream_idle=0))
    )
    wire.send(get() + get())
    wire.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
    wire.pass_time(60)
    wire.answer(b"0\r\n\r\n")
    wire.pass_time(1)
    wire.answer(OK)
    assert [one.status for one in answers(wire.client_received())] == [200, 200]
    assert failures(wire) == 0


def test_early_answer_announces_the_end_of_the_connection() -> None:
    wire = TimedWire(SLOW)
    wire.send(UPLOAD + b"x" * 1_000)
    wire.answer(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
    response = answer(wire.client_received())
    assert (response.status, response["connection"], response.body) == (413, "close", b"no")
    assert wire.idle == 0


@pytest.mark.parametrize("is_stuck", [True, False])
def test_connection_with_an_unsent_request_is_not_reused(is_stuck: bool) -> None:
    wire = TimedWire(SLOW)
    wire.send(post(b"/", b"x" * 70_000))
    if is_stuck:
        wire.upstream.transport.is_stuck = True
        wire.upstream.pause_writing()
    connection = wire.upstream
    wire.answer(OK)
    assert answer(wire.client_received()).status == 200
    assert connection.transport.is_aborted is is_stuck
    assert wire.idle == (0 if is_stuck else 1)


def test_ended_response_does_not_wait_for_a_stuck_upstream() -> None:
    wire = TimedWire(SLOW)
    wire.send(UPLOAD + b"x" * 1_000)
    wire.upstream.transport.is_stuck = True
    connection = wire.upstream
    wire.answer(OK)
    assert connection.transport.is_aborted
    assert wire.gateway.pools.connections == set()
