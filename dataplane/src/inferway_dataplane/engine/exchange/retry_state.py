"""The further tries of one request: how many there were, on which endpoints, and what the retry budget counts."""

from typing import Final

from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.rule import Rule
from inferway_dataplane.core.upstreams.members import Member
from inferway_dataplane.core.upstreams.retry import Failure, RetryRules, parse_retry_after
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.observability.stats import count_in

_EARLY: Final = 0.005
"""Seconds that a timer may fire too early."""


class RetryState:
    """Made with the first failure of a request whose rule has retries."""

    __slots__ = ("_exchange", "_is_budgeted", "_rests_until", "_rule", "_rules", "retries", "tried")

    def __init__(self, exchange: Exchange, rule: Rule, rules: RetryRules) -> None:
        self._exchange = exchange
        self._rule = rule
        self._rules = rules
        self._is_budgeted = False  # a retry is in flight, counted by the budget
        self._rests_until: dict[Member, float] = {}  # monotonic seconds, by an endpoint's Retry-After
        self.retries = 0
        self.tried: tuple[Member, ...] = ()

    def plan(
        self, member: Member | None, reason: Failure | int, label: str, retry_after: bytes | None, ends: float
    ) -> float | None:
        """Count another try, if it is safe, wanted and affordable: seconds until it begins; None = there is none.

        `member`: of the try that failed; `label`: of the reason, in the metrics; `retry_after`: of the response;
        `ends`: monotonic seconds at which the request's time is over.
        """
        exchange, rules = self._exchange, self._rules
        context = exchange.context
        if not rules.may_retry(self.retries, exchange.head.method, reason, has_answered=exchange.has_answered):
            return None
        if exchange.body is not None and exchange.body.is_lost:
            count_in(exchange.stats.retries, "body_not_kept")
            return None
        now = context.now()
        if member is not None:
            self.tried = (*self.tried, member)
            if retry_after is not None:
                self._rests_until[member] = now + parse_retry_after(retry_after, context.clock.wall())
        wait = self._wait(now, is_resting=retry_after is not None)
        if wait is None or now + wait >= ends:
            return None
        self.leave_budget()
        if not rules.budget.enter():
            count_in(exchange.stats.retries, "budget_exhausted")
            return None
        self._is_budgeted = True
        self.retries += 1
        count_in(exchange.stats.retries, label)
        return wait

    def _wait(self, now: float, *, is_resting: bool) -> float | None:
        """`is_resting`: the endpoint asked for time; this binds it alone (RFC 9110 10.2.3), so others need no wait."""
        usable = self._rule.backend_set.usable(now)
        if any(member not in self.tried for member in usable):
            if is_resting:
                return 0.0
            rests: list[float] = []
        else:
            rests = [max(self._rests_until.get(member, 0.0) - now, 0.0) for member in usable]
        return self._rules.wait(self.retries, self._exchange.context.random(), rests)

    def resting(self, now: float) -> tuple[Member, ...]:
        """The members whose Retry-After has not passed."""
        return tuple(member for member, until in self._rests_until.items() if until > now + _EARLY)

    def had_less_time(self, problem: Problem, tried_at: float, ends: float) -> bool:
        """Whether a further try had less time than a first one: its endpoint is not at fault for that."""
        rule = self._rule
        limits = {problems.CONNECT_TIMEOUT: rule.connect_timeout, problems.UPSTREAM_TIMEOUT: rule.backend_timeout}
        remaining = ends - tried_at
        return self.retries > 0 and problem in limits and remaining < limits[problem]

    def leave_budget(self) -> None:
        """The retry in flight has ended."""
        if self._is_budgeted:
            self._is_budgeted = False
            self._rules.budget.leave()
