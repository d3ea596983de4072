"""Retries: whether a try that failed is followed by another one, and after how long.

A retry must be safe (nothing has gone to the client, the body is still there, the method may be repeated), wanted (the
rule names the reason) and affordable (the budget): retries of everybody at once are how a small failure becomes a big one.
"""

from math import inf
from typing import Final, Literal

from inferway_contract.document import Retry
from inferway_dataplane.core.messages import http_dates, problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.upstreams.members import RuleCounters

Failure = Literal["ConnectFailure", "Reset", "Timeout"]
"""No connection (refused, DNS, TLS, or none in time); an answer that broke off before its head; no head in time."""

_FAILURES: Final[dict[Problem, Failure]] = {
    problems.CONNECT_FAILED: "ConnectFailure",
    problems.CONNECT_TIMEOUT: "ConnectFailure",
    problems.DNS_FAILED: "ConnectFailure",
    problems.TLS_FAILED: "ConnectFailure",
    problems.UPSTREAM_CLOSED: "Reset",
    problems.UPSTREAM_TIMEOUT: "Timeout",
}

IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))
"""Methods that may be repeated (RFC 9110 9.2.2), of those that are forwarded."""

MIN_IN_FLIGHT: Final = 3
"""Retries of one rule that may be in flight however few its requests are."""


def failure_of(problem: Problem) -> Failure | None:
    """What a try that ended so is to `may_retry`; None = the same would happen again, so it is not repeated."""
    return _FAILURES.get(problem)


def may_resend(method: bytes, *, was_reused: bool, was_written: bool, has_answered: bool, body_kept: bool) -> bool:
    """Whether a request is sent once more although no rule says so: its kept-alive connection was closed meanwhile.

    Upstreams close idle connections when they like, also while a request is on its way (RFC 9112 9.3.1). `was_reused`: the
    connection had served a request before; `was_written`: bytes of this one went to it; `has_answered`: a byte came back.
    """
    return was_reused and not has_answered and body_kept and (not was_written or method in IDEMPOTENT)


class Budget:
    """Retries in flight, bounded by the rule's requests in flight. Every `enter` that returns True needs one `leave`."""

    __slots__ = ("counters", "percent")

    def __init__(self, percent: int, counters: RuleCounters) -> None:
        self.percent = percent
        self.counters = counters

    def enter(self) -> bool:
        """A retry is wanted: called before the wait for it."""
        counters = self.counters
        if counters.retrying >= max(MIN_IN_FLIGHT, counters.in_flight * self.percent // 100):
            return False
        counters.retrying += 1
        return True

    def leave(self) -> None:
        """The retry has ended, in whatever way."""
        self.counters.retrying -= 1


class RetryRules:
    """A rule's retries, ready to be asked. Seconds."""

    __slots__ = ("attempts", "backoff", "budget", "conditions", "max_backoff", "methods", "statuses")

    def __init__(self, retry: Retry, counters: RuleCounters) -> None:
        self.attempts = retry.attempts
        self.statuses = frozenset(retry.statuses)
        self.conditions: frozenset[str] = frozenset(retry.conditions)
        self.methods = frozenset(method.encode() for method in retry.methods)
        self.backoff = retry.backoff / 1000
        self.max_backoff = retry.max_backoff / 1000
        self.budget = Budget(retry.budget_percent, counters)

    def may_retry(
        self, retries: int, method: bytes, reason: Failure | int, *, has_answered: bool, body_kept: bool
    ) -> bool:
        """Whether another try is safe and wanted, after so many retries; `reason` is a failure or a status.

        `has_answered`: a byte of an answer has gone to the client. `body_kept`: all of the request body that was read
        can be sent again. Of a try without a connection nothing was written, so every method may be repeated.
        """
        if retries >= self.attempts or has_answered or not body_kept:
            return False
        if isinstance(reason, int):
            return reason in self.statuses and method in self.methods
        return reason in self.conditions and (reason == "ConnectFailure" or method in self.methods)

    def wait(self, retries: int, draw: float, retry_after: bytes | None = None, wall: float = 0.0) -> float | None:
        """Seconds until the next try after so many retries; None = it would be too long, so there is none.

        Full jitter: anything from nothing to the back-off, which doubles each time up to `max_backoff`. What the
        upstream asks for (Retry-After: seconds or a date, compared with `wall`, Unix time) is the least, and may be as
        long as `max_backoff`. `draw` is from [0, 1).
        """
        least = 0.0 if retry_after is None else parse_retry_after(retry_after, wall)
        if least > self.max_backoff:
            return None
        return max(least, draw * min(self.max_backoff, self.backoff * (1 << retries)))


def parse_retry_after(value: bytes, wall: float) -> float:
    """Retry-After (RFC 9110 10.2.3) in seconds from now; what cannot be read asks for nothing."""
    text = value.strip(b" \t")
    if text.isdigit():
        # Nobody waits for longer than this, and a number of a thousand digits is not worth reading.
        return float(text) if len(text) <= 9 else inf
    moment = http_dates.timestamp(text)
    return 0.0 if moment is None else max(moment - wall, 0.0)
