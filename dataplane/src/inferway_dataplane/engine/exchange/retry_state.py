"""The further tries of one request: how many there were, on which endpoints, and what the retry budget counts."""

from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.runtime import Rule
from inferway_dataplane.core.upstreams.members import Member
from inferway_dataplane.core.upstreams.retry import Failure, RetryRules
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.observability.stats import count_in


class RetryState:
    """Made with the first failure of a request whose rule has retries."""

    __slots__ = ("_exchange", "_is_budgeted", "_rule", "_rules", "retries", "tried")

    def __init__(self, exchange: Exchange, rule: Rule, rules: RetryRules) -> None:
        self._exchange = exchange
        self._rule = rule
        self._rules = rules
        self._is_budgeted = False  # a retry is in flight, counted by the budget
        self.retries = 0
        self.tried: tuple[Member, ...] = ()

    def plan(self, member: Member | None, reason: Failure | int, label: str, retry_after: bytes | None) -> float | None:
        """Count another try, if it is safe, wanted and affordable: seconds until it begins; None = there is none.

        `member`: of the try that failed; `label`: of the reason, in the metrics.
        """
        exchange, rules = self._exchange, self._rules
        context = exchange.context
        is_body_kept = exchange.body is None or not exchange.body.is_lost
        if not rules.may_retry(
            self.retries, exchange.head.method, reason, has_answered=exchange.has_answered, body_kept=is_body_kept
        ):
            return None
        wait = rules.wait(self.retries, context.random(), retry_after, context.clock.wall())
        if wait is None or context.now() + wait >= exchange.started + self._rule.request_timeout:
            return None
        self.leave_budget()
        if not rules.budget.enter():
            count_in(exchange.stats.retries, "budget_exhausted")
            return None
        self._is_budgeted = True
        self.retries += 1
        count_in(exchange.stats.retries, label)
        if member is not None:
            self.tried = (*self.tried, member)
        return wait

    def had_less_time(self, problem: Problem, tried_at: float) -> bool:
        """Whether a further try had less time than a first one: its endpoint is not at fault for that."""
        rule = self._rule
        limits = {problems.CONNECT_TIMEOUT: rule.connect_timeout, problems.UPSTREAM_TIMEOUT: rule.backend_timeout}
        remaining = self._exchange.started + rule.request_timeout - tried_at
        return self.retries > 0 and problem in limits and remaining < limits[problem]

    def leave_budget(self) -> None:
        """The retry in flight has ended."""
        if self._is_budgeted:
            self._is_budgeted = False
            self._rules.budget.leave()
