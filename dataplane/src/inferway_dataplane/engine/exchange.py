"""One request in flight, and its answer.

Stages decide in one order (`stages.ORDER`); answers come back by callbacks of the upstream connection. An exchange ends
exactly once, in `_finish`, where counters, log and connections are settled. Everything is a synchronous callback; only
what truly waits (a new connection) is a task.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Final

from inferway_dataplane.core import problems
from inferway_dataplane.core.heads import Fields, RequestHead, ResponseHead
from inferway_dataplane.core.problems import Problem
from inferway_dataplane.core.runtime import Destination, Rule, Runtime
from inferway_dataplane.engine import answers, storing
from inferway_dataplane.engine.upstream import HIGH_WATER, ConnectFailed, Endpoint, UpstreamConnection
from inferway_dataplane.observe import RuleStats, count_in
from inferway_dataplane.stores.memory import Stored

if TYPE_CHECKING:
    from inferway_dataplane.engine.downstream import ClientConnection

log = logging.getLogger("inferway")

_IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))


class Exchange:
    """The state of one request. `outcome` is the cache's (HIT, MISS, BYPASS), None where no cache is involved."""

    __slots__ = (
        "answered_at",
        "body",
        "body_size",
        "bytes_sent",
        "cache_key",
        "client",
        "client_ip",
        "code",
        "collected",
        "collected_size",
        "connecting",
        "destination",
        "gateway",
        "has_answered",
        "has_passed",
        "head",
        "is_chunking",
        "is_close_after",
        "is_finished",
        "is_head_request",
        "is_request_complete",
        "is_resent",
        "is_whole",
        "limit_lines",
        "out",
        "outcome",
        "pending_store",
        "prefix",
        "problem",
        "request_bytes",
        "request_id",
        "rule",
        "runtime",
        "sent_at",
        "span_id",
        "stages",
        "started",
        "stats",
        "status",
        "traceparent",
        "upstream",
        "upstream_seconds",
    )

    def __init__(self, client: "ClientConnection", head: RequestHead, started: float) -> None:
        self.client = client
        self.gateway = client.gateway
        self.head = head
        self.started = started
        self.stages: Iterator[Callable[[Exchange], bool]] = iter(())
        self.runtime: Runtime | None = None
        self.rule: Rule | None = None
        self.stats: RuleStats = self.gateway.stats.unrouted
        self.prefix = b"/"
        self.problem: Problem | None = None  # found before the stages: its answer when its turn comes
        self.client_ip = client.peer
        self.request_id = b""
        self.span_id = b""
        self.traceparent = b""  # set where the request is traced
        self.is_head_request = head.method == b"HEAD"
        # the request's way up
        self.upstream: UpstreamConnection | None = None
        self.destination: Destination | None = None
        self.connecting: asyncio.Task[None] | None = None
        self.body: list[bytes] | None = None  # kept until there is a connection
        self.body_size = 0
        self.request_bytes = b""
        self.is_request_complete = False
        self.is_resent = False
        self.sent_at = 0.0
        self.upstream_seconds = 0.0
        # the answer's way down
        self.out: list[bytes] = []
        self.status = 0
        self.code = ""
        self.bytes_sent = 0
        self.limit_lines = b""
        self.outcome: str | None = None
        self.cache_key: bytes | None = None
        self.collected: list[bytes] | None = None
        self.collected_size = 0
        self.pending_store: tuple[Stored, tuple[bytes, ...]] | None = None
        self.has_answered = False
        self.answered_at = 0.0
        self.has_passed = False  # a part of the upstream's answer has gone to the client
        self.is_chunking = False
        self.is_close_after = not head.block.keep_alive
        self.is_finished = False
        self.is_whole = False  # the whole answer came in one piece

    # --- stages ----------------------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Run the stages until one of them holds the exchange. An iterator: calling again goes on where it was held."""
        for stage in self.stages:
            if not stage(self):
                return

    # --- the request's body, from the client -------------------------------------------------------------------------------

    def on_request_body(self, data: bytes) -> None:
        """A piece of the body. It goes on at once where there is a connection, else it is kept, at most HIGH_WATER."""
        if self.is_finished:
            return
        self.body_size += len(data)
        if self.rule is not None and self.body_size > self.rule.max_request_body:
            self.break_off(problems.BODY_TOO_LARGE)
            return
        piece = answers.chunk(data) if self.head.block.is_chunked else data
        if self.upstream is not None:
            self.upstream.transport.write(piece)
            return
        if self.body is None:
            self.body = []
        self.body.append(piece)
        if self.body_size > HIGH_WATER:
            self.client.pause("body")

    def on_request_end(self) -> None:
        """The body is complete."""
        self.is_request_complete = True
        if self.head.block.is_chunked and not self.is_finished:
            if self.upstream is not None:
                self.upstream.transport.write(answers.LAST_CHUNK)
            elif self.body is None:
                self.body = [answers.LAST_CHUNK]
            else:
                self.body.append(answers.LAST_CHUNK)

    # --- up: a connection, and the request on it ---------------------------------------------------------------------------

    def send(self, endpoint: Endpoint, request: bytes) -> None:
        """Send the request on an idle connection, or wait for a new one."""
        self.request_bytes = request
        connection = endpoint.take()
        if connection is not None:
            self._use(connection)
        else:
            self.connecting = asyncio.get_running_loop().create_task(self._connect(endpoint))

    async def _connect(self, endpoint: Endpoint) -> None:
        rule = self._rule()
        try:
            remaining = self.started + rule.request_timeout - monotonic()
            connection = await endpoint.connect(min(rule.connect_timeout, max(remaining, 0.001)))
        except ConnectFailed as failure:
            self.connecting = None
            count_in(self.stats.upstream_errors, failure.problem.code)
            if not self.is_finished:
                self.refuse(failure.problem)
            return
        except Exception:
            # A mistake of ours, or of a library below: it costs this request, is told, and nobody waits for ever.
            log.exception("a connection failed in a way that is not foreseen")
            self.connecting = None
            if not self.is_finished:
                self.refuse(problems.INTERNAL)
            return
        self.connecting = None
        if self.is_finished:
            connection.transport.close()
        else:
            self._use(connection)

    def _use(self, connection: UpstreamConnection) -> None:
        rule = self._rule()
        self.upstream = connection
        now = self.sent_at = monotonic()
        data = self.request_bytes
        if self.body is not None:
            data += b"".join(self.body)
            self.body = None
            self.client.resume("body")
        deadline = min(now + rule.backend_timeout, self.started + rule.request_timeout)
        if self.client.is_write_paused:
            connection.pause()
        connection.start(self, data, deadline, rule.stream_idle, rule.max_response_header)

    def _rule(self) -> Rule:
        if self.rule is None:
            raise RuntimeError("an exchange without a rule has no upstream")
        return self.rule

    def on_writable(self, writable: bool) -> None:
        """The upstream reads slowly, or again: so does the client's body."""
        if writable:
            self.client.resume("upstream")
        else:
            self.client.pause("upstream")

    # --- down: the upstream's answer -------------------------------------------------------------------------------------------

    def on_informational(self, status: int, fields: Fields) -> None:
        """102 and 103 go on to HTTP/1.1 clients; 100 was ours to send."""
        if status in (102, 103) and self.head.is_http_1_1:
            kept = [field for field in fields if field[0].lower() == b"link"]
            self.client.write(answers.status_line(status) + answers.lines(kept) + b"\r\n")

    def on_head(self, answer: ResponseHead) -> None:
        """The upstream's head has come: from here on the client's answer has begun."""
        rule = self._rule()
        head = self.head
        now = self.answered_at = monotonic()
        self.upstream_seconds = now - self.sent_at
        self.stats.upstream.observe(self.upstream_seconds)
        self.status = status = answer.status
        fields = answer.passed
        if rule.response_edits is not None:
            fields = rule.response_edits.apply(fields)
        if rule.cors is not None:
            fields = [field for field in fields if not field[0].lower().startswith(b"access-control-")]
        kept = answers.lines(fields)
        if not answer.has_date:
            kept += b"date: %b\r\n" % self.gateway.date
        if self.cache_key is not None:
            storing.begin(self, answer, kept)
        framing = b""
        has_body = not (self.is_head_request or status in (204, 304))
        if answer.content_length >= 0 and status != 204:
            framing = b"content-length: %d\r\n" % answer.content_length
        elif has_body:
            if head.is_http_1_1:
                framing = b"transfer-encoding: chunked\r\n"
                self.is_chunking = True
            else:
                self.is_close_after = True
        if rule.cors is not None:
            framing += answers.lines(rule.cors.response_fields(head))
        if answer.age is not None:
            framing += b"age: %b\r\n" % answer.age
        self.has_answered = True
        self.out.append(answers.status_line(status) + kept + framing + self.own_lines())

    def own_lines(self) -> bytes:
        """The field lines that are this exchange's own, with the blank line that ends a head."""
        lines = b"%bx-request-id: %b\r\n" % (self.limit_lines, self.request_id)
        if self.outcome is not None and self.rule is not None and self.rule.cache is not None:
            lines += b"%b: %b\r\n" % (self.rule.cache.status_header, self.outcome.encode())
        client = self.client
        if self.is_close_after or client.is_closing:
            self.is_close_after = True
            return lines + b"connection: close\r\n\r\n"
        if not self.head.is_http_1_1:
            return lines + b"connection: keep-alive\r\n\r\n"
        return lines + b"\r\n"

    def on_body(self, data: bytes) -> None:
        """A piece of the answer's body."""
        if self.is_finished:
            return
        self.bytes_sent += len(data)
        if self.collected is not None:
            storing.collect(self, data)
        self.out.append(answers.chunk(data) if self.is_chunking else data)

    def on_fed(self) -> None:
        """The upstream connection has read all that had arrived: pass it on in one write."""
        if self.out and not self.is_finished:
            if self.is_chunking and self.upstream is not None and self.upstream.is_complete:
                self.out.append(answers.LAST_CHUNK)
                self.is_chunking = False
            self.is_whole = not self.has_passed and self.upstream is not None and self.upstream.is_complete
            self.has_passed = True
            self.client.transport.write(b"".join(self.out))
            self.out.clear()

    def on_end(self) -> None:
        """The answer is complete."""
        self.upstream = None
        if self.is_finished:
            return
        if self.is_chunking:
            self.client.transport.write(answers.LAST_CHUNK)
        if self.collected is not None:
            storing.keep(self)
        if not self.is_request_complete:
            # The upstream answered without reading all of the request: what is still to come is nobody's.
            self.is_close_after = True
        self._finish()

    def on_broken(self, problem: Problem, *, unanswered: bool) -> None:
        """The upstream connection failed under us."""
        connection, self.upstream = self.upstream, None
        if self.is_finished:
            return
        if connection is not None and unanswered and connection.is_reused and self._may_resend(problem):
            # RFC 9110 9.2.2: it closed while we were sending; nobody has seen the request, or it does no harm twice.
            self.is_resent = True
            self.connecting = asyncio.get_running_loop().create_task(self._connect(connection.endpoint))
            return
        count_in(self.stats.upstream_errors, problem.code)
        if self.has_answered:
            # The client has a part of the answer: it must see that the end is missing.
            self.code = problem.code
            self.client.abort_answer()
            self._finish()
        else:
            self.refuse(problem)

    def _may_resend(self, problem: Problem) -> bool:
        return (
            problem is problems.UPSTREAM_CLOSED
            and not self.is_resent
            and not self.head.block.has_body
            and self.head.method in _IDEMPOTENT
        )

    # --- answers of our own ----------------------------------------------------------------------------------------------------

    def refuse(self, problem: Problem, lines: bytes = b"", extra: dict[str, object] | None = None) -> bool:
        """Answer with a problem. Returns False, so that a stage can end with `return exchange.refuse(...)`."""
        self.code = problem.code
        if problem.allow:
            lines += b"allow: %b\r\n" % problem.allow.encode()
        if problem.status == 503:
            lines += b"retry-after: 1\r\n"
        if problem.closes:
            self.is_close_after = True
        content = problems.body(problem, self.request_id, extra)
        lines += b"cache-control: no-store\r\n"
        return self.answer(problem.status, lines, b"application/problem+json", content)

    def answer(self, status: int, lines: bytes, content_type: bytes = b"", content: bytes = b"") -> bool:
        """Answer without an upstream. `lines` are whole field lines. Returns False: the stages are done."""
        if self.rule is not None and self.rule.cors is not None and status != 204:
            lines += answers.lines(self.rule.cors.response_fields(self.head))
        if content_type:
            lines += b"content-type: %b\r\n" % content_type
        if status not in (204, 304):
            lines += b"content-length: %d\r\n" % len(content)
        head = answers.status_line(status) + lines + b"date: %b\r\nserver: inferway\r\n" % self.gateway.date
        self.put(status, head, content)
        return False

    def put(self, status: int, head: bytes, content: bytes) -> None:
        """Write a whole answer: `head` lacks only the lines of this exchange. The exchange ends here."""
        self.status = status
        self.has_answered = True
        if not self.is_request_complete and not self.client.may_drain(self):
            self.is_close_after = True
        data = head + self.own_lines()
        if content and not self.is_head_request:
            self.bytes_sent = len(content)
            data += content
        self.client.write(data)
        self._finish()

    def put_stored(self, stored: Stored) -> None:
        """Write an answer from the store. The exchange ends here."""
        self.outcome = "HIT"
        self.status = stored.status
        self.has_answered = True
        client = self.client
        if not self.is_request_complete and not client.may_drain(self):
            self.is_close_after = True
        age = stored.age + self.started - stored.received
        lines = self.limit_lines
        if self.rule is not None and self.rule.cors is not None:
            lines += answers.lines(self.rule.cors.response_fields(self.head))
        if self.is_close_after or client.is_closing:
            self.is_close_after = True
            lines += b"connection: close\r\n"
        elif not self.head.is_http_1_1:
            lines += b"connection: keep-alive\r\n"
        body = b"" if self.is_head_request else stored.body
        self.bytes_sent = len(body)
        client.transport.write(
            b"%bage: %d\r\n%bx-request-id: %b\r\n\r\n%b" % (stored.head, age, lines, self.request_id, body)
        )
        self._finish()

    # --- ends --------------------------------------------------------------------------------------------------------------------

    def on_client_gone(self) -> None:
        """The client left: nobody wants the answer any more."""
        if not self.is_finished:
            self.code = "client_gone"
            self.status = self.status or 499
            self._release()
            self._finish()

    def on_client_late(self) -> None:
        """The client stopped sending its body."""
        if not self.is_finished:
            self.break_off(problems.BODY_TIMEOUT)

    def break_off(self, problem: Problem) -> None:
        """The client's own fault in the middle of its request: end the upstream's, then answer if that is possible."""
        self._release()
        if self.has_answered:
            self.code = problem.code
            self.client.abort_answer()
            self._finish()
        else:
            self.refuse(problem)

    def _release(self) -> None:
        if self.connecting is not None:
            self.connecting.cancel()
            self.connecting = None
        if self.upstream is not None:
            connection, self.upstream = self.upstream, None
            connection.abandon()

    def _finish(self) -> None:
        self.is_finished = True
        self.collected = None
        gateway = self.gateway
        stats = self.stats
        # Where head and end arrived together, the head's time is the end's: one look at the clock less.
        total = (self.answered_at if self.is_whole else monotonic()) - self.started
        stats.by_method[self.head.method][self.status] += 1
        stats.duration.observe(total)
        gateway.stats.overhead.observe(total - self.upstream_seconds)
        log = gateway.access_log
        if (log.left or self.status >= 500) and log.wants(self.status):
            log.write(self, total)
        else:
            log.left_out += 1
        if self.traceparent and gateway.tracing is not None:
            gateway.tracing.record(self, total)
        self.client.on_exchange_end(self)
