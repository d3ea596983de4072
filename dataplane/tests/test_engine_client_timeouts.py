"""How long a client may take. The wheel is turned by hand: `Wire.pass_time`."""

import json

import pytest
from fake_transport import OK, ONE_PATH, Wire, answer, answers, get, post

from inferway_dataplane.engine.downstream import timeouts

CHUNKED = get(b"/x", b"Transfer-Encoding: chunked", method=b"POST")


def problem_of(wire: Wire) -> tuple[int, str]:
    response = answer(wire.client_received())
    return response.status, json.loads(response.body)["code"]


# --- heads ----------------------------------------------------------------------------------------------------------------------


def test_head_timeout_is_ten_seconds_from_the_first_byte() -> None:
    wire = Wire(ONE_PATH)
    wire.pass_time(5)
    wire.send(b"GET /x HTTP/1.1\r\n")
    wire.pass_time(9.9)
    wire.send(b"host: a\r\n")  # which wins no time
    assert wire.client_received() == b""
    wire.pass_time(0.2)
    assert problem_of(wire) == (408, "head_timeout")
    assert not wire.is_open


def test_head_begun_behind_a_request_in_flight_times_out() -> None:
    wire = Wire(ONE_PATH)
    wire.send(get(b"/x") + b"GET /b HTTP/1.1\r\nX")
    wire.answer(OK)
    assert answer(wire.client_received()).status == 200
    wire.pass_time(9.9)
    assert wire.client_received() == b""
    wire.pass_time(0.2)
    assert problem_of(wire) == (408, "head_timeout")
    assert not wire.is_open


def test_head_timeout_in_flight_is_answered_after_the_response() -> None:
    wire = Wire(ONE_PATH)
    wire.send(get(b"/x") + b"GET /b HTTP/1.1\r\nX")
    wire.pass_time(10.1)
    assert wire.client_received() == b""
    wire.answer(OK)
    assert [response.status for response in answers(wire.client_received())] == [200, 408]
    assert not wire.is_open


def test_head_begun_behind_an_answered_request_times_out() -> None:
    wire = Wire(ONE_PATH)
    wire.send(get(b"/404") + b"GET /b HTTP/1.1\r\nX")
    assert answer(wire.client_received()).status == 404
    wire.pass_time(10.1)
    assert problem_of(wire) == (408, "head_timeout")


BEGINNINGS = {  # what stands behind a request in flight; the rest of it
    "a head that we do not read on": (get(b"/404") + get(b"/404")[:-4], b"\r\n\r\n", 2),
    "a head of which a part waits as bytes": (get(b"/404") * 1_000, b"", 1_000),
}


@pytest.mark.parametrize(("begun", "rest", "count"), BEGINNINGS.values(), ids=BEGINNINGS)
def test_head_timeout_ignores_time_without_reading(begun: bytes, rest: bytes, count: int) -> None:
    wire = Wire(ONE_PATH)
    wire.send(get(b"/x") + begun)
    assert not wire.client.transport.is_reading
    for _ in range(4):
        wire.pass_time(9)
    wire.answer(OK)
    wire.send(rest)
    assert [response.status for response in answers(wire.client_received())] == [200] + [404] * count
    assert wire.is_open


@pytest.mark.parametrize("first", [b"", get(b"/404")], ids=["from the start", "after a request"])
def test_blank_lines_do_not_extend_the_timeout(first: bytes) -> None:
    wire = Wire(ONE_PATH, head_timeout=10, idle_timeout=10)
    wire.send(first)
    wire.client_received()
    for _ in range(3):
        wire.pass_time(3)
        wire.send(b"\r\n\r\n")
    assert wire.is_open
    wire.pass_time(1.1)
    assert not wire.is_open
    assert wire.client_received() == b""  # nothing was asked, so nothing is answered


def test_head_timeout_starts_after_blank_lines() -> None:
    wire = Wire(ONE_PATH)
    wire.send(b"\r\n")
    wire.pass_time(9)
    wire.send(b"GET /404 HTTP/1.1\r\n")
    wire.pass_time(9)
    wire.send(b"host: a\r\n\r\n")
    assert answer(wire.client_received()).status == 404


# --- bodies ---------------------------------------------------------------------------------------------------------------------


def send_slowly(wire: Wire, size: int, times: int = 1, every: float = 5.0) -> None:
    """Send pieces of the body of this size, as often as this."""
    for _ in range(times):
        wire.pass_time(every)
        wire.send(b"x" * size)


def test_body_below_the_minimum_rate_is_answered_408() -> None:
    wire = Wire(ONE_PATH)
    wire.send(get(b"/x", b"Content-Length: 1000000", method=b"POST"))
    send_slowly(wire, 5_000, 5)  # 1,000 bytes a second: too slow, but 25 s are not enough for an average
    assert wire.client_received() == b""
    send_slowly(wire, 5_000, 2)
    assert problem_of(wire) == (408, "request_too_slow")
    assert not wire.is_open
    assert wire.upstream.transport.is_aborted
    assert wire.endpoint.active == 0


def test_chunked_body_below_the_minimum_rate_is_answered_408() -> None:
    wire = Wire(ONE_PATH)
    wire.send(CHUNKED)
    for _ in range(7):
        wire.pass_time(5)
        wire.send(b"1\r\nx\r\n")
    assert problem_of(wire) == (408, "request_too_slow")


def test_body_above_the_minimum_rate_continues() -> None:
    wire = Wire(ONE_PATH)
    wire.send(get(b"/x", b"Content-Length: 1000000", method=b"POST"))
    send_slowly(wire, 5_200, 20)
    assert wire.client_received() == b""
    assert wire.endpoint.active == 1


def test_minimum_body_rate_follows_the_settings() -> None:
    wire = Wire(ONE_PATH, body_rate=10, body_rate_after=5)
    wire.send(get(b"/x", b"Content-Length: 1000000", method=b"POST"))
    send_slowly(wire, 60, 5)
    send_slowly(wire, 1)
    assert wire.client_received() == b""
    send_slowly(wire, 1)
    assert problem_of(wire) == (408, "request_too_slow")


def test_body_rate_ignores_time_without_reading() -> None:
    wire = Wire(ONE_PATH)
    wire.send(get(b"/x", b"Content-Length: 1000000", method=b"POST"))
    send_slowly(wire, 5_200, 5)
    wire.upstream.pause_writing()
    for _ in range(10):
        wire.pass_time(10)  # nor is it an idle body
    wire.upstream.resume_writing()
    send_slowly(wire, 5_200, 5)
    assert wire.client_received() == b""
    send_slowly(wire, 100, 5)  # and the time after it is the client's again
    assert problem_of(wire) == (408, "request_too_slow")


def test_body_rate_ignores_time_behind_another_request() -> None:
    wire = Wire(ONE_PATH)
    wire.send(get(b"/x"), post(b"/x", b"x" * 100_000)[:-90_000])
    assert not wire.client.transport.is_reading
    for _ in range(6):
        wire.pass_time(10)
    wire.answer(OK)
    wire.send(b"x" * 1_000)
    assert answer(wire.client_received()).status == 200
    assert wire.endpoint.active == 1


def test_body_rate_ignores_time_of_buffered_bytes() -> None:
    wire = Wire(ONE_PATH)
    wire.send(get(b"/x") + post(b"/x", b"x" * 100_000)[:-40_000])
    for _ in range(6):
        wire.pass_time(10)
    wire.answer(OK)
    assert answer(wire.client_received()).status == 200
    assert wire.endpoint.active == 1


# --- the rest of a refused request -------------------------------------------------------------------------------------------------

DRAINED = 64 << 10


def request_without_a_route(length: int) -> bytes:
    return get(b"/404", b"Content-Length: %d" % length, method=b"POST")


def test_small_rejected_body_is_read_and_dropped() -> None:
    wire = Wire(ONE_PATH)
    wire.send(request_without_a_route(DRAINED))
    response = answer(wire.client_received())
    assert (response.status, "connection" in response) == (404, False)
    wire.send(*[b"x" * 1024] * 63, b"x" * 1023, b"x" + get(b"/x"))
    assert wire.is_open
    assert wire.upstream_received().startswith(b"GET /x ")
    wire.answer(OK)
    assert answer(wire.client_received()).status == 200


@pytest.mark.parametrize(
    "request_",
    [request_without_a_route(DRAINED + 1), get(b"/404", b"Transfer-Encoding: chunked", method=b"POST") + b"1\r\nx\r\n"],
    ids=["larger", "chunked"],
)
def test_rejected_body_that_may_be_long_closes_the_connection(request_: bytes) -> None:
    wire = Wire(ONE_PATH)
    wire.send(request_)
    response = answer(wire.client_received())
    assert (response.status, response["connection"]) == (404, "close")
    assert not wire.is_open
    assert not wire.client.transport.is_closing()  # at once would be a reset: it may still send a little
    wire.send(b"x" * 1000, get(b"/x"))
    assert wire.upstream_received() == wire.client_received() == b""
    wire.pass_time(timeouts.LINGER + 0.3)
    assert wire.was_aborted
    assert wire.cut == {"lingering": 1}


def test_client_that_stops_a_rejected_body_is_cut() -> None:
    wire = Wire(ONE_PATH)
    wire.send(request_without_a_route(DRAINED))
    wire.send(b"x")
    assert answer(wire.client_received()).status == 404
    wire.pass_time(14.9)
    assert wire.is_open
    wire.pass_time(0.2)
    assert wire.was_aborted
    assert wire.cut == {"lingering": 1}


def test_client_that_drips_a_rejected_body_is_cut() -> None:
    wire = Wire(ONE_PATH)
    wire.send(request_without_a_route(DRAINED))
    send_slowly(wire, 1, 12)
    assert wire.was_aborted
    assert wire.cut == {"lingering": 1}


# --- limits end with what they guard --------------------------------------------------------------------------------------------


def test_body_limit_ends_with_the_body() -> None:
    wire = Wire(ONE_PATH)
    wire.send(get(b"/x", b"Content-Length: 1", method=b"POST"), b"x")  # head and body apart
    for _ in range(6):
        wire.pass_time(10)  # the upstream thinks
    assert wire.client_received() == b""
    wire.answer(OK)
    wire.send(get(b"/x", b"Content-Length: 2", method=b"POST"), b"yy")
    wire.answer(OK)
    assert [response.status for response in answers(wire.client_received())] == [200, 200]
    assert wire.is_open


def test_body_limit_begins_again_when_reading_continues() -> None:
    wire = Wire(ONE_PATH)
    wire.send(get(b"/x", b"Content-Length: 100000", method=b"POST"), b"x" * 60_000)
    wire.pass_time(1)
    wire.upstream.pause_writing()
    wire.pass_time(13.5)
    wire.upstream.resume_writing()
    wire.pass_time(1)  # 15.5 s after the last piece, of which the gateway read for two
    assert wire.client_received() == b""
    wire.pass_time(14.5)
    assert problem_of(wire) == (408, "request_too_slow")


@pytest.mark.parametrize("is_stopping", [False, True], ids=["", "while the process stops"])
def test_unread_limit_ends_when_the_client_reads(is_stopping: bool) -> None:
    wire = Wire(ONE_PATH)
    wire.send(get(b"/x"))
    if is_stopping:
        wire.client.shutdown()
    wire.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
    wire.stop_reading()
    wire.pass_time(30)
    wire.read_again()
    for _ in range(3):
        wire.pass_time(29)
        wire.answer(b"2\r\nok\r\n")
    assert not wire.was_aborted
    wire.answer(b"0\r\n\r\n")
    assert answer(wire.client_received()).is_whole


def test_fin_under_tls_does_not_end_a_response_in_order() -> None:
    wire = Wire(ONE_PATH)
    wire.client.transport.can_half_close = False
    wire.send(b"GET /x HTTP/1.0\r\nhost: a\r\n\r\n")
    wire.answer(b"HTTP/1.1 200 OK\r\n\r\nthe beginning")  # its end is the end of the connection
    wire.half_close()
    assert wire.was_aborted
