"""Request bodies that are kept for a further try: counted together, and given back whatever happens."""

from collections.abc import Callable

import pytest
from fake_transport import BACKEND, OK, Wire, answer, get, post

from inferway_contract.document import Retry, Rule
from inferway_dataplane.core.upstreams.kept_bodies import KeptBodies
from inferway_dataplane.engine.exchange.request_body import RequestBody

RULE = Rule(name="all", backends=(BACKEND,), retry=Retry(methods=("POST",)), max_request_body=1_000_000)
HEAD = get(b"/", b"Transfer-Encoding: chunked", method=b"POST")
SIZE = 200_000
PART = b"%x\r\n%b\r\n" % (SIZE, b"x" * SIZE)
REST = b"186a0\r\n" + b"x" * 100_000 + b"\r\n0\r\n\r\n"


def kept(wire: Wire) -> int:
    return wire.gateway.context.kept_bodies.bytes


ENDS: dict[str, Callable[[Wire], None]] = {
    "a response": lambda wire: (wire.send(REST), wire.answer(OK))[0],
    "an early response": lambda wire: wire.answer(OK),
    "the head of a response": lambda wire: wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
    "the client leaves": lambda wire: wire.leave(),
    "the client stops": lambda wire: wire.pass_time(20),
    "too large": lambda wire: wire.send(b"fffff\r\n" + b"x" * 1_048_575),
    "a broken response": lambda wire: wire.answer(b"garbage\r\n\r\n"),
    "an incomplete head": lambda wire: (wire.answer(b"HTTP/1.1 200 OK\r\n"), wire.leave())[0],
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_kept_body_is_given_back_at_every_end(end: Callable[[Wire], None]) -> None:
    wire = Wire(RULE)
    wire.send(HEAD, PART)
    assert kept(wire) >= SIZE
    end(wire)
    assert kept(wire) == 0


@pytest.mark.parametrize("retry", [None, Retry(methods=("GET",))], ids=["no retry", "another method"])
def test_body_is_not_kept_without_a_possible_retry(retry: Retry | None) -> None:
    wire = Wire(Rule(name="all", backends=(BACKEND,), retry=retry))
    wire.send(HEAD, PART)
    assert kept(wire) == 0


def test_bodies_are_kept_up_to_the_cap_of_all() -> None:
    wire = Wire(RULE, idle=2, retry_body_bytes=250_000)
    wire.send(HEAD, PART)
    other = wire.connect("203.0.113.10")
    wire.send(post(b"/", b"x" * 100_000), client=other)
    assert SIZE <= kept(wire) < 250_000  # the second one has no place
    wire.send(REST)  # and the first one no place any more
    assert kept(wire) == 0
    wire.answer(OK)
    wire.answer(OK)
    assert answer(wire.client_received()).status == answer(wire.client_received(other)).status == 200


def test_small_pieces_count_with_the_memory_that_they_take() -> None:
    budget = KeptBodies(10_000)
    body = RequestBody(is_chunked=False)
    for _ in range(1_000):
        body.add(b"x")
        body.take(budget)
    assert body.is_lost
    assert budget.bytes == 0


def test_body_that_is_brought_back_is_counted_once() -> None:
    budget = KeptBodies(10_000)
    body = RequestBody(is_chunked=True)
    for _ in range(3):
        body.add(b"x" * 1_000)
        body.take(budget)
        counted = budget.bytes
        body.bring_back()
        assert budget.bytes == counted
    assert b"".join(body.take(budget)) == (b"3e8\r\n" + b"x" * 1_000 + b"\r\n") * 3
    assert 3_000 <= budget.bytes <= 4_000
    body.drop_kept()
    assert budget.bytes == 0


def test_body_of_many_pieces_is_sent_again_in_one() -> None:
    body = RequestBody(is_chunked=True)
    for _ in range(5_000):
        body.add(b"ab")
    body.is_complete = True
    first = body.take(KeptBodies(1_000_000))
    assert len(first) == 3 * 5_000 + 1
    body.bring_back()
    assert body.take(KeptBodies(1_000_000)) == [b"2710\r\n", b"ab" * 5_000, b"\r\n", b"0\r\n\r\n"]
