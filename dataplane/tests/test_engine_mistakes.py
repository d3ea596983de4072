"""Mistakes of our own: each costs as little as it can, is told as what it is, and reaches the loop's handler or the log."""

import asyncio
import json
import logging
from collections.abc import Callable
from time import monotonic

import pytest
from fake_transport import OK, Wire, answer, get

from inferway_dataplane import gateway
from inferway_dataplane.engine.downstream import timeouts
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.engine.stages import order as stage_order

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Mistake(Exception):  # noqa: N818 - it is one
    """What a callback raises here."""


def raising(*arguments: object) -> None:
    raise Mistake


def told(wire: Wire) -> tuple[int, str]:
    own = answer(wire.got())
    return own.status, json.loads(own.body)["code"]


# --- callbacks of the upstream's parser ------------------------------------------------------------------------------------------


def answered_by_mistake(wire: Wire, data: bytes) -> None:
    with pytest.raises(Mistake):  # as the loop's handler sees it
        wire.upstream.data_received(data)
    wire.settle()


@pytest.mark.parametrize("data", [OK, OK[:-2], CHUNKED], ids=["whole", "the head alone", "chunked"])
def test_a_mistake_at_an_answers_head_is_ours_and_not_the_upstreams(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire(idle=2)
    wire.send(get())
    used = wire.upstream
    monkeypatch.setattr(Exchange, "on_head", raising)
    answered_by_mistake(wire, data)
    assert told(wire) == (500, "internal_error")
    assert wire.gateway.stats.of("demo/a", "all").upstream_errors == {"internal_error": 1}
    assert used.transport.is_aborted
    assert wire.endpoint.active == 0
    monkeypatch.undo()
    other = wire.connect()
    wire.send(get(), client=other)
    wire.answer(OK)
    assert answer(wire.got(other)).status == 200


def test_a_mistake_in_a_body_leaves_no_clean_end(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire()
    wire.send(get())
    wire.answer(CHUNKED)
    monkeypatch.setattr(Exchange, "on_body", raising)
    answered_by_mistake(wire, b"2\r\nok\r\n0\r\n\r\n")
    assert not answer(wire.got()).is_whole
    assert wire.was_aborted
    assert wire.endpoint.active == 0


def test_a_mistake_at_a_head_that_is_known_is_told_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire()
    wire.send(get())
    wire.answer(OK)
    wire.got()
    wire.send(get())
    monkeypatch.setattr(Exchange, "on_head", raising)
    answered_by_mistake(wire, OK)
    assert wire.endpoint.active == 0
    assert told(wire) == (500, "internal_error")


# --- callbacks of the client's parser --------------------------------------------------------------------------------------------


def test_a_mistake_at_a_requests_head_is_told_and_costs_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire()
    monkeypatch.setattr(stage_order, "begin", raising)
    with pytest.raises(Mistake):
        wire.client.data_received(get())
    wire.settle()
    assert told(wire) == (500, "internal_error")
    assert wire.asked() == b""
    assert not wire.is_open


# --- the wheel --------------------------------------------------------------------------------------------------------------------


def turning(wire: Wire, monkeypatch: pytest.MonkeyPatch, until: Callable[[], bool]) -> None:
    """Let the wheel turn until something is so, five seconds at most."""
    monkeypatch.setattr(gateway, "TICK", 0.005)

    async def main() -> bool:
        wire.gateway.start()
        for _ in range(1000):
            if until():
                break
            await asyncio.sleep(0.005)
        await wire.gateway.stop()
        return until()

    assert asyncio.run(main()), "the wheel has not come to it within five seconds"


LOOKS = {  # which look raises -> how it is made to
    "clients": lambda wire: (wire.gateway, "_look_at_clients"),
    "upstreams": lambda wire: (wire.gateway.pools, "sweep"),
    "buckets": lambda wire: (wire.gateway, "_look_at_buckets"),
    "the access log": lambda wire: (wire.gateway.access_log, "tick"),
}


@pytest.mark.parametrize("own", LOOKS)
def test_the_wheel_turns_on_after_one_of_its_looks_raised(
    own: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wire = Wire()
    turns = dict.fromkeys(LOOKS, 0)

    def counting(name: str) -> Callable[[float], None]:
        def look(now: float) -> None:
            turns[name] += 1
            if name == own:
                raise Mistake

        return look

    for name, place in LOOKS.items():
        monkeypatch.setattr(*place(wire), counting(name))
    turning(wire, monkeypatch, lambda: min(turns.values()) >= 3)
    assert max(turns.values()) - min(turns.values()) <= 1
    assert len(caplog.records) >= 3
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    assert {record.exc_info[0] for record in caplog.records if record.exc_info} == {Mistake}


def test_time_limits_hold_though_another_client_makes_a_look_raise(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wire = Wire()
    wire.send(get())
    monkeypatch.setattr(timeouts, "look", raising)
    wire.client.deadline = monotonic()
    wire.upstream.deadline = monotonic()
    before = wire.gateway.coarse_now
    turning(wire, monkeypatch, lambda: wire.upstream.transport.is_aborted)
    assert caplog.records
    assert wire.gateway.coarse_now > before
