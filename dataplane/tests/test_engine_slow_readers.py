"""How long an exchange lives whose client does not read, or has left. The wheel is turned by hand: `Wire.pass_time`."""

from fake_transport import BACKEND, OK, ONE_PATH, Wire, answer, get

from inferway_contract.document import Rule, Timeouts
from inferway_dataplane.engine.downstream import timeouts as deadlines

# --- clients that do not read ------------------------------------------------------------------------------------------------------

STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


def test_client_that_does_not_read_is_cut_and_upstream_released() -> None:
    wire = Wire(ONE_PATH)
    wire.send(get(b"/x"))
    wire.answer(STREAM)
    wire.stop_reading()
    wire.pass_time(59.9)
    assert not wire.was_aborted
    wire.pass_time(0.2)
    assert wire.was_aborted
    assert wire.cut == {"not_reading": 1}
    assert wire.upstream.transport.is_aborted
    assert (wire.endpoint.active, wire.idle) == (0, 0)


def test_client_that_reads_again_has_its_whole_timeout() -> None:
    wire = Wire(ONE_PATH)
    wire.send(get(b"/x"))
    wire.answer(STREAM)
    for _ in range(3):
        wire.stop_reading()
        wire.pass_time(40)
        wire.read_again()
        wire.pass_time(40)  # while it reads no clock runs
    wire.answer(b"0\r\n\r\n")
    assert answer(wire.client_received()).is_whole
    assert wire.is_open
    assert wire.cut == {}


def test_answered_client_that_does_not_read_is_cut() -> None:
    wire = Wire(ONE_PATH)
    wire.send(get(b"/x"))
    wire.answer(OK)
    wire.stop_reading()
    wire.pass_time(60.1)
    assert wire.was_aborted
    assert wire.cut == {"not_reading": 1}


def test_closing_connection_with_an_unread_rest_is_cut() -> None:
    wire = Wire(ONE_PATH)
    wire.client.transport.is_stuck = True  # with less in its buffer than would pause us
    wire.send(get(b"/x", b"Connection: close"))
    wire.answer(OK)
    assert wire.client.transport.has_eof
    wire.pass_time(59.9)
    assert not wire.was_aborted
    wire.pass_time(0.2)
    assert wire.was_aborted
    assert wire.cut == {"not_reading": 1}
    assert not wire.gateway.cap.connections


def test_closing_connection_read_partially_is_cut() -> None:
    wire = Wire(ONE_PATH)
    wire.client.transport.is_stuck = True
    wire.send(get(b"/x", b"Connection: close"))
    wire.answer(OK)
    wire.client.pause_writing()
    wire.client.resume_writing()
    wire.pass_time(60.1)
    assert wire.cut == {"not_reading": 1}


def test_slow_reader_of_a_local_reply_has_the_same_timeout() -> None:
    wire = Wire(ONE_PATH)
    wire.client.transport.is_stuck = True
    wire.send(get(b"/404", b"Connection: close"))
    wire.pass_time(deadlines.LINGER + 0.3)
    assert not wire.was_aborted


# --- the upstream's clock ------------------------------------------------------------------------------------------------------------

STREAMING = Rule(name="all", backends=(BACKEND,), timeouts=Timeouts(stream_idle=5_000))


def test_stream_idle_timeout_stops_while_upstream_is_paused() -> None:
    wire = Wire(STREAMING)
    wire.send(get())
    wire.answer(STREAM)
    wire.pass_time(4)
    wire.stop_reading()
    for _ in range(5):
        wire.pass_time(10)
    assert not wire.was_aborted
    wire.read_again()
    wire.pass_time(4.9)
    assert not wire.was_aborted
    wire.answer(b"0\r\n\r\n")
    assert answer(wire.client_received()).is_whole
    assert wire.is_open


def test_stream_idle_timeout_resumes_after_the_pause() -> None:
    wire = Wire(STREAMING)
    wire.send(get())
    wire.answer(STREAM)
    wire.stop_reading()
    wire.pass_time(20)
    wire.read_again()
    wire.pass_time(5.3)  # the wheel's grain is added, so that no stream ends early
    assert wire.was_aborted
    assert not answer(wire.client_received()).is_whole
    assert wire.gateway.stats.of("demo/a", "all").upstream_errors == {"upstream_timeout": 1}


def test_bytes_during_a_pause_do_not_start_the_idle_timeout() -> None:
    wire = Wire(STREAMING)
    wire.send(get())
    wire.answer(STREAM)
    wire.stop_reading()
    wire.answer(b"5\r\nhello\r\n")  # it was on its way
    wire.pass_time(20)
    assert not wire.was_aborted


# --- clients that have sent their FIN -------------------------------------------------------------------------------------------------


def test_response_within_the_grace_period_arrives_after_a_fin() -> None:
    wire = Wire(ONE_PATH)
    wire.send(get(b"/x"))
    wire.half_close()
    wire.pass_time(0.4)
    wire.answer(OK)
    assert answer(wire.client_received()).status == 200
    assert not wire.is_open
    assert wire.cut == {}


def test_half_closed_client_is_cut_after_the_grace_period() -> None:
    wire = Wire(ONE_PATH)
    wire.send(get(b"/x") + get(b"/x"))
    wire.half_close()
    wire.pass_time(0.75)
    assert wire.was_aborted
    assert wire.client_received() == b""
    assert wire.cut == {"left": 1}
    assert wire.upstream.transport.is_aborted
    assert (wire.endpoint.active, wire.idle) == (0, 0)
    assert wire.gateway.stats.of("demo/a", "r").by_method[b"GET"][499] == 1
    assert wire.upstream_received().count(b"GET /x ") == 1


def test_slow_reader_of_one_large_write_is_not_cut() -> None:
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
