"""Gets a response from an upstream: the endpoint, the connection, and the next step when a try fails.

One request may take several tries. The core decides where each goes (`selection`), whether another one follows (`retry`)
and what a result means for an endpoint (`outlier_detection`); this performs it. With an idle connection everything is a
synchronous callback; only a new connection and the wait before a further try are tasks.
"""

import asyncio
import logging
from typing import Final

from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.field_kinds import Fields
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.response_head import ResponseHead
from inferway_dataplane.core.runtime import Rule
from inferway_dataplane.core.upstreams import outlier_detection, retry
from inferway_dataplane.core.upstreams.backends import Backend
from inferway_dataplane.core.upstreams.balancing import peak_ewma
from inferway_dataplane.core.upstreams.members import Member
from inferway_dataplane.core.upstreams.retry import Failure
from inferway_dataplane.engine.exchange import local_reply, relay, upstream_head
from inferway_dataplane.engine.exchange.client import HOLD_BODY, HOLD_UPSTREAM
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.engine.exchange.hooks import Work
from inferway_dataplane.engine.exchange.request_body import RequestBody
from inferway_dataplane.engine.exchange.retry_state import RetryState
from inferway_dataplane.engine.http1 import serialize
from inferway_dataplane.engine.http1.response_parser import Receiver
from inferway_dataplane.engine.upstream.connection import UpstreamConnection
from inferway_dataplane.engine.upstream.pool import ConnectFailed, EndpointPool
from inferway_dataplane.observability.stats import count_in

log = logging.getLogger("inferway")

_MOST_HINTS: Final = 20
"""103 heads of one request that are passed on. A client may ignore hints, so the rest is dropped instead of refused."""


class UpstreamRequest(Receiver, Work):
    """The tries of one exchange. It receives until the final head is there; then a `Relay` does."""

    __slots__ = (
        "_connecting_to", "_exchange", "_head", "_hints", "_is_judged", "_is_pending", "_is_resent", "_member", "_retry", "_rule",
        "_sent_at", "_task", "_tried_at", "backend", "connection", "first_sent_at", "is_head_request",
        "response_id",
    )  # fmt: skip

    def __init__(self, exchange: Exchange, rule: Rule) -> None:
        self._exchange = exchange
        self._rule = rule
        self.is_head_request = exchange.is_head_request
        self.backend: Backend | None = None
        self.first_sent_at = 0.0
        self.response_id: bytes | None = None  # the X-Request-Id of the response
        self._hints = 0  # 103 heads that were passed on
        self._member: Member | None = None
        self._is_judged = True  # the last try's result was counted for its endpoint
        self._is_resent = False
        self._is_pending = False  # waits for a connection, counted by the breaker
        self._connecting_to: EndpointPool | None = None
        self._retry: RetryState | None = None
        self._task: asyncio.Task[None] | None = None
        self.connection: UpstreamConnection | None = None

    # --- one try -----------------------------------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """Choose an endpoint and send the request. `now`: monotonic seconds."""
        exchange, rule = self._exchange, self._rule
        context = exchange.context
        key = rule.hash_key(exchange.head, exchange.client_ip) if rule.hash_key is not None else None
        tried = self._retry.tried if self._retry is not None else ()
        choice = rule.backend_set.choose(now, context.random, key, tried)
        if isinstance(choice, Problem):
            local_reply.break_off(exchange, choice)
            return
        if rule.backend_set.is_panic:
            exchange.stats.panics += 1
        backend, member = choice
        self.backend, self._member = backend, member
        self._tried_at = now
        self._is_judged = False
        secret = b"" if backend.credential is None else context.secrets.get(backend.credential.file)
        if secret is None:
            local_reply.break_off(exchange, problems.CREDENTIAL_MISSING)
            return
        self._head = upstream_head.request(exchange, rule, backend, secret)
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
        # A request that waits for a connection is load too; else an endpoint that answers no SYN looks the least busy.
        endpoint.active += 1
        self._connecting_to = endpoint
        self._task = asyncio.get_running_loop().create_task(self._connect(endpoint))

    async def _connect(self, endpoint: EndpointPool) -> None:
        exchange, rule = self._exchange, self._rule
        problem: Problem | None = None
        try:
            remaining = exchange.started + rule.request_timeout - exchange.context.now()
            connection = await endpoint.connect(min(rule.connect_timeout, max(remaining, 0.001)))
        except ConnectFailed as failure:
            problem = failure.problem
        except Exception:
            # A bug, here or in a library: it costs this request, and no client waits forever.
            log.exception("unexpected error while connecting")
            problem = problems.INTERNAL
        self._task = None
        self._end_connecting()
        if problem is not None:
            if not exchange.is_finished:
                self._fail(problem)
        elif exchange.is_finished:
            connection.transport.close()
        elif not connection.transport.is_closing():
            self._use(connection)
        elif self._is_resent:
            self._fail(problems.UPSTREAM_CLOSED)
        else:
            # It was closed in the meantime: nothing was written, so another one may be made, once.
            self._resend(endpoint)

    def _resend(self, endpoint: EndpointPool) -> None:
        self._is_resent = True
        self._is_pending = self._rule.breaker.enter_pending()
        self._start_connecting(endpoint)

    def _use(self, connection: UpstreamConnection) -> None:
        exchange, rule = self._exchange, self._rule
        self.connection = connection
        read_clock = exchange.context.now
        now = self._sent_at = read_clock()
        if not self.first_sent_at:
            self.first_sent_at = now
        data = self._head
        if exchange.body is not None:
            data += exchange.body.take(keeps=self._may_repeat())
            exchange.client.resume(HOLD_BODY)
        deadline = min(now + rule.backend_timeout, exchange.started + rule.request_timeout)
        if exchange.client.is_write_paused:
            connection.pause()
        is_whole = exchange.is_request_complete or not exchange.head.block.has_body
        connection.start(self, data, deadline, rule.stream_idle, rule.max_response_header, is_whole)

    def send_body(self, body: RequestBody) -> None:
        if self.connection is not None:
            data = body.take(keeps=not self._exchange.has_answered and self._may_repeat())
            self.connection.send(data, self._exchange.is_request_complete)

    def _may_repeat(self) -> bool:
        """Whether the request may have to be sent again, so that its body is kept."""
        return self._rule.retry is not None or self._exchange.head.method in retry.IDEMPOTENT

    def _drop_connection(self) -> UpstreamConnection | None:
        connection, self.connection = self.connection, None
        return connection

    # --- the response --------------------------------------------------------------------------------------------------------

    def on_informational(self, status: int, fields: Fields) -> None:
        """Pass 102 and 103 to HTTP/1.1 clients; 100 is the gateway's to send."""
        exchange = self._exchange
        if not exchange.head.is_http_1_1:
            return
        if status == 102:
            exchange.client.write(serialize.status_line(status) + b"\r\n")
        elif status == 103 and self._hints < _MOST_HINTS:
            self._hints += 1
            exchange.client.write(serialize.status_line(status) + relay.interim_lines(fields, self._rule) + b"\r\n")

    def on_head(self, head: ResponseHead) -> Receiver | None:
        exchange, rule, member = self._exchange, self._rule, self._member
        read_clock = exchange.context.now
        now = read_clock()
        status = head.status
        if member is not None and not self._is_judged:
            self._is_judged = True
            if rule.backend_set.measures_latency:
                peak_ewma.observe(member, now - self._sent_at, now)
            if outlier_detection.is_failure(status):
                self._count_failure(member, now)
            elif (member.failures or member.is_ejected) and outlier_detection.on_success(member, self._tried_at, now):
                log.info(
                    "an endpoint is available again",
                    extra={"endpoint": member.name, "rule": rule.name, "route": rule.route},
                )
        if rule.retry is not None and status in rule.retry.statuses:
            retry_after = next((value for name, value in head.passed if name.lower() == b"retry-after"), None)
            if self._plan_retry(status, str(status), retry_after):
                connection = self._drop_connection()
                if connection is not None:
                    connection.forget()
                    exchange.client.resume(HOLD_UPSTREAM)
                return None
        self.response_id = head.request_id
        observe = exchange.stats.upstream.observe
        observe(now - self._sent_at)
        receiver = relay.Relay(exchange, rule, self, head, now)
        exchange.on_upstream_head(status, now, now - self.first_sent_at)
        return receiver

    def on_writable(self, writable: bool) -> None:
        if writable:
            self._exchange.client.resume(HOLD_UPSTREAM)
        else:
            self._exchange.client.pause(HOLD_UPSTREAM)

    # --- failures ------------------------------------------------------------------------------------------------------------

    def on_broken(self, problem: Problem, *, unanswered: bool) -> None:
        exchange = self._exchange
        connection = self._drop_connection()
        if exchange.is_finished:
            return
        if (
            connection is not None
            and self._member is not None
            and problem is problems.UPSTREAM_CLOSED
            and not self._is_resent
            and retry.may_resend(
                exchange.head.method,
                was_reused=connection.is_reused,
                was_written=True,
                has_answered=not unanswered,
                body_kept=exchange.body is None or not exchange.body.is_lost,
            )
        ):
            self._bring_back_body()
            self._resend(self._member.endpoint)
            return
        self._fail(problem)

    def _fail(self, problem: Problem) -> None:
        """A try failed without a response."""
        exchange, rule, member = self._exchange, self._rule, self._member
        exchange.client.resume(HOLD_UPSTREAM)
        count_in(exchange.stats.upstream_errors, problem.code)
        if member is not None and outlier_detection.is_fault(problem):
            if self._retry is None or not self._retry.had_less_time(problem, self._tried_at):
                now = exchange.context.now()
                self._is_judged = True
                if rule.backend_set.measures_latency:
                    peak_ewma.observe_failure(member, now - self._tried_at, now)
                self._count_failure(member, now)
            reason = retry.failure_of(problem)
            if reason is not None and self._plan_retry(reason, problem.code, None):
                return
        local_reply.break_off(exchange, problem)

    def _count_failure(self, member: Member, now: float) -> None:
        rule = self._rule
        if outlier_detection.on_failure(member, self._tried_at, now, rule.backend_set):
            where = {"endpoint": member.name, "rule": rule.name, "route": rule.route}
            log.warning("ejected an endpoint", extra={**where, "seconds": round(member.ejected_until - now, 1)})

    # --- a further try -------------------------------------------------------------------------------------------------------

    def _plan_retry(self, reason: Failure | int, label: str, retry_after: bytes | None) -> bool:
        """Begin a further try, now or after a wait, where that is safe, wanted and affordable."""
        rule = self._rule
        if rule.retry is None:
            return False
        if self._retry is None:
            self._retry = RetryState(self._exchange, rule, rule.retry)
        wait = self._retry.plan(self._member, reason, label, retry_after)
        if wait is None:
            return False
        self._bring_back_body()
        # As a task even without a wait: this runs within a callback of the connection that has failed.
        self._task = asyncio.get_running_loop().create_task(self._begin_later(wait))
        return True

    async def _begin_later(self, wait: float) -> None:
        if wait > 0:
            await asyncio.sleep(wait)
        self._task = None
        self._is_resent = False
        try:
            self.begin(self._exchange.context.now())
        except Exception:
            # As in `_connect`: nothing else would end the exchange.
            log.exception("unexpected error while retrying")
            local_reply.break_off(self._exchange, problems.INTERNAL)

    def _bring_back_body(self) -> None:
        if self._exchange.body is not None:
            self._exchange.body.bring_back()

    # --- the end -------------------------------------------------------------------------------------------------------------

    def release(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        connection = self._drop_connection()
        if connection is not None:
            connection.abandon()
            self._exchange.client.resume(HOLD_UPSTREAM)

    def settle(self) -> None:
        self._rule.breaker.leave()
        if not self._is_judged and self._member is not None:
            self._is_judged = True
            outlier_detection.on_abandoned(self._member, self._tried_at)
        if self._connecting_to is not None or self._is_pending:
            self._end_connecting()
        if self._retry is not None:
            self._retry.leave_budget()

    def _end_connecting(self) -> None:
        endpoint, self._connecting_to = self._connecting_to, None
        if endpoint is not None:
            endpoint.active -= 1
        if self._is_pending:
            self._is_pending = False
            self._rule.breaker.leave_pending()
