"""Retries: which tries are repeated, after how long, and how many at once."""

import math
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_contract.document import Retry
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.upstreams import retry
from inferway_dataplane.core.upstreams.members import RuleCounters
from inferway_dataplane.core.upstreams.retry import MIN_RETRIES, Budget, Failure, RetryRules

JUST_BELOW_1 = math.nextafter(1.0, 0.0)


def rules(**settings: object) -> RetryRules:
    return RetryRules(Retry.model_validate(settings), RuleCounters())


DEFAULT = rules()


@pytest.mark.parametrize(
    ("retries", "method", "reason", "answered", "may"),
    [
        (0, b"GET", 502, False, True),
        (1, b"GET", 504, False, True),
        (2, b"GET", 504, False, False),  # two retries at most
        (0, b"GET", 500, False, False),  # not named
        (0, b"GET", "Reset", False, True),
        (0, b"HEAD", "Timeout", False, True),
        (0, b"OPTIONS", "ConnectFailure", False, True),
        (0, b"GET", 502, True, False),  # a byte has gone to the client
        (0, b"GET", "Reset", True, False),
        (0, b"POST", 502, False, False),  # not named, and not idempotent
        (0, b"PUT", "Reset", False, False),
        (0, b"POST", "Timeout", False, False),
        (0, b"POST", "ConnectFailure", False, True),  # nothing was written
    ],
)
def test_may_retry_depends_on_method_reason_and_progress(
    retries: int, method: bytes, reason: Failure | int, answered: bool, may: bool
) -> None:
    assert DEFAULT.may_retry(retries, method, reason, has_answered=answered) is may


def test_configured_statuses_and_conditions_are_retried() -> None:
    retry_rules = rules(attempts=1, statuses=(500, 429), conditions=("Timeout",), methods=("POST",))

    def may(method: bytes, reason: Failure | int) -> bool:
        return retry_rules.may_retry(0, method, reason, has_answered=False)

    assert [may(b"POST", reason) for reason in (500, 429, "Timeout")] == [True] * 3
    assert [may(b"POST", reason) for reason in (502, "Reset", "ConnectFailure")] == [False] * 3
    assert not may(b"GET", 500)
    assert not rules(attempts=0).may_retry(0, b"GET", 502, has_answered=False)


@pytest.mark.parametrize(
    ("problem", "failure"),
    [
        (problems.CONNECT_FAILED, "ConnectFailure"),
        (problems.CONNECT_TIMEOUT, "ConnectFailure"),
        (problems.DNS_FAILED, "ConnectFailure"),
        (problems.TLS_FAILED, "ConnectFailure"),
        (problems.UPSTREAM_CLOSED, "Reset"),
        (problems.UPSTREAM_TIMEOUT, "Timeout"),
        (problems.ADDRESS_REFUSED, None),
        (problems.BAD_RESPONSE, None),
        (problems.RESPONSE_HEAD_TOO_LARGE, None),
        (problems.OVERLOAD, None),
    ],
)
def test_failure_of_a_problem_is_its_retry_condition(problem: Problem, failure: Failure | None) -> None:
    assert retry.failure_of(problem) == failure


@pytest.mark.parametrize(
    ("method", "reused", "written", "answered", "may"),
    [
        (b"GET", True, True, False, True),
        (b"PUT", True, True, False, True),
        (b"POST", True, True, False, False),
        (b"POST", True, False, False, True),
        (b"GET", False, True, False, False),  # a new connection: not a race with a close
        (b"GET", True, True, True, False),
    ],
)
def test_u3_request_on_a_closing_connection_may_be_resent(
    method: bytes, reused: bool, written: bool, answered: bool, may: bool
) -> None:
    assert retry.may_resend(method, was_reused=reused, was_written=written, has_answered=answered) is may


def test_backoff_doubles_up_to_its_maximum_with_full_jitter() -> None:
    retry_rules = rules(backoff=100, max_backoff=1_000)
    assert [retry_rules.wait(retries, JUST_BELOW_1) for retries in range(6)] == pytest.approx(
        [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    )
    assert [retry_rules.wait(retries, 0.0) for retries in range(3)] == [0.0] * 3
    assert retry_rules.wait(1, 0.5) == pytest.approx(0.1)


WALL = 1_795_000_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0.0),
        (b"1", 1.0),
        (b" 120 ", 120.0),
        (b"999999999", 999_999_999.0),
        (b"1" * 5000, math.inf),
        (formatdate(WALL + 5, usegmt=True).encode(), 5.0),
        (formatdate(WALL - 5, usegmt=True).encode(), 0.0),
        (b"", 0.0),
        (b"-1", 0.0),
        (b"1.5", 0.0),
        (b"soon", 0.0),
        (b"\xb2", 0.0),
    ],
)
def test_retry_after_is_parsed_to_seconds(value: bytes, seconds: float) -> None:
    assert retry.parse_retry_after(value, WALL) == seconds


def test_shortest_rest_is_the_minimum_wait_or_prevents_a_retry() -> None:
    retry_rules = rules(backoff=100, max_backoff=2_000)
    assert retry_rules.wait(0, 0.5, [1.0]) == 1.0
    assert retry_rules.wait(0, 0.5, [2.0, 30.0]) == 2.0
    assert retry_rules.wait(0, 0.5, [3.0, 30.0]) is None
    assert retry_rules.wait(5, JUST_BELOW_1, [1.0]) == pytest.approx(2.0)
    assert retry_rules.wait(0, 0.5, [0.0, 30.0]) == pytest.approx(0.05)
    assert retry_rules.wait(0, 0.0, [math.inf]) is None


@given(
    st.integers(0, 5),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 5_000),
    st.integers(0, 5_000),
    st.lists(st.floats(0, 10) | st.just(math.inf), max_size=3),
)
def test_wait_never_exceeds_max_backoff(retries: int, draw: float, backoff: int, most: int, rests: list[float]) -> None:
    wait = rules(backoff=backoff, max_backoff=most).wait(retries, draw, rests)
    assert wait is None or 0 <= wait <= most / 1000
    assert (wait is None) is (min(rests, default=0.0) > most / 1000)


@given(st.binary(max_size=40) | st.integers(-9, 10**12).map(lambda number: b"%d" % number))
def test_any_retry_after_is_a_time_that_is_not_negative(value: bytes) -> None:
    assert retry.parse_retry_after(value, WALL) >= 0.0


@given(st.integers(0, 100), st.lists(st.sampled_from(["request", "end", "retry", "retry", "done"]), max_size=80))
def test_retry_budget_is_never_exceeded(percent: int, events: list[str]) -> None:
    counters = RuleCounters()
    budget = Budget(percent, counters)
    for event in events:
        match event:
            case "request":
                counters.in_flight += 10
            case "end" if counters.in_flight:
                counters.in_flight -= 10
            case "retry":
                most = max(MIN_RETRIES, counters.in_flight * percent // 100)
                before = counters.retrying
                assert budget.enter() is (before < most)
                assert counters.retrying <= max(most, before)
            case "done" if counters.retrying:
                budget.leave()
    assert counters.retrying >= 0


def test_retry_budget_admits_three_then_a_percentage() -> None:
    counters = RuleCounters()
    budget = Budget(20, counters)
    counters.in_flight = 10
    assert [budget.enter() for _ in range(4)] == [True, True, True, False]
    counters.in_flight = 20
    assert [budget.enter() for _ in range(2)] == [True, False]
    budget.leave()
    assert budget.enter()
