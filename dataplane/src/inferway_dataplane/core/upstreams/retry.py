"""Retries: whether a failed try is repeated, and after how long.

A retry must be safe (no byte has gone to the client, the body is still there, the method may be repeated), wanted (the
rule names the reason) and within the budget: unbounded retries turn a small failure into a big one.
"""

from collections.abc import Iterable
from math import inf
from typing import Final, Literal

from inferway_contract.document import Retry
from inferway_dataplane.core.messages import problems, response_head
from inferway_dataplane.core.messages.problems import METHODS, Problem
from inferway_dataplane.core.upstreams.members import RuleCounters

Failure = Literal["ConnectFailure", "Reset", "Timeout"]
"""No connection (refused, DNS, TLS, timeout); connection lost before a response head; no head in time."""

_FAILURES: Final[dict[Problem, Failure]] = {
    problems.CONNECT_FAILED: "ConnectFailure",
    problems.CONNECT_TIMEOUT: "ConnectFailure",
    problems.DNS_FAILED: "ConnectFailure",
    problems.TLS_FAILED: "ConnectFailure",
    problems.UPSTREAM_CLOSED: "Reset",
    problems.UPSTREAM_TIMEOUT: "Timeout",
}

IDEMPOTENT: Final = frozenset(METHODS) - {b"POST", b"PATCH"}
"""Methods that may be repeated (RFC 9110 9.2.2)."""

MIN_RETRIES: Final = 3
"""Retries in flight that every rule may have, however few its requests are."""


def failure_of(problem: Problem) -> Failure | None:
    """Map a problem to a failure for `may_retry`; None = a retry cannot help."""
    return _FAILURES.get(problem)


def may_resend(method: bytes, *, was_reused: bool, was_written: bool, has_answered: bool) -> bool:
    """Whether to resend a request, without a retry rule, after its kept-alive connection was closed (RFC 9112 9.3.1).

    Its body must be there. `was_reused`: it had served a request before; `was_written`: it got bytes of this one; `has_answered`: it returned one.
    """
    return was_reused and not has_answered and (not was_written or method in IDEMPOTENT)


class Budget:
    """Bound a rule's retries in flight by its requests in flight. Each `enter` that returns True needs one `leave`."""

    __slots__ = ("counters", "percent")

    def __init__(self, percent: int, counters: RuleCounters) -> None:
        self.percent = percent
        self.counters = counters

    def enter(self) -> bool:
        """Take a retry from the budget, before the back-off; False = the budget is spent."""
        counters = self.counters
        if counters.retrying >= max(MIN_RETRIES, counters.in_flight * self.percent // 100):
            return False
        counters.retrying += 1
        return True

    def leave(self) -> None:
        """Return a retry to the budget, however it ended."""
        self.counters.retrying -= 1


class RetryRules:
    """The retry settings of a rule. Times in seconds."""

    __slots__ = ("attempts", "backoff", "budget", "conditions", "max_backoff", "methods", "statuses")

    def __init__(self, retry: Retry, counters: RuleCounters) -> None:
        self.attempts = retry.attempts
        self.statuses = frozenset(retry.statuses)
        self.conditions: frozenset[str] = frozenset(retry.conditions)
        self.methods = frozenset(method.encode() for method in retry.methods)
        self.backoff = retry.backoff / 1000
        self.max_backoff = retry.max_backoff / 1000
        self.budget = Budget(retry.budget_percent, counters)

    def may_retry(self, retries: int, method: bytes, reason: Failure | int, *, has_answered: bool) -> bool:
        """Whether another try is safe and wanted, after `retries` retries, if the request's body can be sent again.

        `reason`: a failure or a status. `has_answered`: a byte of a response has gone to the client. A try without a
        connection wrote nothing, so every method may be repeated.
        """
        if retries >= self.attempts or has_answered:
            return False
        if isinstance(reason, int):
            return reason in self.statuses and method in self.methods
        return reason in self.conditions and (reason == "ConnectFailure" or method in self.methods)

    def wait(self, retries: int, draw: float, rests: Iterable[float] = ()) -> float | None:
        """Return the seconds until the next try; None = longer than `max_backoff`: no retry.

        Full jitter: between 0 and the back-off, which doubles with each retry up to `max_backoff`. `rests`: for each
        endpoint that may get the try, the seconds that are left of its Retry-After; the shortest is the lower bound.
        `draw` is from [0, 1).
        """
        least = min(rests, default=0.0)
        if least > self.max_backoff:
            return None
        return max(least, draw * min(self.max_backoff, self.backoff * (1 << retries)))


def parse_retry_after(value: bytes, wall: float) -> float:
    """Parse Retry-After (RFC 9110 10.2.3) into seconds from now; 0 when it is malformed."""
    text = value.strip(b" \t")
    if text.isdigit():
        # More digits exceed every back-off, and parsing a number of a thousand digits is expensive.
        return float(text) if len(text) <= 9 else inf
    moment = response_head.parse_http_date(text)
    return 0.0 if moment is None else max(moment - wall, 0.0)
