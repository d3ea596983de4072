"""Gets a response from an upstream: the endpoint, the connection, and the next step when a try fails.

One request may take several tries. The core decides where each goes (`selection`), whether another one follows (`retry`)
and what a result means for an endpoint (`outlier_detection`); this performs it. With an idle connection everything is a
synchronous callback; only a new connection and the wait before a further try are tasks.
"""

import asyncio
from typing import Final

from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.field_kinds import Fields
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.response_head import ResponseHead
from inferway_dataplane.core.rule import Rule
from inferway_dataplane.core.upstreams import outlier_detection, retry
from inferway_dataplane.core.upstreams.backends import Backend
from inferway_dataplane.core.upstreams.balancing import peak_ewma
from inferway_dataplane.core.upstreams.kept_bodies import KeptBodies
from inferway_dataplane.core.upstreams.members import Member
from inferway_dataplane.core.upstreams.retry import Failure
from inferway_dataplane.core.upstreams.selection import Choice
from inferway_dataplane.engine.clock import NEVER
from inferway_dataplane.engine.exchange import endpoint_health, local_reply, relay, upstream_head
from inferway_dataplane.engine.exchange.client import HOLD_BODY, HOLD_UPSTREAM
from inferway_dataplane.engine.exchange.connect_attempt import ConnectAttempt
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.engine.exchange.hooks import Work
from inferway_dataplane.engine.exchange.request_body import RequestBody
from inferway_dataplane.engine.exchange.retry_state import RetryState
from inferway_dataplane.engine.http1 import serialize
from inferway_dataplane.engine.http1.response_parser import Receiver
from inferway_dataplane.engine.upstream.connection import HIGH_WATER, UpstreamConnection
from inferway_dataplane.engine.upstream.pool import EndpointPool
from inferway_dataplane.observability.stats import count_in

_MOST_HINTS: Final = 20
"""103 heads of one request that are passed on. A client may ignore hints, so the rest is dropped instead of refused."""


class UpstreamRequest(Receiver, Work):
    """The tries of one exchange. It receives until the final head is there; then a `Relay` does."""

    __slots__ = (
        "_asked_at", "_connecting", "_exchange", "_head", "_hints", "_is_judged", "_is_resent", "_member", "_retry",
        "_rule", "_sent_at", "_task", "_tried_at", "_whole_at", "backend", "connection", "first_sent_at",
        "is_head_request", "upstream_id",
    )  # fmt: skip

    def __init__(self, exchange: Exchange, rule: Rule, now: float) -> None:
        """`now`: monotonic seconds; the request's time begins then, if it is complete."""
        self._exchange = exchange
        self._rule = rule
        self.is_head_request = exchange.is_head_request
        self.backend: Backend | None = None
        self.first_sent_at = 0.0
        self._hints = 0  # 103 heads that were passed on
        self.upstream_id = b""  # the request id of the upstream that answered
        # Monotonic seconds; when `timeouts.request` begins.
        self._whole_at = now if exchange.is_request_complete or not exchange.head.block.has_body else NEVER
        self._member: Member | None = None
        self._is_judged = True  # the last try's result was counted for its endpoint
        self._is_resent = False
        self._connecting: ConnectAttempt | None = None
        self._retry: RetryState | None = None
        self._task: asyncio.Task[None] | None = None  # begins a further try
        self.connection: UpstreamConnection | None = None

    # --- one try -----------------------------------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """Begin a try: choose an endpoint and send the request. `now`: monotonic seconds."""
        exchange, rule, tries = self._exchange, self._rule, self._retry
        context = exchange.context
        private = exchange.client.private
        backend_set = rule.backend_set
        choice: Choice | Problem | None = None
        if private is not None and tries is None:
            choice = private.choose(backend_set)
        if choice is None:
            key = rule.hash_key(exchange.head, exchange.client_ip) if rule.hash_key is not None else None
            if tries is None:
                choice = backend_set.choose(now, context.random, key)
            else:
                choice = backend_set.choose(now, context.random, key, tries.tried, tries.resting(now))
        if isinstance(choice, Problem):
            local_reply.break_off(exchange, choice)
            return
        if backend_set.is_panic:
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
        connection = None if private is None else private.take(endpoint)
        if connection is None:
            connection = endpoint.take()
        if connection is not None:
            self._use(connection)
        else:
            self._connect(endpoint)

    def _connect(self, endpoint: EndpointPool) -> None:
        exchange, rule = self._exchange, self._rule
        if not rule.breaker.enter_pending():
            self._fail(problems.PENDING_OVERFLOW)
            return
        left = max(self._ends_at - exchange.context.now(), 0.001)
        self._connecting = ConnectAttempt(endpoint, min(rule.connect_timeout, left), rule.breaker, self._on_connected)

    def _on_connected(self, result: UpstreamConnection | Problem) -> None:
        self._connecting = None
        try:
            if isinstance(result, Problem):
                self._fail(result)
            elif not result.transport.is_closing():
                self._use(result)
            elif self._is_resent or self._member is None:
                self._fail(problems.UPSTREAM_CLOSED)
            else:
                # It was closed in the meantime: nothing was written, so another one may be made, once.
                self._is_resent = True
                self._connect(self._member.endpoint)
        except Exception:
            # In a task nothing else would end the exchange.
            local_reply.fail(self._exchange)

    @property
    def _ends_at(self) -> float:
        """Monotonic seconds at which the time of all tries is over."""
        return self._whole_at + self._rule.request_timeout

    def _use(self, connection: UpstreamConnection) -> None:
        exchange, rule = self._exchange, self._rule
        client, block = exchange.client, exchange.head.block
        self.connection = connection
        read_clock = exchange.context.now
        now = self._sent_at = self._asked_at = read_clock()
        if not self.first_sent_at:
            self.first_sent_at = now
        if block.is_negotiated:
            client.bind(connection)
        # A client's pace is not an endpoint's fault: its time begins when it has the whole request.
        is_whole = exchange.is_request_complete or not block.has_body
        deadline = min(now + rule.backend_timeout, self._whole_at + rule.request_timeout) if is_whole else NEVER
        data = self._head
        pieces: list[bytes] | None = None
        if exchange.body is not None:
            pieces = exchange.body.take(self._budget())
            if sum(map(len, pieces)) <= HIGH_WATER:
                data, pieces = b"".join([data, *pieces]), None
            client.resume(HOLD_BODY)
        connection.start(self, data, deadline, rule.response_limits, is_whole)
        if pieces:
            connection.send(pieces)
        if client.is_write_paused:
            connection.pause()

    def on_request_end(self) -> None:
        if self._whole_at == NEVER:
            read_clock = self._exchange.context.now
            self._whole_at = read_clock()

    def send_body(self, body: RequestBody) -> None:
        connection = self.connection
        if connection is None:
            return
        pieces = body.take(self._budget())
        if pieces:
            connection.send(pieces)
        if self._exchange.is_request_complete and not connection.is_request_whole:
            now = self._asked_at = self._exchange.context.now()
            connection.end_request(min(now + self._rule.backend_timeout, self._ends_at))

    def _budget(self) -> KeptBodies | None:
        """Where to count the body that is kept for another try; None = there may be none."""
        exchange, rules = self._exchange, self._rule.retry
        method = exchange.head.method
        # Of other methods a try without a connection may be repeated, which has taken nothing.
        may_repeat = method in retry.IDEMPOTENT or (rules is not None and method in rules.methods)
        return exchange.context.kept_bodies if may_repeat and not exchange.has_answered else None

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
        exchange, rule, member, connection = self._exchange, self._rule, self._member, self.connection
        read_clock = exchange.context.now
        now = read_clock()
        status = head.status
        if member is not None and not self._is_judged:
            self._is_judged = True
            if rule.backend_set.measures_latency and connection is not None and connection.is_request_whole:
                peak_ewma.observe(member, now - self._asked_at, now)
            if status >= 500 or member.failures or member.is_ejected:
                endpoint_health.on_response(rule, member, status, self._tried_at, now)
        if head.is_negotiating and connection is not None:
            exchange.client.bind(connection)
        if rule.retry is not None and status in rule.retry.statuses:
            retry_after = next((value for name, value in head.passed if name.lower() == b"retry-after"), None)
            if self._plan_retry(status, str(status), retry_after):
                self.connection = None
                if connection is not None:
                    connection.forget()
                    exchange.client.resume(HOLD_UPSTREAM)
                return None
        if exchange.body is not None:
            exchange.body.drop_kept()
        observe = exchange.stats.upstream.observe
        observe(now - self._sent_at)
        self.upstream_id = head.request_id
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
        connection = self._drop_connection()
        if self._exchange.is_finished:
            return
        try:
            self._repeat_or_fail(connection, problem, unanswered=unanswered)
        except Exception:
            local_reply.fail(self._exchange)

    def _repeat_or_fail(self, connection: UpstreamConnection | None, problem: Problem, *, unanswered: bool) -> None:
        exchange = self._exchange
        if (
            connection is not None
            and self._member is not None
            and problem is problems.UPSTREAM_CLOSED
            and not self._is_resent
            and retry.may_resend(
                exchange.head.method, was_reused=connection.is_reused, was_written=True, has_answered=not unanswered
            )
            and self._is_body_kept()
        ):
            self._is_resent = True
            self._bring_back_body()
            self._connect(self._member.endpoint)
            return
        self._fail(problem)

    def _fail(self, problem: Problem) -> None:
        """A try failed without a response."""
        exchange, rule, member = self._exchange, self._rule, self._member
        exchange.client.resume(HOLD_UPSTREAM)
        count_in(exchange.stats.upstream_errors, problem.code)
        if member is not None and outlier_detection.is_fault(problem):
            if self._retry is None or not self._retry.had_less_time(problem, self._tried_at, self._ends_at):
                self._is_judged = True
                endpoint_health.on_no_response(rule, member, self._tried_at, exchange.context.now())
            reason = retry.failure_of(problem)
            if reason is not None and self._plan_retry(reason, problem.code, None):
                return
        local_reply.break_off(exchange, problem)

    # --- a further try -------------------------------------------------------------------------------------------------------

    def _plan_retry(self, reason: Failure | int, label: str, retry_after: bytes | None) -> bool:
        """Begin a further try, now or after a wait, where that is safe, wanted and affordable."""
        rule = self._rule
        if rule.retry is None:
            return False
        if self._retry is None:
            self._retry = RetryState(self._exchange, rule, rule.retry)
        wait = self._retry.plan(self._member, reason, label, retry_after, self._ends_at)
        if wait is None:
            return False
        self._bring_back_body()
        # As a task even without a wait: this runs within a callback of the connection that has failed.
        self._task = asyncio.get_running_loop().create_task(self._try_later(wait))
        return True

    async def _try_later(self, wait: float) -> None:
        if wait > 0:
            await asyncio.sleep(wait)
        self._task = None
        self._is_resent = False
        try:
            if not self._is_judged:
                self._abandon_member()
            self.begin(self._exchange.context.now())
        except Exception:
            # As in `_on_connected`.
            local_reply.fail(self._exchange)

    def _is_body_kept(self) -> bool:
        """Whether the body can be sent again; it is counted if not."""
        body = self._exchange.body
        if body is None or not body.is_lost:
            return True
        count_in(self._exchange.stats.retries, "body_not_kept")
        return False

    def _bring_back_body(self) -> None:
        if self._exchange.body is not None:
            self._exchange.body.bring_back()

    # --- the end -------------------------------------------------------------------------------------------------------------

    def release(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._connecting is not None:
            self._connecting.end()
            self._connecting = None
        connection = self._drop_connection()
        if connection is not None:
            connection.abandon()
            self._exchange.client.resume(HOLD_UPSTREAM)

    def settle(self) -> None:
        self._rule.breaker.leave()
        if self._connecting is not None:
            self._connecting.end()
        if self._retry is not None:
            self._retry.leave_budget()
        if self._exchange.body is not None:
            self._exchange.body.drop_kept()
        if not self._is_judged:
            self._abandon_member()

    def _abandon_member(self) -> None:
        """The last try ends without a result for its endpoint, which may have been probed by it."""
        self._is_judged = True
        if self._member is not None:
            outlier_detection.on_abandoned(self._member, self._tried_at)
