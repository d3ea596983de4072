"""The access log: its rate, the trace that a line names, and a reader that does not read."""

import json
import os
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from fake_transport import BACKEND, OK, Wire, get, header

from inferway_contract.document import Cache, Rule
from inferway_dataplane.observability import access_log
from inferway_dataplane.observability.access_log import AccessLog
from inferway_testing.until import until

CACHED = Rule(name="cached", backends=(BACKEND,), cache=Cache(ttl=60_000))
TOLD = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class WireWithLog:
    """A wire whose access log goes to a file."""

    def __init__(self, path: Path, *rules: Rule) -> None:
        self.path = path
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT)
        self.wire = Wire(*rules)
        self.wire.gateway.context.access_log = self.log = AccessLog(100, fd=self.file)

    def lines(self) -> list[dict[str, Any]]:
        self.log.close()
        os.close(self.file)
        return [json.loads(line) for line in self.path.read_text().splitlines()]


# --- traces ----------------------------------------------------------------------------------------------------------------------


def test_generated_trace_id_is_logged_and_sent_upstream(tmp_path: Path) -> None:
    logged = WireWithLog(tmp_path / "log")
    sent = []
    for _ in range(3):
        logged.wire.send(get())
        (parent,) = header(logged.wire.upstream_received(), b"traceparent")
        sent.append(parent[3:35].decode())
        logged.wire.answer(OK)
    assert [line["trace_id"] for line in logged.lines()] == sent
    assert len(set(sent)) == 3


def test_trace_id_of_the_client_is_logged_and_sent_upstream(tmp_path: Path) -> None:
    logged = WireWithLog(tmp_path / "log")
    logged.wire.send(get(b"/", b"traceparent: " + TOLD))
    (parent,) = header(logged.wire.upstream_received(), b"traceparent")
    logged.wire.answer(OK)
    (line,) = logged.lines()
    assert line["trace_id"] == parent[3:35].decode() == TOLD[3:35].decode()


def test_invalid_traceparent_is_replaced_by_a_new_trace_id(tmp_path: Path) -> None:
    logged = WireWithLog(tmp_path / "log")
    logged.wire.send(get(b"/", b"traceparent: " + TOLD.upper()))
    (parent,) = header(logged.wire.upstream_received(), b"traceparent")
    logged.wire.answer(OK)
    (line,) = logged.lines()
    assert line["trace_id"] == parent[3:35].decode() != TOLD[3:35].decode()


def test_cache_hit_logs_the_trace_id_of_its_own_client(tmp_path: Path) -> None:
    logged = WireWithLog(tmp_path / "log", CACHED)
    other = TOLD.replace(b"0af7", b"1111")
    logged.wire.send(get(b"/", b"traceparent: " + TOLD))
    logged.wire.answer(OK)
    logged.wire.send(get(b"/", b"traceparent: " + other), get())
    lines = logged.lines()
    assert [line["cache"] for line in lines] == ["miss", "hit", "hit"]
    assert [line["trace_id"] for line in lines] == [TOLD[3:35].decode(), other[3:35].decode(), ""]


@pytest.mark.parametrize("bad", [b"x" * 55, TOLD.upper(), b"00-" + b"0" * 32 + TOLD[35:]])
def test_cache_hit_does_not_log_an_invalid_traceparent(bad: bytes, tmp_path: Path) -> None:
    logged = WireWithLog(tmp_path / "log", CACHED)
    logged.wire.send(get())
    logged.wire.answer(OK)
    logged.wire.send(get(b"/", b"traceparent: " + bad))
    assert logged.lines()[-1]["trace_id"] == ""


# --- the rate ---------------------------------------------------------------------------------------------------------------------

RATE = 10


@pytest.fixture
def log() -> Iterator[AccessLog]:
    access_log = AccessLog(RATE, fd=os.open(os.devnull, os.O_WRONLY))
    access_log.tick(100.0)
    yield access_log
    access_log.close()
    os.close(access_log._fd)


def are_logged(log: AccessLog, *statuses: int) -> list[bool]:
    """Which of these requests get a line."""
    logged = []
    for status in statuses:
        logged.append(log.wants(is_failed=status >= 500))
        log.left_out += not logged[-1]
    return logged


def test_requests_below_the_log_rate_are_all_logged(log: AccessLog) -> None:
    for second in range(1, 5):
        assert are_logged(log, *[200] * RATE) == [True] * RATE
        log.tick(100.0 + second)
    assert log.left_out == 0


def test_log_above_its_rate_keeps_half_for_failed_requests(log: AccessLog) -> None:
    assert are_logged(log, *[200] * (RATE + 1), 500) == [True] * RATE + [False] * 2
    log.tick(101.0)
    assert are_logged(log, *[200] * RATE) == [True] * 5 + [False] * 5
    assert are_logged(log, *[500] * RATE, 200) == [True] * 5 + [False] * 6


def test_failed_requests_may_use_the_whole_log_rate(log: AccessLog) -> None:
    are_logged(log, *[200] * (RATE + 1))
    log.tick(101.0)
    assert are_logged(log, *[503] * (RATE + 1)) == [True] * RATE + [False]


def test_ticks_within_a_second_do_not_reset_the_log_rate(log: AccessLog) -> None:
    are_logged(log, *[200] * (RATE + 1))
    for quarter in (100.25, 100.5, 100.75):
        log.tick(quarter)
        assert are_logged(log, 200, 500) == [False, False]


def test_log_rate_is_whole_again_after_a_quiet_second(log: AccessLog) -> None:
    are_logged(log, *[200] * (RATE + 1))
    log.tick(101.0)
    assert are_logged(log, *[200] * 5) == [True] * 5
    log.tick(102.0)
    assert are_logged(log, *[200] * RATE) == [True] * RATE


def test_second_below_the_log_rate_ends_the_sampling(log: AccessLog) -> None:
    are_logged(log, *[200] * (RATE + 1))
    log.tick(101.0)
    are_logged(log, *[200] * 7)
    log.tick(102.0)
    assert are_logged(log, *[200] * RATE) == [True] * RATE


def test_requests_not_logged_are_counted_in_a_line(tmp_path: Path) -> None:
    logged = WireWithLog(tmp_path / "log")
    logged.log.tick(100.0)
    are_logged(logged.log, *[200] * 103)
    logged.log.tick(101.0)
    logged.log.tick(102.0)
    (line,) = logged.lines()
    assert abs(datetime.fromisoformat(line.pop("time")) - datetime.now(UTC)) < timedelta(seconds=30)
    assert line == {"event": "requests_not_logged", "level": "info", "count": 3, "seconds": 1.0}


def test_requests_not_logged_name_the_period_of_late_ticks(tmp_path: Path) -> None:
    logged = WireWithLog(tmp_path / "log")
    are_logged(logged.log, *[200] * 101)
    for now in (100.0, 102.5, 104.0):
        logged.log.tick(now)
        are_logged(logged.log, *[200] * 101)
    counted = [(line["count"], line["seconds"]) for line in logged.lines()]
    assert counted[:2] == [(102, 2.5), (51, 1.5)]


def test_requests_not_logged_before_the_stop_are_counted(tmp_path: Path) -> None:
    logged = WireWithLog(tmp_path / "log")
    logged.log.tick(monotonic())
    are_logged(logged.log, *[200] * 104)
    (line,) = logged.lines()
    assert line["count"] == 4
    assert 0 <= line["seconds"] < 30


@pytest.mark.parametrize(
    "event", [access_log.FIELDS, access_log.LEFT_OUT_FIELDS], ids=["request", "requests_not_logged"]
)
def test_access_log_lines_have_the_listed_fields(event: Mapping[str, str], tmp_path: Path) -> None:
    logged = WireWithLog(tmp_path / "log")
    logged.log.tick(monotonic())
    logged.wire.send(get())
    logged.wire.answer(OK)
    are_logged(logged.log, *[200] * 104)
    lines = {line["event"]: list(line) for line in logged.lines()}
    assert lines[event["event"].strip("`")] == list(event)


# --- a reader that does not read ---------------------------------------------------------------------------------------------------


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe that is full: the next write waits for a reader."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, bytes(4096))
    except BlockingIOError:
        os.set_blocking(writer, True)
    yield reader, writer
    os.close(writer)


def seconds_to_close(log: AccessLog) -> float:
    """How long `close` takes."""
    started = monotonic()
    thread = threading.Thread(target=log.close, daemon=True)
    thread.start()
    thread.join(6.0)
    assert not thread.is_alive(), "the log blocks the stop"
    return monotonic() - started


@pytest.mark.parametrize("batches", [1, 200], ids=["a few lines wait", "more wait than may"])
def test_unread_access_log_pipe_does_not_block_the_stop(pipe: tuple[int, int], batches: int) -> None:
    reader, writer = pipe
    wire = Wire()
    wire.gateway.context.access_log = log = AccessLog(1000, fd=writer)
    for turn in range(batches):
        wire.send(get(b"/"))
        wire.answer(OK)
        log.tick(100.0 + turn / 4)
        if not turn:
            until(log._batches.empty, "the writer to begin with the first line")
    assert (log.dropped > 0) is (batches > 100)
    assert seconds_to_close(log) < 3.5
    # When the reader leaves at last, the writer's thread can end: the lines that it could not write are counted.
    before = log.dropped
    os.close(reader)
    until(lambda: log.dropped > before and log._batches.empty(), "the waiting lines to be given up")
    seconds_to_close(log)
    assert log._writer is not None
    assert not log._writer.is_alive()


def test_unread_access_log_pipe_does_not_block_the_tick(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    wire = Wire()
    wire.gateway.context.access_log = log = AccessLog(1000, fd=writer)
    started = monotonic()
    for second in range(300):
        wire.send(get(b"/"))
        wire.answer(OK)
        log.tick(100.0 + second / 4)
    assert monotonic() - started < 3.0
    assert log.dropped >= 300 - 64 - 1
    os.close(reader)
    until(log._batches.empty, "the waiting lines to be given up")
    seconds_to_close(log)
