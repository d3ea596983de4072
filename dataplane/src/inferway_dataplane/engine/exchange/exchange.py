"""One request in flight, and its response.

The stages decide in one order (`stages/order.py`). An exchange ends exactly once, in `finish`, where everything is given
back that was taken. Its state is written here alone; `upstream_request.py` gets a response from an upstream, `relay.py`
passes it to the client, `local_reply.py` writes the gateway's own responses.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Final

from inferway_dataplane.core.messages import problems, trace_context
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.routing.compiled_match import CompiledMatch
from inferway_dataplane.core.rule import Rule
from inferway_dataplane.engine.context import Settler
from inferway_dataplane.engine.exchange.client import HOLD_BODY, Client
from inferway_dataplane.engine.exchange.hooks import ResponseTap, Work
from inferway_dataplane.engine.exchange.request_body import RequestBody
from inferway_dataplane.engine.upstream.connection import HIGH_WATER
from inferway_dataplane.observability.stats import RuleStats

# What the cache did; NO_CACHE: the rule has none.
NO_CACHE: Final = 0
HIT: Final = 1
MISS: Final = 2
BYPASS: Final = 3

CACHE_STATUS: Final = (b"", b"HIT", b"MISS", b"BYPASS")
CACHE_NAMES: Final = ("", "hit", "miss", "bypass")

log = logging.getLogger("inferway")


class Exchange:
    """The state of one request."""

    __slots__ = (
        "_stages", "answered_at", "body", "bytes_sent", "client", "client_ip", "code", "context", "has_answered",
        "has_begun", "head", "is_close_after", "is_close_delimited", "is_finished", "is_head_request", "is_request_complete",
        "limit_lines", "outcome", "prefix", "problem", "request_id", "rule", "settlers", "span_id", "started",
        "stats", "status", "taps", "trace_id", "traceparent", "upstream_seconds", "work",
    )  # fmt: skip

    def __init__(
        self,
        client: Client,
        head: RequestHead,
        started: float,
        problem: Problem | None = None,
        is_request_complete: bool = False,
    ) -> None:
        """`problem`: found before the stages; it is the response, once the responses before it are sent."""
        self.client = client
        self.context = context = client.context
        self.head = head
        self.started = started
        self.problem = problem
        self.stats: RuleStats = context.stats.unrouted
        self.rule: Rule | None = None
        self.request_id = b""
        self.client_ip = client.peer
        self.is_head_request = head.method == b"HEAD"
        self.body: RequestBody | None = None
        self.is_request_complete = is_request_complete
        self.work: Work | None = None
        self.upstream_seconds = 0.0
        self.status = 0
        self.code = ""
        self.bytes_sent = 0
        self.limit_lines = b""
        self.outcome = NO_CACHE
        self.taps: tuple[ResponseTap, ...] = ()
        self.settlers: tuple[Settler, ...] = ()
        self.has_begun = False  # it has a place among the requests in flight
        self.has_answered = False
        self.answered_at = 0.0
        self.is_close_after = context.is_closing or not head.block.keep_alive
        self.is_close_delimited = False
        self.is_finished = False
        self.traceparent = b""  # set where the request is traced

    # --- stages ----------------------------------------------------------------------------------------------------------

    def identify(self) -> None:
        """Take a place among the requests in flight, then set the ids and the client's address; a trusted peer's are kept."""
        self.context.in_flight += 1
        self.has_begun = True
        client = self.client
        self.trace_id, self.span_id = self.context.next_id()
        self.request_id = self.trace_id
        if client.is_trusted:
            block = self.head.block
            if block.forwarded_for is not None:
                self.client_ip = self.context.trusted.client(client.peer, block.forwarded_for)
            if block.request_id is not None and trace_context.is_request_id(block.request_id):
                self.request_id = block.request_id

    def take_rule(self, entry: CompiledMatch[Rule]) -> Rule:
        """Set the rule that applies, and its stages."""
        self.rule = rule = entry.rule
        self.prefix = entry.path
        self.stats = rule.stats
        self._stages: Iterator[Callable[[Exchange], bool]] = iter(rule.stages)
        return rule

    def advance(self) -> None:
        """Run the stages until one of them holds the exchange; called again, it continues behind that one."""
        for stage in self._stages:
            if not stage(self):
                return

    def set_limit_lines(self, lines: bytes) -> None:
        """Field lines about the limits, for any response."""
        self.limit_lines = lines

    def set_outcome(self, outcome: int) -> None:
        self.outcome = outcome

    def add_tap(self, tap: ResponseTap) -> None:
        self.taps = (*self.taps, tap)

    def add_settler(self, settle: Settler) -> None:
        """Call `settle` once at the end, however the exchange ends: it gives back what a stage has taken."""
        self.settlers = (*self.settlers, settle)

    def wait_for(self, work: Work | None) -> None:
        """Set what the exchange waits for. It ends with the exchange."""
        self.work = work

    def trace_as(self, traceparent: bytes) -> None:
        """The request is sampled: it is traced under these ids."""
        self.traceparent = traceparent

    def refuse_later(self, problem: Problem) -> None:
        """The request turned out to be invalid: refuse it in its turn, and close."""
        self.problem = problem
        self.is_close_after = True

    # --- the request's body ------------------------------------------------------------------------------------------------

    def on_request_body(self, data: bytes) -> Problem | None:
        """Take a piece of the body; returns the problem that it makes.

        The piece goes to the upstream at once, or is kept until there is a connection, up to HIGH_WATER.
        """
        if self.is_finished:
            return None
        body, rule = self.body, self.rule
        if body is None:
            body = self.body = RequestBody(self.head.block.is_chunked)
        if not body.add(data) or (rule is not None and body.size > rule.max_request_body):
            return problems.BODY_TOO_LARGE
        if self.work is not None and self.work.connection is not None:
            self.work.send_body(body)
        elif body.size > HIGH_WATER and body.gate is None:
            self.client.pause(HOLD_BODY)
        return None

    def on_request_end(self) -> None:
        self.is_request_complete = True
        body, work = self.body, self.work
        if self.is_finished:
            return
        if work is not None:
            work.on_request_end()
        if self.head.block.is_chunked:
            if body is None:
                body = self.body = RequestBody(is_chunked=True)
            body.is_complete = True
        if body is not None:
            if work is not None and work.connection is not None:
                work.send_body(body)
            else:
                body.open_gate()

    def gate_body(self, gate: Callable[[bytes], None], limit: int) -> None:
        """Call `gate` with the whole body when it is complete; more than `limit` bytes are refused."""
        body = self.body
        if body is None:
            body = self.body = RequestBody(self.head.block.is_chunked)
        body.set_gate(gate, limit)
        if self.is_request_complete:
            body.open_gate()
        else:
            self.client.resume(HOLD_BODY)

    # --- the response --------------------------------------------------------------------------------------------------------

    def on_upstream_head(self, status: int, now: float, seconds: float) -> None:
        """The final head of an upstream came, after `seconds`: the client's response begins."""
        self.status = status
        self.answered_at = now
        self.upstream_seconds = seconds
        self.has_answered = True

    def begin_reply(self, status: int, outcome: int, size: int, code: str = "") -> None:
        """A response of the gateway's own begins. `size`: bytes of its content; `code`: of a problem."""
        self.status = status
        self.outcome = outcome
        self.bytes_sent = size
        self.code = code
        self.has_answered = True
        if not self.is_request_complete and not _may_drain(self.head):
            self.is_close_after = True

    def send(self, data: bytes, size: int) -> None:
        """Write to the client. `size`: the bytes of content in it."""
        self.bytes_sent += size
        write = self.client.write
        write(data)

    def close_after(self) -> None:
        """Close the client's connection behind the response."""
        self.is_close_after = True

    def delimit_by_close(self) -> None:
        """The end of the connection is the end of the response (RFC 9112 6.3)."""
        self.is_close_after = self.is_close_delimited = True

    def complete(self, data: bytes, size: int, now: float) -> None:
        """Write the rest of an upstream's response, complete as of `now`; 0 = read the clock. `size`: as for `send`."""
        if data:
            self.bytes_sent += size
            write = self.client.write
            write(data)
        if self.taps:
            taps, self.taps = self.taps, ()
            for tap in taps:
                try:
                    tap.on_end()
                except Exception:
                    log.exception("unexpected error in a response tap")
        if not self.is_request_complete:
            # The upstream did not read all of the request, and the rest of it has no other reader.
            self.is_close_after = True
        self.finish(now)

    # --- ends --------------------------------------------------------------------------------------------------------------------

    def on_client_writable(self, writable: bool) -> None:
        """The client stopped reading, or reads again: so does the gateway from the upstream."""
        connection = self.work.connection if self.work is not None else None
        if connection is not None and connection.receiver is not None:
            if writable:
                connection.resume()
            else:
                connection.pause()

    def on_client_gone(self) -> None:
        """The client left: its response is not wanted any more."""
        if self.is_finished:
            return
        self.code = problems.CLIENT_GONE
        self.status = self.status or 499
        try:
            self.release()
        finally:
            self.finish()

    def release(self) -> None:
        """End the work under way, or the wait for the body."""
        if self.work is not None:
            self.work.release()
        if self.body is not None:
            self.body.gate = None  # it holds the exchange

    def cut(self, problem: Problem) -> None:
        """End in the middle of a response: the client must see that the rest is missing."""
        self.code = problem.code
        try:
            self.client.abort_response(by_reset=self.is_close_delimited)
        finally:
            self.finish()

    def finish(self, now: float = 0.0) -> None:
        """The end, which comes once: give everything back, and let the client's next request begin.

        An unexpected error of one participant is logged; the others get their end all the same.
        """
        if self.is_finished:
            return
        self.is_finished = True
        context, stats, status = self.context, self.stats, self.status
        if self.has_begun:
            context.in_flight -= 1
        if not now:
            read_clock = context.now
            now = read_clock()
        seconds = now - self.started
        try:
            if self.work is not None:
                self.work.settle()
        except Exception:
            log.exception("unexpected error while settling an exchange")
        if self.taps:
            self._break_taps()
        if self.settlers:
            self._call_settlers(seconds)
        try:
            stats.by_method[self.head.method][status] += 1
            observe = stats.duration.observe
            observe(seconds)
            # Up to the head of the response: the upstream or the client decides how long a body streams.
            observe = context.stats.overhead.observe
            observe(self.answered_at - self.started - self.upstream_seconds if self.answered_at else seconds)
            access_log = context.access_log
            if access_log.left or status >= 500 or self.traceparent:
                report = context.report
                report(self, seconds)
            else:
                access_log.left_out += 1
        except Exception:
            log.exception("unexpected error while reporting an exchange")
        # Work, taps and settlers may hold the exchange: without this only the cycle collector could free them.
        self.work, self.taps, self.settlers = None, (), ()
        try:
            self.client.on_exchange_end(self)
        except Exception:
            log.exception("unexpected error after an exchange")
            self.client.abort_response(by_reset=True)

    def _break_taps(self) -> None:
        for tap in self.taps:
            try:
                tap.on_broken()
            except Exception:
                log.exception("unexpected error in a response tap")

    def _call_settlers(self, seconds: float) -> None:
        for settle in self.settlers:
            try:
                settle(self, seconds)
            except Exception:
                log.exception("unexpected error while settling an exchange")


# The body of a refused request is read and dropped up to this size; a larger one costs the connection.
_DRAINED: Final = 64 << 10


def _may_drain(head: RequestHead) -> bool:
    block = head.block
    return not block.has_body or (
        not block.is_chunked and block.content_length <= _DRAINED and not block.expects_continue
    )
