"""Passes an upstream's response to the client. From its final head on it is the connection's receiver."""

from inferway_dataplane.core.messages.field_kinds import Fields
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.response_head import ResponseHead, read_response
from inferway_dataplane.core.rule import Rule
from inferway_dataplane.engine.exchange import local_reply
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.engine.http1 import serialize
from inferway_dataplane.engine.http1.response_parser import Receiver


class Relay(Receiver):
    """One response on its way. `before` was the receiver until now; what concerns the request still goes to it."""

    __slots__ = ("_before", "_exchange", "_head_at", "_is_chunking", "_out", "_size", "_taps")

    def __init__(self, exchange: Exchange, rule: Rule, before: Receiver, response: ResponseHead, now: float) -> None:
        self._exchange = exchange
        self._before = before
        self._head_at = now  # 0 as soon as a part of the response has gone to the client
        self._size = 0  # bytes of content in `_out`
        self._is_chunking = False
        self._taps = exchange.taps
        if not (exchange.is_request_complete or response.keep_alive):
            exchange.close_after()  # the upstream does not read the rest of the request, so the client need not send it
        status = response.status
        # A head that came before, under the same rule, has the same lines.
        lines = response.lines if response.rule is rule else _lines(response, rule)
        if not response.has_date:
            lines += b"date: %b\r\n" % exchange.context.clock.date
        if self._taps:
            self._taps = tuple(tap for tap in self._taps if tap.on_head(response, lines))
        framing = b""
        if response.content_length >= 0 and status != 204:
            framing = response.length_line
        elif not (exchange.is_head_request or status in (204, 304)):
            if exchange.head.is_http_1_1:
                framing = b"transfer-encoding: chunked\r\n"
                self._is_chunking = True
            else:
                exchange.delimit_by_close()
        if rule.cors is not None:
            framing += serialize.lines(rule.cors.response_fields(exchange.head))
        if response.age is not None:
            framing += b"age: %b\r\n" % response.age
        self._out = [response.status_line + lines + framing + local_reply.own_lines(exchange)]

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._taps:
            for tap in self._taps:
                tap.on_body(data)
        self._out.append(serialize.chunk(data) if self._is_chunking else data)

    def on_fed(self) -> None:
        out = self._out
        if out:
            self._head_at = 0.0
            self._exchange.send(b"".join(out), self._size)
            self._size = 0
            out.clear()

    def on_end(self) -> None:
        out = self._out
        if self._is_chunking:
            out.append(serialize.LAST_CHUNK)
        # If head and end arrived together, the head's time is the end's: one call of the clock less.
        self._exchange.complete(b"".join(out), self._size, self._head_at)

    def on_broken(self, problem: Problem, *, unanswered: bool) -> None:
        self._before.on_broken(problem, unanswered=unanswered)

    def on_writable(self, writable: bool) -> None:
        self._before.on_writable(writable)


def interim_lines(fields: Fields, rule: Rule) -> bytes:
    """The field lines of a 103 for the client: what a filter removes from the response is removed here too."""
    head = read_response(103, fields, keep_alive=True)
    kept = _kept(head.passed, rule) if head is not None else []
    return serialize.lines(rule.response_edits.strip(kept) if rule.response_edits is not None else kept)


def _lines(response: ResponseHead, rule: Rule) -> bytes:
    """The field lines of a response for the client, without those that the gateway writes itself."""
    fields = _kept(response.passed, rule)
    if rule.response_edits is not None:
        fields = rule.response_edits.apply(fields)
    response.rule = rule
    response.status_line = serialize.status_line(response.status)
    response.lines = serialize.lines(fields)
    return response.lines


def _kept(fields: Fields, rule: Rule) -> Fields:
    """The fields of an upstream that reach the client."""
    if rule.gateway_fields:
        fields = [field for field in fields if field[0].lower() not in rule.gateway_fields]
    if rule.cors is not None:
        fields = [field for field in fields if not field[0].lower().startswith(b"access-control-")]
    return fields
