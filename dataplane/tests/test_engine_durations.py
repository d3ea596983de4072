"""What durations mean: the gateway's own share ends with the head of an answer, a request's with the end of it."""

from time import monotonic

import pytest
from fake_transport import BACKEND, OK, Wire, answer, get

from inferway_contract.document import Cache, Match, PathMatch, Rule
from inferway_dataplane.observability.stats import Histogram

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"


class Clock:
    """A monotonic clock that a test may put forward: at once, or after it was read once more."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.ahead_after_next = 0.0

    def now(self) -> float:
        moment = monotonic() + self.ahead
        self.ahead, self.ahead_after_next = self.ahead + self.ahead_after_next, 0.0
        return moment


@pytest.fixture
def clock() -> Clock:
    return Clock()


def durations(wire: Wire) -> tuple[float, float, float]:
    """Seconds of the gateway's own, of the upstream, and of the whole request."""
    stats = wire.gateway.stats
    stats.settle()
    rule_stats = stats.of("demo/a", "all")
    assert [sum(one.counts) for one in (stats.overhead, rule_stats.upstream, rule_stats.duration)] == [1, 1, 1]
    return stats.overhead.total, rule_stats.upstream.total, rule_stats.duration.total


def seconds(value: float) -> object:
    return pytest.approx(value, abs=0.9)


def test_gateway_duration_excludes_a_slow_body(clock: Clock) -> None:
    wire = Wire(now=clock.now)
    wire.send(get())
    wire.answer(HEAD)
    clock.ahead += 30
    wire.answer(b"hello")
    clock.ahead += 30
    wire.answer(b"world")
    assert durations(wire) == (seconds(0), seconds(0), seconds(60))


def test_upstream_duration_includes_a_slow_head(clock: Clock) -> None:
    wire = Wire(now=clock.now)
    wire.send(get())
    clock.ahead += 20
    wire.answer(HEAD)
    clock.ahead += 10
    wire.answer(b"helloworld")
    assert durations(wire) == (seconds(0), seconds(20), seconds(30))


def test_response_in_one_piece_has_the_same_durations(clock: Clock) -> None:
    wire = Wire(now=clock.now)
    wire.send(get())
    clock.ahead += 20
    wire.answer(OK)
    assert durations(wire) == (seconds(0), seconds(20), seconds(20))


def test_gateway_duration_includes_time_before_forwarding(clock: Clock) -> None:
    wire = Wire(now=clock.now)
    clock.ahead_after_next = 5  # from reading the head to sending it
    wire.send(get())
    wire.answer(OK)
    assert durations(wire) == (seconds(5), seconds(0), seconds(5))


def test_aborted_response_has_durations_split_at_its_head(clock: Clock) -> None:
    wire = Wire(now=clock.now)
    wire.send(get())
    wire.answer(HEAD)
    clock.ahead += 30
    wire.upstream_closes()
    assert durations(wire) == (seconds(0), seconds(0), seconds(30))


def overhead(wire: Wire) -> Histogram:
    wire.gateway.stats.settle()
    return wire.gateway.stats.overhead


def test_local_reply_counts_as_gateway_duration(clock: Clock) -> None:
    cached = Rule(
        name="all", matches=(Match(path=PathMatch(value="/a")),), backends=(BACKEND,), cache=Cache(ttl=60_000)
    )
    wire = Wire(cached, now=clock.now)
    wire.send(get(b"/a"))
    wire.answer(OK)
    wire.client_received()
    for target, status in ((b"/a", 200), (b"/404", 404)):
        before = overhead(wire).total
        clock.ahead_after_next = 3
        wire.send(get(target))
        assert answer(wire.client_received()).status == status
        assert overhead(wire).total - before == seconds(3)
