"""Getting an answer: to which endpoint, on which connection, and what follows when that fails.

One request may take several tries. The core decides where each goes (`selection`), whether there is a next one (`retry`)
and what a result says of an endpoint (`ejection`); this does it. Everything is a synchronous callback where an idle
connection waits; only a new connection and the wait before a further try are tasks.
"""

import asyncio
import logging
from random import random
from time import monotonic, time
from typing import TYPE_CHECKING

from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.response_head import ResponseHead
from inferway_dataplane.core.runtime import Rule
from inferway_dataplane.core.upstreams import outlier_detection, retry
from inferway_dataplane.core.upstreams.backends import Backend
from inferway_dataplane.core.upstreams.balancing import peak_ewma
from inferway_dataplane.core.upstreams.members import Member
from inferway_dataplane.core.upstreams.retry import Failure
from inferway_dataplane.engine.exchange import local_reply, upstream_head
from inferway_dataplane.engine.upstream.connection import HIGH_WATER, UpstreamConnection
from inferway_dataplane.engine.upstream.pool import ConnectFailed, EndpointPool
from inferway_dataplane.observability.stats import count_in

if TYPE_CHECKING:
    from inferway_dataplane.engine.exchange.exchange import Exchange

log = logging.getLogger("inferway")


class UpstreamRequest:
    """The tries of one exchange. `settle` comes once, at its end."""

    __slots__ = (
        "_began_at",
        "_connecting_to",
        "_is_body_lost",
        "_is_budgeted",
        "_is_judged",
        "_is_pending",
        "_is_resent",
        "_keeps",
        "_kept",
        "_member",
        "_retries",
        "_rule",
        "_task",
        "_tried",
        "destination",
        "exchange",
        "first_sent_at",
        "request",
        "sent_at",
    )

    def __init__(self, exchange: "Exchange", rule: Rule) -> None:
        self.exchange = exchange
        self._rule = rule
        self.destination: Backend | None = None
        self.request = b""  # the head, as it is sent
        self.first_sent_at = 0.0
        self.sent_at = 0.0  # of the last try
        self._member: Member | None = None
        self._began_at = 0.0  # when the last try's member was chosen
        self._is_judged = True  # what the last try says of its member is settled
        self._tried: tuple[Member, ...] = ()
        self._retries = 0
        self._is_resent = False
        self._is_pending = False  # waits for a connection, counted by the breaker
        self._connecting_to: EndpointPool | None = None
        self._is_budgeted = False  # a retry is in flight, counted by the budget
        self._task: asyncio.Task[None] | None = None
        # The body is kept for a further try where there may be one, as far as HIGH_WATER.
        self._keeps = rule.retry is not None or exchange.head.method in retry.IDEMPOTENT
        self._kept: list[bytes] | None = None
        self._is_body_lost = False

    # --- one try -----------------------------------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """Choose an endpoint and ask it. `now`: monotonic seconds."""
        exchange, rule = self.exchange, self._rule
        key = rule.hash_key(exchange.head, exchange.client_ip) if rule.hash_key is not None else None
        chosen = rule.backend_set.choose(now, random, key, self._tried)
        if isinstance(chosen, Problem):
            self._give_up(chosen)
            return
        if rule.backend_set.is_panic:
            exchange.stats.panics += 1
        destination, member = chosen
        self.destination, self._member = destination, member
        self._began_at = now
        self._is_judged = False
        secret = b""
        if destination.credential is not None:
            found = exchange.gateway.secrets.get(destination.credential.file)
            if found is None:
                self._give_up(problems.CREDENTIAL_MISSING)
                return
            secret = found
        self.request = upstream_head.request(exchange, rule, destination, secret)
        endpoint: EndpointPool = member.endpoint
        connection = endpoint.take()
        if connection is not None:
            self._use(connection)
        elif rule.breaker.enter_pending():
            self._is_pending = True
            self._start_connecting(endpoint)
        else:
            self._fail(problems.PENDING_OVERFLOW)

    def _start_connecting(self, endpoint: EndpointPool) -> None:
        # A request that waits for a connection is load too: else who answers no SYN would look like the idlest of all.
        endpoint.active += 1
        self._connecting_to = endpoint
        self._task = asyncio.get_running_loop().create_task(self._connect(endpoint))

    async def _connect(self, endpoint: EndpointPool) -> None:
        exchange, rule = self.exchange, self._rule
        problem: Problem | None = None
        try:
            remaining = exchange.started + rule.request_timeout - monotonic()
            connection = await endpoint.connect(min(rule.connect_timeout, max(remaining, 0.001)))
        except ConnectFailed as failure:
            problem = failure.problem
        except Exception:
            # A mistake of ours, or of a library below: it costs this request, is told, and nobody waits for ever.
            log.exception("a connection failed in a way that is not foreseen")
            problem = problems.INTERNAL
        self._task = None
        self._end_connecting()
        if problem is not None:
            if not exchange.is_finished:
                self._fail(problem)
        elif exchange.is_finished:
            connection.transport.close()
        elif connection.transport.is_closing():
            # It went in the moment between: nothing was written, so another one may be made, once.
            if self._is_resent:
                self._fail(problems.UPSTREAM_CLOSED)
            else:
                self._is_resent = True
                self._is_pending = rule.breaker.enter_pending()
                self._start_connecting(endpoint)
        else:
            self._use(connection)

    def _use(self, connection: UpstreamConnection) -> None:
        exchange, rule = self.exchange, self._rule
        exchange.upstream = connection
        now = self.sent_at = monotonic()
        if not self.first_sent_at:
            self.first_sent_at = now
        data = self.request
        body = exchange.body
        if body is not None:
            exchange.body = None
            data += b"".join(body)
            if self._keeps and exchange.body_size <= HIGH_WATER:
                self._kept = body
            else:
                self._is_body_lost = True
            exchange.client.resume("body")
        deadline = min(now + rule.backend_timeout, exchange.started + rule.request_timeout)
        if exchange.client.is_write_paused:
            connection.pause()
        connection.start(exchange, data, deadline, rule.stream_idle, rule.max_response_header)

    def pass_body(self, piece: bytes) -> None:
        """A piece of the request's body has come while a connection is in use."""
        exchange = self.exchange
        if self._keeps and not self._is_body_lost:
            if exchange.body_size > HIGH_WATER or exchange.has_answered:
                self._is_body_lost = True
                self._kept = None
            elif self._kept is None:
                self._kept = [piece]
            else:
                self._kept.append(piece)
        else:
            self._is_body_lost = True
        if exchange.upstream is not None:
            exchange.upstream.transport.write(piece)

    # --- what comes of it ----------------------------------------------------------------------------------------------------

    def take_head(self, answer: ResponseHead, now: float) -> bool:
        """The head of an answer has come. True = it is not for the client: another try follows."""
        rule, member = self._rule, self._member
        status = answer.status
        if member is not None and not self._is_judged:
            self._is_judged = True
            if rule.backend_set.measures_latency:
                peak_ewma.observe(member, now - self.sent_at, now)
            if outlier_detection.is_failure(status):
                self._tell(member, outlier_detection.on_failure(member, self._began_at, now, rule.backend_set))
            elif (member.failures or member.is_ejected) and outlier_detection.on_success(member, self._began_at, now):
                log.info("an endpoint is back", extra={"endpoint": member.name, "rule": rule.name, "route": rule.route})
        if rule.retry is None or status not in rule.retry.statuses:
            return False
        asked = next((value for name, value in answer.passed if name.lower() == b"retry-after"), None)
        if not self._plan(status, str(status), asked):
            return False
        connection, self.exchange.upstream = self.exchange.upstream, None
        if connection is not None:
            connection.forget()
            self.exchange.client.resume("upstream")
        return True

    def on_broken(self, problem: Problem, *, unanswered: bool) -> None:
        """The connection that was in use failed."""
        exchange = self.exchange
        connection, exchange.upstream = exchange.upstream, None
        if exchange.is_finished:
            return
        if (
            connection is not None
            and problem is problems.UPSTREAM_CLOSED
            and not self._is_resent
            and retry.may_resend(
                exchange.head.method,
                was_reused=connection.is_reused,
                was_written=True,
                has_answered=not unanswered,
                body_kept=not self._is_body_lost,
            )
        ):
            self._is_resent = True
            self._bring_back_body()
            self._is_pending = self._rule.breaker.enter_pending()
            self._start_connecting(connection.endpoint)
            return
        self._fail(problem)

    def _fail(self, problem: Problem) -> None:
        """A try failed without an answer."""
        exchange, member = self.exchange, self._member
        exchange.client.resume("upstream")
        count_in(exchange.stats.upstream_errors, problem.code)
        if member is not None and outlier_detection.is_fault(problem):
            if not self._was_cut_short(problem):
                now = monotonic()
                self._is_judged = True
                if self._rule.backend_set.measures_latency:
                    peak_ewma.observe_failure(member, now - self._began_at, now)
                self._tell(member, outlier_detection.on_failure(member, self._began_at, now, self._rule.backend_set))
            reason = retry.failure_of(problem)
            if reason is not None and self._plan(reason, problem.code, None):
                return
        self._give_up(problem)

    def _was_cut_short(self, problem: Problem) -> bool:
        """Whether a further try had less time than one has: what the tries before it used up is not its endpoint's fault."""
        rule = self._rule
        if not self._retries or problem not in (problems.CONNECT_TIMEOUT, problems.UPSTREAM_TIMEOUT):
            return False
        whole = rule.connect_timeout if problem is problems.CONNECT_TIMEOUT else rule.backend_timeout
        return self.exchange.started + rule.request_timeout - self._began_at < whole

    def _give_up(self, problem: Problem) -> None:
        if self.exchange.has_answered:
            self.exchange.cut_answer(problem)
        else:
            local_reply.refuse(self.exchange, problem)

    def _tell(self, member: Member, is_ejected: bool) -> None:
        if is_ejected:
            rule = self._rule
            seconds = round(member.ejected_until - monotonic(), 1)
            where = {"endpoint": member.name, "rule": rule.name, "route": rule.route}
            log.warning("an endpoint fails and is left alone", extra={**where, "seconds": seconds})

    # --- a further try -------------------------------------------------------------------------------------------------------

    def _plan(self, reason: Failure | int, label: str, retry_after: bytes | None) -> bool:
        """Begin a further try, now or after a wait, where that is safe, wanted and affordable."""
        exchange, rules = self.exchange, self._rule.retry
        if rules is None or not rules.may_retry(
            self._retries,
            exchange.head.method,
            reason,
            has_answered=exchange.has_answered,
            body_kept=not self._is_body_lost,
        ):
            return False
        wait = rules.wait(self._retries, random(), retry_after, time())  # noqa: S311 - jitter, not secrecy
        if wait is None or monotonic() + wait >= exchange.started + self._rule.request_timeout:
            return False
        self._end_budget()
        if not rules.budget.enter():
            count_in(exchange.stats.retries, "budget_exhausted")
            return False
        self._is_budgeted = True
        self._retries += 1
        count_in(exchange.stats.retries, label)
        if self._member is not None:
            self._tried = (*self._tried, self._member)
        self._bring_back_body()
        # Never at once: this is called from within the connection that has failed.
        self._task = asyncio.get_running_loop().create_task(self._begin_later(wait))
        return True

    async def _begin_later(self, wait: float) -> None:
        if wait > 0:
            await asyncio.sleep(wait)
        self._task = None
        self._is_resent = False
        try:
            self.begin(monotonic())
        except Exception:
            # As in `_connect`: nobody else would end the exchange.
            log.exception("a further try failed in a way that is not foreseen")
            if not self.exchange.is_finished:
                self._give_up(problems.INTERNAL)

    def _bring_back_body(self) -> None:
        if self._kept is not None:
            self.exchange.body, self._kept = self._kept, None

    # --- the end -------------------------------------------------------------------------------------------------------------

    def release(self) -> None:
        """Nobody wants the answer any more: end the try that is under way."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        connection, self.exchange.upstream = self.exchange.upstream, None
        if connection is not None:
            connection.abandon()
            self.exchange.client.resume("upstream")

    def settle(self) -> None:
        """The exchange has ended: give back what it held."""
        self._rule.breaker.leave()
        if not self._is_judged and self._member is not None:
            self._is_judged = True
            outlier_detection.on_abandoned(self._member, self._began_at)
        self._end_connecting()
        if self._is_budgeted:
            self._end_budget()

    def _end_connecting(self) -> None:
        endpoint, self._connecting_to = self._connecting_to, None
        if endpoint is not None:
            endpoint.active -= 1
        if self._is_pending:
            self._is_pending = False
            self._rule.breaker.leave_pending()

    def _end_budget(self) -> None:
        if self._is_budgeted and self._rule.retry is not None:
            self._is_budgeted = False
            self._rule.retry.budget.leave()
