"""One request in flight, and its answer.

Stages decide in one order (`stages.ORDER`); answers come back by callbacks of the upstream connection. An exchange ends
exactly once, in `finish`, where counters, log and connections are settled. How the upstream is asked is `upstream_request.py`'s
business, what the gateway answers by itself `local_reply.py`'s.
"""

from collections.abc import Callable, Iterator
from time import monotonic
from typing import TYPE_CHECKING

from inferway_dataplane.core.caching.entry import CacheEntry
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.field_kinds import Fields
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.messages.response_head import ResponseHead
from inferway_dataplane.core.runtime import Rule, Runtime
from inferway_dataplane.engine.exchange import cache_fill, local_reply
from inferway_dataplane.engine.http1 import serialize
from inferway_dataplane.engine.upstream.connection import HIGH_WATER, UpstreamConnection
from inferway_dataplane.observability.stats import RuleStats

if TYPE_CHECKING:
    from inferway_dataplane.engine.downstream.connection import ClientConnection
    from inferway_dataplane.engine.exchange.upstream_request import UpstreamRequest


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
        "gateway",
        "has_answered",
        "has_passed",
        "head",
        "is_chunking",
        "is_close_after",
        "is_close_delimited",
        "is_finished",
        "is_head_request",
        "is_request_complete",
        "is_whole",
        "limit_lines",
        "out",
        "outcome",
        "pending_store",
        "prefix",
        "problem",
        "request_id",
        "rule",
        "runtime",
        "span_id",
        "stages",
        "started",
        "stats",
        "status",
        "trace_id",
        "traceparent",
        "tries",
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
        self.trace_id = b""  # as the upstream was told
        self.traceparent = b""  # set where the request is traced
        self.is_head_request = head.method == b"HEAD"
        # the request's way up
        self.upstream: UpstreamConnection | None = None
        self.tries: UpstreamRequest | None = None  # set where an upstream is asked
        self.body: list[bytes] | None = None  # kept until there is a connection
        self.body_size = 0
        self.is_request_complete = False
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
        self.pending_store: tuple[CacheEntry, tuple[bytes, ...]] | None = None
        self.has_answered = False
        self.answered_at = 0.0
        self.has_passed = False  # a part of the upstream's answer has gone to the client
        self.is_chunking = False
        self.is_close_after = self.gateway.is_closing or not head.block.keep_alive
        self.is_close_delimited = False
        self.is_finished = False
        self.is_whole = False  # the whole answer came in one piece

    # --- stages ----------------------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Run the stages until one of them holds the exchange. An iterator: calling again goes on where it was held."""
        for stage in self.stages:
            if not stage(self):
                return

    def own_rule(self) -> Rule:
        """The rule; only for steps that come after `route` has found one."""
        if self.rule is None:
            raise RuntimeError("an exchange without a rule has no upstream")
        return self.rule

    # --- the request's body, from the client -------------------------------------------------------------------------------

    def on_request_body(self, data: bytes) -> None:
        """A piece of the body. It goes on at once where there is a connection, else it is kept, at most HIGH_WATER."""
        if self.is_finished:
            return
        self.body_size += len(data)
        if self.rule is not None and self.body_size > self.rule.max_request_body:
            self.break_off(problems.BODY_TOO_LARGE)
            return
        piece = serialize.chunk(data) if self.head.block.is_chunked else data
        if self.upstream is not None and self.tries is not None:
            self.tries.pass_body(piece)
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
            if self.upstream is not None and self.tries is not None:
                self.tries.pass_body(serialize.LAST_CHUNK)
            elif self.body is None:
                self.body = [serialize.LAST_CHUNK]
            else:
                self.body.append(serialize.LAST_CHUNK)

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
            self.client.write(serialize.status_line(status) + serialize.lines(kept) + b"\r\n")

    def on_head(self, answer: ResponseHead) -> None:
        """The upstream's head has come: from here on the client's answer has begun."""
        rule = self.own_rule()
        head = self.head
        now = monotonic()
        tries = self.tries
        if tries is not None:
            if tries.take_head(answer, now):
                return
            self.upstream_seconds = now - tries.first_sent_at
            self.stats.upstream.observe(now - tries.sent_at)
        self.answered_at = now
        self.status = status = answer.status
        # An answer's head that came before, under the same rule, has the same lines.
        kept = answer.lines if answer.rule is rule else _lines(answer, rule)
        if not answer.has_date:
            kept += b"date: %b\r\n" % self.gateway.date
        if self.cache_key is not None:
            cache_fill.begin(self, answer, kept)
        framing = b""
        has_body = not (self.is_head_request or status in (204, 304))
        if answer.content_length >= 0 and status != 204:
            framing = b"content-length: %d\r\n" % answer.content_length
        elif has_body:
            if head.is_http_1_1:
                framing = b"transfer-encoding: chunked\r\n"
                self.is_chunking = True
            else:
                self.is_close_after = self.is_close_delimited = True
        if rule.cors is not None:
            framing += serialize.lines(rule.cors.response_fields(head))
        if answer.age is not None:
            framing += b"age: %b\r\n" % answer.age
        self.has_answered = True
        self.out.append(serialize.status_line(status) + kept + framing + local_reply.own_lines(self))

    def on_body(self, data: bytes) -> None:
        """A piece of the answer's body."""
        if self.is_finished:
            return
        self.bytes_sent += len(data)
        if self.collected is not None:
            cache_fill.collect(self, data)
        self.out.append(serialize.chunk(data) if self.is_chunking else data)

    def on_fed(self) -> None:
        """The upstream connection has read all that had arrived: pass it on in one write."""
        if self.out and not self.is_finished:
            if self.is_chunking and self.upstream is not None and self.upstream.is_complete:
                self.out.append(serialize.LAST_CHUNK)
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
            self.client.transport.write(serialize.LAST_CHUNK)
        if self.collected is not None:
            cache_fill.keep(self)
        if not self.is_request_complete:
            # The upstream answered without reading all of the request: what is still to come is nobody's.
            self.is_close_after = True
        self.finish()

    def on_broken(self, problem: Problem, *, unanswered: bool) -> None:
        """The upstream connection failed under us."""
        if self.tries is not None:
            self.tries.on_broken(problem, unanswered=unanswered)

    # --- ends --------------------------------------------------------------------------------------------------------------------

    def on_client_gone(self) -> None:
        """The client left: nobody wants the answer any more."""
        if not self.is_finished:
            self.code = "client_gone"
            self.status = self.status or 499
            self._release()
            self.finish()

    def on_client_late(self) -> None:
        """The client stopped sending its body, or sends it too slowly."""
        if not self.is_finished:
            self.break_off(problems.BODY_TIMEOUT)

    def break_off(self, problem: Problem) -> None:
        """The client's own fault in the middle of its request: end the upstream's, then answer if that is possible."""
        self._release()
        if self.has_answered:
            self.cut_answer(problem)
        else:
            local_reply.refuse(self, problem)

    def _release(self) -> None:
        if self.tries is not None:
            self.tries.release()

    def cut_answer(self, problem: Problem) -> None:
        """The client has a part of the answer: it must see that the end is missing."""
        self.code = problem.code
        self.client.abort_answer(by_reset=self.is_close_delimited)
        self.finish()

    def finish(self) -> None:
        """The end, which comes once: counters, log, and the client's next request."""
        self.is_finished = True
        self.collected = None
        gateway = self.gateway
        gateway.in_flight -= 1
        if self.tries is not None:
            self.tries.settle()
        stats = self.stats
        # Where head and end arrived together, the head's time is the end's: one look at the clock less.
        total = (self.answered_at if self.is_whole else monotonic()) - self.started
        stats.by_method[self.head.method][self.status] += 1
        stats.duration.observe(total)
        # Until the answer's head: how long a body streams is the upstream's doing, or the client's.
        gateway.stats.overhead.observe(
            self.answered_at - self.started - self.upstream_seconds if self.answered_at else total
        )
        log = gateway.access_log
        if (log.left or self.status >= 500) and log.wants(self.status):
            log.write(self, total)
        else:
            log.left_out += 1
        if self.traceparent and gateway.tracing is not None:
            gateway.tracing.record(self, total)
        self.tries = None  # they know each other: without this only the cycle collector could free them
        self.client.on_exchange_end(self)


def _lines(answer: ResponseHead, rule: Rule) -> bytes:
    """The field lines of an answer as the client gets them; those that the gateway writes itself are the gateway's."""
    fields = answer.passed
    if rule.gateway_fields:
        fields = [field for field in fields if field[0].lower() not in rule.gateway_fields]
    if rule.response_edits is not None:
        fields = rule.response_edits.apply(fields)
    if rule.cors is not None:
        fields = [field for field in fields if not field[0].lower().startswith(b"access-control-")]
    answer.rule = rule
    answer.lines = serialize.lines(fields)
    return answer.lines
