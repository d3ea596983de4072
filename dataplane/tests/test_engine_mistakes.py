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


class Mistake(Exception):  # noqa: N818 - it is one
    """What a callback raises here."""


def raising(exchange: Exchange) -> bool:
    raise Mistake


def told(wire: Wire) -> tuple[int, str]:
    own = answer(wire.got())
    return own.status, json.loads(own.body)["code"]


# --- callbacks of the upstream's parser ------------------------------------------------------------------------------------------


class FailingTap(ResponseTap):
    """Raises at the head of a response, or in its body."""

    def __init__(self, *, in_body: bool = False) -> None:
        self._in_body = in_body

    def on_head(self, head: ResponseHead, lines: bytes) -> bool:
        if not self._in_body:
            raise Mistake
        return True

    def on_body(self, data: bytes) -> None:
        raise Mistake

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


def answered_by_mistake(wire: Wire, data: bytes) -> None:
    with pytest.raises(Mistake):  # as the loop's handler sees it
        wire.upstream.data_received(data)
    wire.settle()


@pytest.mark.parametrize("data", [OK, OK[:-2], CHUNKED], ids=["whole", "the head alone", "chunked"])
def test_a_mistake_at_an_answers_head_is_ours_and_not_the_upstreams(data: bytes) -> None:
    tapping = Tapping(FailingTap())
    wire = Wire(idle=2, stages=(tapping,))
    wire.send(get())
    used = wire.upstream
    answered_by_mistake(wire, data)
    assert told(wire) == (500, "internal_error")
    assert wire.gateway.stats.of("demo/a", "all").upstream_errors == {"internal_error": 1}
    assert used.transport.is_aborted
    assert wire.endpoint.active == 0
    tapping.tap = None
    other = wire.connect()
    wire.send(get(), client=other)
    wire.answer(OK)
    assert answer(wire.got(other)).status == 200


def test_a_mistake_in_a_body_leaves_no_clean_end() -> None:
    wire = Wire(stages=(Tapping(FailingTap(in_body=True)),))
    wire.send(get())
    wire.answer(CHUNKED)
    answered_by_mistake(wire, b"2\r\nok\r\n0\r\n\r\n")
    assert not answer(wire.got()).is_whole
    assert wire.was_aborted
    assert wire.endpoint.active == 0


def test_a_mistake_at_a_head_that_is_known_is_told_alike() -> None:
    tapping = Tapping(None)
    wire = Wire(stages=(tapping,))
    wire.send(get())
    wire.answer(OK)
    wire.got()
    tapping.tap = FailingTap()
    wire.send(get())
    answered_by_mistake(wire, OK)
    assert wire.endpoint.active == 0
    assert told(wire) == (500, "internal_error")


# --- callbacks of the client's parser --------------------------------------------------------------------------------------------


def test_a_mistake_at_a_requests_head_is_told_and_costs_its_connection() -> None:
    wire = Wire(stages=(raising,))
    with pytest.raises(Mistake):
        wire.client.data_received(get())
    wire.settle()
    assert told(wire) == (500, "internal_error")
    assert wire.asked() == b""
    assert not wire.is_open
    assert wire.gateway.context.in_flight == 0


# --- the wheel --------------------------------------------------------------------------------------------------------------------


def turning(wheel: Wheel, until: Callable[[], bool]) -> None:
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
def test_the_wheel_turns_on_after_one_of_its_looks_raised(failing: int, caplog: pytest.LogCaptureFixture) -> None:
    turns = [0] * 4

    def counting(index: int) -> Callable[[float], None]:
        def check(now: float) -> None:
            turns[index] += 1
            if index == failing:
                raise Mistake

        return check

    turning(Wheel(Clock(), [counting(index) for index in range(4)], tick=0.005), lambda: min(turns) >= 3)
    assert max(turns) - min(turns) <= 1
    assert len(caplog.records) >= 3
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    assert {record.exc_info[0] for record in caplog.records if record.exc_info} == {Mistake}


class BrokenConnection:
    """Late, and then not what a time limit needs."""

    deadline = 0.0
    unread_deadline = NEVER
    holds = 0


def test_time_limits_hold_though_another_client_makes_a_look_raise(caplog: pytest.LogCaptureFixture) -> None:
    wire = Wire(tick=0.005)
    wire.send(get())
    wire.gateway.cap.connections.add(BrokenConnection())
    wire.upstream.deadline = monotonic()
    before = wire.gateway.clock.coarse_now
    turning(wire.gateway.wheel, lambda: bool(wire.upstream.transport.is_aborted))
    assert caplog.records
    assert wire.gateway.clock.coarse_now > before
