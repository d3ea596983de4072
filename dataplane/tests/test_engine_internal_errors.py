"""Bugs of the gateway: each costs one exchange, is answered 500, and reaches the loop's handler or the log."""

import asyncio
import json
import logging
from collections.abc import Callable
from time import monotonic

import pytest
from fake_transport import OK, Wire, answer, get

from inferway_dataplane.core.messages.response_head import ResponseHead
from inferway_dataplane.engine.clock import NEVER, Clock, Wheel
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.engine.exchange.hooks import ResponseTap

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class UnexpectedError(Exception):
    """What a callback raises here."""


def raise_unexpected(exchange: Exchange) -> bool:
    raise UnexpectedError


def problem_of(wire: Wire) -> tuple[int, str]:
    response = answer(wire.client_received())
    return response.status, json.loads(response.body)["code"]


# --- callbacks of the upstream's parser ------------------------------------------------------------------------------------------


class FailingTap(ResponseTap):
    """Raises at the head of a response, or in its body."""

    def __init__(self, *, in_body: bool = False) -> None:
        self._in_body = in_body

    def on_head(self, head: ResponseHead, lines: bytes) -> bool:
        if not self._in_body:
            raise UnexpectedError
        return True

    def on_body(self, data: bytes) -> None:
        raise UnexpectedError

    def on_end(self) -> None:
        raise AssertionError("a response with a mistake has no clean end")

    def on_broken(self) -> None:
        pass


class Tapping:
    """A stage that adds a tap while there is one."""

    def __init__(self, tap: ResponseTap | None) -> None:
        self.tap = tap

    def __call__(self, exchange: Exchange) -> bool:
        if self.tap is not None:
            exchange.add_tap(self.tap)
        return True


def answer_and_raise(wire: Wire, data: bytes) -> None:
    with pytest.raises(UnexpectedError):  # as the loop's handler sees it
        wire.upstream.data_received(data)
    wire.settle()


@pytest.mark.parametrize("data", [OK, OK[:-2], CHUNKED], ids=["whole", "the head alone", "chunked"])
def test_internal_error_at_a_response_head_is_answered_500(data: bytes) -> None:
    tapping = Tapping(FailingTap())
    wire = Wire(idle=2, stages=(tapping,))
    wire.send(get())
    used = wire.upstream
    answer_and_raise(wire, data)
    assert problem_of(wire) == (500, "internal_error")
    assert wire.gateway.stats.of("demo/a", "all").upstream_errors == {"internal_error": 1}
    assert used.transport.is_aborted
    assert wire.endpoint.active == 0
    tapping.tap = None
    other = wire.connect()
    wire.send(get(), client=other)
    wire.answer(OK)
    assert answer(wire.client_received(other)).status == 200


def test_internal_error_in_a_response_body_aborts_the_client() -> None:
    wire = Wire(stages=(Tapping(FailingTap(in_body=True)),))
    wire.send(get())
    wire.answer(CHUNKED)
    answer_and_raise(wire, b"2\r\nok\r\n0\r\n\r\n")
    assert not answer(wire.client_received()).is_whole
    assert wire.was_aborted
    assert wire.endpoint.active == 0


def test_internal_error_at_a_cached_response_head_is_500() -> None:
    tapping = Tapping(None)
    wire = Wire(stages=(tapping,))
    wire.send(get())
    wire.answer(OK)
    wire.client_received()
    tapping.tap = FailingTap()
    wire.send(get())
    answer_and_raise(wire, OK)
    assert wire.endpoint.active == 0
    assert problem_of(wire) == (500, "internal_error")


# --- callbacks of the client's parser --------------------------------------------------------------------------------------------


def test_internal_error_at_a_request_head_is_500_and_closes(caplog: pytest.LogCaptureFixture) -> None:
    wire = Wire(stages=(raise_unexpected,))
    wire.send(get())
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [UnexpectedError]
    assert problem_of(wire) == (500, "internal_error")
    assert wire.upstream_received() == b""
    assert not wire.is_open
    assert wire.gateway.context.in_flight == 0


# --- the wheel --------------------------------------------------------------------------------------------------------------------


def run_clock(wheel: Wheel, until: Callable[[], bool]) -> None:
    """Let the wheel turn until something is so, five seconds at most."""

    async def main() -> bool:
        wheel.start()
        for _ in range(1000):
            if until():
                break
            await asyncio.sleep(0.005)
        await wheel.stop()
        return until()

    assert asyncio.run(main()), "the wheel has not come to it within five seconds"


@pytest.mark.parametrize("failing", range(4))
def test_clock_keeps_ticking_after_a_callback_raises(failing: int, caplog: pytest.LogCaptureFixture) -> None:
    turns = [0] * 4

    def counting(index: int) -> Callable[[float], None]:
        def check(now: float) -> None:
            turns[index] += 1
            if index == failing:
                raise UnexpectedError

        return check

    run_clock(Wheel(Clock(), [counting(index) for index in range(4)], tick=0.005), lambda: min(turns) >= 3)
    assert max(turns) - min(turns) <= 1
    assert len(caplog.records) >= 3
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    assert {record.exc_info[0] for record in caplog.records if record.exc_info} == {UnexpectedError}


class BrokenConnection:
    """Late, and then not what a time limit needs."""

    deadline = 0.0
    unread_deadline = NEVER
    holds = 0


def test_timeouts_apply_though_a_callback_raises(caplog: pytest.LogCaptureFixture) -> None:
    wire = Wire(tick=0.005)
    wire.send(get())
    wire.gateway.cap.connections.add(BrokenConnection())
    wire.upstream.deadline = monotonic()
    before = wire.gateway.clock.coarse_now
    run_clock(wire.gateway.wheel, lambda: bool(wire.upstream.transport.is_aborted))
    assert caplog.records
    assert wire.gateway.clock.coarse_now > before
