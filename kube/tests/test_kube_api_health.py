"""What is logged of an outage: its beginning, a change of its kind, its end."""

from __future__ import annotations

import logging

import pytest

from inferway_kube.api_health import PATIENCE, ApiHealth
from inferway_kube.errors import FORBIDDEN, UNREACHABLE, ApiError, Cause

log = logging.getLogger("test")

AWAY = ApiError("GET /a: refused")
FORBID = ApiError("GET /a: 403 no", 403, cause=Cause.NO_ROLE)
BUSY = ApiError("GET /a: 429 later", 429)


class Clock:
    """Seconds."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Stands still until a test moves it."""
    return Clock()


@pytest.fixture
def health(caplog: pytest.LogCaptureFixture, clock: Clock) -> ApiHealth:
    """One that nothing has happened to."""
    caplog.set_level(logging.INFO)
    return ApiHealth(log, clock)


def test_api_health_logs_an_outage_once(health: ApiHealth, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    health.answered("config")
    for caller in ("config", "endpoints", "config", "endpoints"):
        health.failed(caller, AWAY)
        clock.now += PATIENCE / 2
    assert health.trouble == "the API server cannot be reached: GET /a: refused"
    health.answered("config")
    assert health.trouble != ""
    health.answered("endpoints")
    assert health.trouble == ""
    assert [record.getMessage() for record in caplog.records] == [
        "the API server cannot be reached; the live documents stay",
        "the API server answers again",
    ]
    assert vars(caplog.records[0])["mend"] == UNREACHABLE


def test_api_health_logs_each_kind_of_trouble_once(
    health: ApiHealth, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    health.failed("a", AWAY)
    clock.now += PATIENCE
    for _ in range(3):
        health.failed("a", AWAY)
        health.failed("b", FORBID)
    assert [vars(record)["mend"] for record in caplog.records] == [UNREACHABLE, FORBIDDEN]


def test_api_health_without_patience_logs_at_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    health = ApiHealth(log, clock, patience=0.0)
    for _ in range(3):
        health.failed("a", AWAY)
    assert [vars(record)["mend"] for record in caplog.records] == [UNREACHABLE]


def test_api_health_logs_a_refusal_at_once(health: ApiHealth, caplog: pytest.LogCaptureFixture) -> None:
    health.failed("a", FORBID)
    assert [vars(record)["mend"] for record in caplog.records] == [FORBIDDEN]
    assert health.trouble.endswith(f": {FORBIDDEN}")


def test_api_health_keeps_short_failures_to_itself(
    health: ApiHealth, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for error in (BUSY, AWAY):
        health.failed("a", error)
        clock.now += PATIENCE - 0.1
        health.failed("a", error)
        health.answered("a")
    assert caplog.records == []
    health.failed("a", BUSY)
    clock.now += PATIENCE
    health.failed("a", BUSY)
    health.failed("a", BUSY)
    health.answered("a")
    assert [record.getMessage() for record in caplog.records] == [
        "the API server fails; the live documents stay",
        "the API server answers again",
    ]
