"""How long an exchange lives whose client does not read, or has left. The wheel is turned by hand: `Wire.pass_time`."""

from fake_transport import BACKEND, OK, ONE_PATH, Wire, answer, get

from inferway_contract.document import Rule, Timeouts
from inferway_dataplane.engine.downstream import timeouts as deadlines

# --- clients that do not read ------------------------------------------------------------------------------------------------------

STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


def test_a_client_that_does_not_read_is_cut_and_its_upstream_released() -> None:
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


def test_a_client_that_reads_again_has_all_its_time_again() -> None:
    wire = Wire(ONE_PATH)
    wire.send(get(b"/x"))
    wire.answer(STREAM)
    for _ in range(3):
        wire.stop_reading()
        wire.pass_time(40)
        wire.read_again()
        wire.pass_time(40)  # while it reads no clock runs
    wire.answer(b"0\r\n\r\n")
    assert answer(wire.got()).is_whole
    assert wire.is_open
    assert wire.cut == {}


def test_a_client_that_is_answered_and_does_not_read_is_cut() -> None:
    wire = Wire(ONE_PATH)
    wire.send(get(b"/x"))
    wire.answer(OK)
    wire.stop_reading()
    wire.pass_time(60.1)
    assert wire.was_aborted
    assert wire.cut == {"not_reading": 1}


def test_a_closed_connection_whose_client_never_takes_the_rest_is_cut() -> None:
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


def test_who_reads_a_little_of_a_closed_connection_is_cut_all_the_same() -> None:
    wire = Wire(ONE_PATH)
    wire.client.transport.is_stuck = True
    wire.send(get(b"/x", b"Connection: close"))
    wire.answer(OK)
    wire.client.pause_writing()
    wire.client.resume_writing()
    wire.pass_time(60.1)
    assert wire.cut == {"not_reading": 1}


def test_who_reads_an_answer_of_our_own_slowly_gets_as_long_as_for_any_other() -> None:
    wire = Wire(ONE_PATH)
    wire.client.transport.is_stuck = True
    wire.send(get(b"/404", b"Connection: close"))
    wire.pass_time(deadlines.LINGER + 0.3)
    assert not wire.was_aborted


# --- the upstream's clock ------------------------------------------------------------------------------------------------------------

STREAMING = Rule(name="all", backends=(BACKEND,), timeouts=Timeouts(stream_idle=5_000))


def test_while_we_pause_an_upstream_its_idle_clock_stands_still() -> None:
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
    assert answer(wire.got()).is_whole
    assert wire.is_open


def test_and_runs_again_afterwards() -> None:
    wire = Wire(STREAMING)
    wire.send(get())
    wire.answer(STREAM)
    wire.stop_reading()
    wire.pass_time(20)
    wire.read_again()
    wire.pass_time(5.3)  # the wheel's grain is added, so that no stream ends early
    assert wire.was_aborted
    assert not answer(wire.got()).is_whole
    assert wire.gateway.stats.of("demo/a", "all").upstream_errors == {"upstream_timeout": 1}


def test_what_was_sent_before_the_pause_arms_no_clock() -> None:
    wire = Wire(STREAMING)
    wire.send(get())
    wire.answer(STREAM)
    wire.stop_reading()
    wire.answer(b"5\r\nhello\r\n")  # it was on its way
    wire.pass_time(20)
    assert not wire.was_aborted


# --- clients that have sent their FIN -------------------------------------------------------------------------------------------------


def test_an_answer_within_the_grace_still_arrives_after_a_fin() -> None:
    wire = Wire(ONE_PATH)
    wire.send(get(b"/x"))
    wire.half_close()
    wire.pass_time(0.4)
    wire.answer(OK)
    assert answer(wire.got()).status == 200
    assert not wire.is_open
    assert wire.cut == {}


def test_after_the_grace_the_client_is_gone() -> None:
    wire = Wire(ONE_PATH)
    wire.send(get(b"/x") + get(b"/x"))
    wire.half_close()
    wire.pass_time(0.75)
    assert wire.was_aborted
    assert wire.got() == b""
    assert wire.cut == {"left": 1}
    assert wire.upstream.transport.is_aborted
    assert (wire.endpoint.active, wire.idle) == (0, 0)
    assert wire.gateway.stats.of("demo/a", "r").by_method[b"GET"][499] == 1
    assert wire.asked().count(b"GET /x ") == 1
