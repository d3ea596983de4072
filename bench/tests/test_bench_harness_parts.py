"""The parts of the harnesses: the client's record of losses, the record of a fault, sums of metrics, verdicts."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest
import rich.console
import typer

from bench import clients, ejection, harness, slow_connections, watching
from bench.clients import Client, Lost, UnansweredError, request
from bench.ejection import Outcome
from bench.tally import Tally
from bench.verdicts import Verdict
from inferway_fakes.scripted.server import ScriptedUpstream

# ---------------------------------------------------------------------------------------------------- the client


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream("a") as running:
        yield running


def ask(port: int, data: bytes, within: float = 5.0) -> clients.Answer:
    return asyncio.run(clients.once(port, data, within))


def test_client_reports_a_complete_response(upstream: ScriptedUpstream) -> None:
    answer = ask(upstream.port, request("/", x_fake_status=207, x_fake_body_size=16, x_fake_informational=2))
    assert (answer.status, answer.size, bytes(answer.body)) == (207, 16, b"0123456789abcde\n")
    assert answer.headers[b"x-fake-process"] == b"a"
    assert answer.keeps_alive
    assert 0 < answer.head_seconds <= answer.seconds


def test_client_keeps_a_connection_until_connection_close(upstream: ScriptedUpstream) -> None:
    async def work() -> list[bool]:
        client = await Client.connect(upstream.port)
        states = []
        for data in (request("/"), request("/"), request("/", close=True)):
            await client.ask(data, 5.0)
            states.append(client.is_open)
        client.leave()
        return states

    before = upstream.stats.connections
    assert asyncio.run(work()) == [True, True, False]
    assert upstream.stats.connections == before + 1


@pytest.mark.parametrize(
    ("headers", "lost"),
    [
        ({"x_fake_close": "before-answer"}, Lost.NOTHING),
        ({"x_fake_close": "after-head"}, Lost.CUT),
        ({"x_fake_close": "mid-body", "x_fake_body_size": 10}, Lost.CUT),
        ({"x_fake_close": "mid-body", "x_fake_sse": 4}, Lost.CUT),
        ({"x_fake_close": "before-answer", "x_fake_reset": 1}, Lost.RESET),
        ({"x_fake_hang": "mid-body", "x_fake_body_size": 10}, Lost.LATE),
        ({"x_fake_hang": "before-answer"}, Lost.LATE),
        ({"x_fake_garbage": 100}, Lost.GARBAGE),
    ],
)
def test_client_classifies_an_incomplete_response(
    upstream: ScriptedUpstream, headers: dict[str, object], lost: Lost
) -> None:
    with pytest.raises(UnansweredError) as caught:
        ask(upstream.port, request("/", **headers), 0.3)
    assert caught.value.lost is lost


def test_refused_connection_is_not_a_lost_request() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(clients.NotAcceptedError):
            ask(nobody.getsockname()[1], request("/"))


def test_tally_counts_expected_and_unexpected_responses(upstream: ScriptedUpstream) -> None:
    async def work() -> Tally:
        tally = Tally()
        client = await Client.connect(upstream.port)
        await tally.ask(client, request("/"), 5.0)
        await tally.ask(client, request("/", x_fake_status=500), 5.0)
        await tally.ask(client, request("/"), 5.0, lambda answer: answer.size == 3)
        await tally.ask(client, request("/", x_fake_close="before-answer"), 5.0)
        return tally

    tally = asyncio.run(work())
    assert (tally.requests, tally.answered, tally.failed, len(tally.seconds)) == (4, 1, 3, 3)
    assert set(tally.failures) == {"status 500", "wrong answer", str(Lost.NOTHING)}
    assert tally.describe().startswith("1 answered, 3 failed (")


def test_slow_client_reads_the_whole_response(upstream: ScriptedUpstream) -> None:
    async def work() -> clients.Answer:
        client = await Client.connect(upstream.port, receive_buffer=4096)
        client.read_slowly(0.01)
        try:
            return await client.ask(request("/", x_fake_body_size=200_000), 10.0)
        finally:
            client.leave()

    answer = asyncio.run(work())
    assert answer.size == 200_000
    assert answer.seconds > 0.1


@pytest.mark.parametrize("kind", list(slow_connections.Kind))
def test_slow_connections_reconnect_after_a_cut(kind: slow_connections.Kind) -> None:
    async def work() -> slow_connections.Cuts:
        cuts = slow_connections.Cuts()
        received = asyncio.Event()

        async def cut_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n")
            await reader.read(65536)
            await reader.read(1)  # a slow sender continues; a reader does not
            received.set()
            writer.close()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nx")
            received.set()
            writer.close()

        serve = answer if kind is slow_connections.Kind.READER else cut_late
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            task = asyncio.create_task(slow_connections.hold(kind, port, cuts, 0.05, 1000))
            async with asyncio.timeout(10):
                while len(cuts.ages) < 2:
                    received.clear()
                    await received.wait()
                    await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return cuts

    cuts = asyncio.run(work())
    assert cuts.opened >= 2
    assert cuts.reasons.total() == len(cuts.ages)


# ---------------------------------------------------------------------------------------------------- the record


def record(*bad: tuple[float, float], until: float = 10.0) -> list[Outcome]:
    """Return a record of a hundred requests a second; in these spans every third is bad."""
    moments = [number / 100 for number in range(-100, round(until * 100))]
    return [
        Outcome(at, 0.01, not (number % 3 == 0 and any(start <= at < end for start, end in bad)))
        for number, at in enumerate(moments)
    ]


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ([], 0.0),
        ([(0.0, 1.5)], 1.5),
        ([(0.0, 10.0)], None),
        ([(0.0, 1.0), (4.0, 5.0)], 5.0),  # it failed again: not calm before
        ([(0.0, 1.0), (6.0, 6.03)], 1.0),  # one probe is tolerated
    ],
)
def test_seconds_until_calm_counts_to_the_last_failure(bad: list[tuple[float, float]], expected: float | None) -> None:
    seconds = ejection.seconds_until_calm(record(*bad), 10.0)
    assert seconds == (pytest.approx(expected, abs=0.25) if expected else expected)


def test_share_counts_requests_sent_in_the_span() -> None:
    outcomes = [Outcome(0.5, 1.0, True), Outcome(1.0, 1.0, False), Outcome(1.5, 1.0, True), Outcome(2.0, 1.0, False)]
    assert ejection.share_bad(outcomes, 1.0, 2.0) == 0.5
    assert ejection.share_bad(outcomes, 3.0, 4.0) == 0.0


# ---------------------------------------------------------------------------------------------------- watching

METRICS = """# TYPE upstream_errors_total counter
upstream_errors_total{route="a",reason="connect_failed"} 2.0
upstream_errors_total{route="b",reason="connect_failed"} 3.0
upstream_errors_total{route="b",reason="upstream_timeout"} 5.0
# TYPE connections gauge
connections 7.0
"""


def test_metrics_are_summed_over_labels() -> None:
    assert watching.sums(METRICS)["connections"] == 7
    assert watching.sums(METRICS)["upstream_errors_total"] == 10
    assert watching.count(METRICS, "upstream_errors_total", reason="connect_failed") == 5
    assert watching.count(METRICS, "upstream_errors_total", reason="connect_failed", route="a") == 2


def test_slope_is_bytes_per_second() -> None:
    samples = [watching.Sample(float(at), 1000 + 50 * at, 3, {}) for at in range(10)]
    assert watching.slope(samples) == pytest.approx(50.0)
    assert watching.slope(samples[:1]) == 0.0


def test_quantile_of_samples() -> None:
    assert [watching.quantile(range(100), share) for share in (0.0, 0.5, 0.99, 1.0)] == [0, 50, 99, 99]
    assert watching.quantile([], 0.5) == 0.0


# ---------------------------------------------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    ("checks", "holds"), [([], False), ([None], False), ([True], True), ([True, None], True), ([True, False], False)]
)
def test_verdict_holds_if_every_check_holds(checks: list[bool | None], holds: bool) -> None:
    verdict = Verdict("test")
    for check in checks:
        if check is None:
            verdict.note("figure", "1")
        else:
            verdict.judge("demand", "1", check)
    assert verdict.holds is holds
    with pytest.raises(typer.Exit) if not holds else contextlib.nullcontext():
        verdict.close(rich.console.Console(quiet=True))


def test_clock_ticks_evenly_until_its_end() -> None:
    async def work() -> int:
        clock = harness.Clock(0.05, 0.52)
        ticks = 0
        while await clock.ticks():
            ticks += 1
        return ticks

    assert 8 <= asyncio.run(work()) <= 10
