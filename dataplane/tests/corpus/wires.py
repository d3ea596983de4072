"""Puts cases to the real connection classes without sockets: every way to cut the bytes can be tried, and quickly."""

from collections.abc import Iterable, Sequence

from fake_transport import BACKEND, Wire, get

from corpus import judging, reading
from corpus.cases import RequestCase, ResponseCase
from corpus.judging import Observed
from inferway_contract.document import Rule
from inferway_dataplane.engine.http1.head_cache import HeadCache

_RULE = Rule(name="all", backends=(BACKEND,), max_request_body=256 << 10)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


def put_request(case: RequestCase, pieces: Iterable[bytes], head_cache: HeadCache | None = None) -> Observed:
    """What becomes of a request that arrives in these pieces. `head_cache`: with the heads that came before."""
    wire = Wire(_RULE, idle=2, head_cache=head_cache)
    wire.send(*pieces)
    sent = b""
    while more := wire.upstream_received():
        sent += more
        last = reading.requests(sent)[-1]
        if not last.is_whole:
            break
        wire.answer(_HEAD if last.method == "HEAD" else _HEAD + b"ok")
    if case.verdict == "cut":
        wire.half_close()
    is_closed = not wire.is_open
    answers = reading.answers(wire.client_received(), judging.heads(case), is_closed=is_closed)
    return Observed(answers, is_closed, reading.requests(sent))


def put_response(case: ResponseCase, pieces: Sequence[bytes]) -> tuple[Observed, bool]:
    """What becomes of an answer that arrives in these pieces, and whether the gateway gave its connection up."""
    wire = Wire(_RULE, idle=1)
    wire.send(get(method=case.method.encode()))
    wire.answer(*pieces)
    is_link_closed = wire.upstream.transport.is_closing()
    if case.closes:
        # Once for the connection that was kept, and once for the one that a lost request is sent on again.
        wire.upstream_closes()
    is_closed = not wire.is_open
    answers = reading.answers(wire.client_received(), [case.method == "HEAD"], is_closed=is_closed)
    return Observed(answers, is_closed), is_link_closed
