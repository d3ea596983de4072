"""The seams for stages: suspension, the body gate, response taps and settlers, each with stages of the test's own."""

import asyncio
import gc
import json
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fake_transport import BACKEND, OK, Wire, answer, answers, get, post, requests

from inferway_contract.document import Rule
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.response_head import ResponseHead
from inferway_dataplane.engine.exchange import local_reply, suspension
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.engine.exchange.hooks import ResponseTap

CHUNKED = get(b"/", b"Transfer-Encoding: chunked", method=b"POST")


def code(data: bytes) -> str:
    return str(json.loads(answer(data).body)["code"])


# --- suspension -------------------------------------------------------------------------------------------------------------


class Pausing:
    """A stage that waits for the test, and then returns or raises the test's result."""

    def __init__(self) -> None:
        self.word: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.was_cancelled = False

    def __call__(self, exchange: Exchange) -> bool:
        return suspension.suspend(exchange, self._wait(exchange))

    async def _wait(self, exchange: Exchange) -> bool:
        try:
            is_decided = await self.word
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        return is_decided or local_reply.refuse(exchange, problems.RATE_LIMITED)


async def turn(wire: Wire) -> None:
    for _ in range(5):
        await asyncio.sleep(0)
    wire.settle()


def run(test: Callable[[Wire, Pausing], Awaitable[None]]) -> None:
    async def main() -> None:
        pausing = Pausing()
        wire = Wire(stages=(pausing,))
        await test(wire, pausing)
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
        assert wire.gateway.context.in_flight == 0

    asyncio.run(main())


def test_suspended_stage_continues_with_the_next_one() -> None:
    async def test(wire: Wire, pausing: Pausing) -> None:
        wire.send(get(b"/a"))
        await turn(wire)
        assert wire.upstream_received() == b""
        pausing.word.set_result(True)
        await turn(wire)
        assert wire.upstream_received().startswith(b"GET /a ")
        wire.answer(OK)
        assert answer(wire.client_received()).status == 200

    run(test)


def test_suspended_stage_may_end_the_exchange() -> None:
    async def test(wire: Wire, pausing: Pausing) -> None:
        wire.send(get())
        pausing.word.set_result(False)
        await turn(wire)
        assert code(wire.client_received()) == "rate_limited"
        assert wire.upstream_received() == b""

    run(test)


def test_suspended_stage_is_cancelled_when_the_client_leaves() -> None:
    async def test(wire: Wire, pausing: Pausing) -> None:
        wire.send(get())
        await turn(wire)
        wire.leave()
        await turn(wire)
        assert pausing.was_cancelled
        assert wire.gateway.stats.of("demo/a", "all").by_method[b"GET"][499] == 1

    run(test)


def test_stage_suspended_in_the_turn_of_the_disconnect_is_closed() -> None:
    async def test(wire: Wire, pausing: Pausing) -> None:
        wire.send(get())
        wire.leave()
        await turn(wire)  # a coroutine that was never awaited would be a warning, which is an error
        gc.collect()
        assert not pausing.was_cancelled
        assert wire.gateway.stats.of("demo/a", "all").by_method[b"GET"][499] == 1

    run(test)


def test_error_in_a_suspended_stage_is_answered_500(caplog: pytest.LogCaptureFixture) -> None:
    async def test(wire: Wire, pausing: Pausing) -> None:
        wire.send(get())
        pausing.word.set_exception(RuntimeError("a bug"))
        await turn(wire)
        assert code(wire.client_received()) == "internal_error"
        assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["a bug"]

    run(test)


def test_body_that_comes_during_a_suspension_is_sent_after_it() -> None:
    async def test(wire: Wire, pausing: Pausing) -> None:
        wire.send(post(b"/", b"hello world")[:-6], b" world")
        await turn(wire)
        pausing.word.set_result(True)
        await turn(wire)
        (request,) = requests(wire.upstream_received())
        assert request.body == b"hello world"
        wire.answer(OK)
        assert answer(wire.client_received()).status == 200
        assert wire.is_open

    run(test)


def test_pipelined_request_waits_for_a_suspended_one() -> None:
    async def test(wire: Wire, pausing: Pausing) -> None:
        wire.send(get(b"/1") + get(b"/2"))
        await turn(wire)
        pausing.word.set_result(True)
        for _ in range(2):
            await turn(wire)
            wire.answer(OK)
        await turn(wire)
        assert [one.status for one in answers(wire.client_received())] == [200, 200]

    run(test)


# --- the body gate ------------------------------------------------------------------------------------------------------------


class Gating:
    """A stage that needs the whole body, up to ten bytes, and refuses one that begins with `no`."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def __call__(self, exchange: Exchange) -> bool:
        def decide(body: bytes) -> bool:
            self.bodies.append(body)
            return not body.startswith(b"no") or local_reply.refuse(exchange, problems.RATE_LIMITED)

        return suspension.await_body(exchange, 10, decide)


BODIES: dict[str, tuple[bytes, ...]] = {
    "in one piece": (post(b"/", b"hello"),),
    "in two pieces": (post(b"/", b"hello")[:-3], b"llo"),
    "chunked": (CHUNKED, b"2\r\nhe\r\n", b"3\r\nllo\r\n0\r\n\r\n"),
    "chunked, in one piece": (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",),
}


@pytest.mark.parametrize("pieces", BODIES.values(), ids=BODIES)
def test_gated_stage_decides_with_the_whole_body(pieces: tuple[bytes, ...]) -> None:
    gating = Gating()
    wire = Wire(stages=(gating,))
    for piece in pieces:
        assert wire.upstream_received() == b""
        wire.send(piece)
    assert gating.bodies == [b"hello"]
    (request,) = requests(wire.upstream_received())
    assert (request.body, request.is_whole) == (b"hello", True)
    wire.answer(OK)
    assert answer(wire.client_received()).status == 200
    assert (wire.is_open, wire.idle) == (True, 1)


@pytest.mark.parametrize("request_", [get(), post(b"/", b"")], ids=["no body", "an empty one"])
def test_gated_stage_decides_at_once_without_a_body(request_: bytes) -> None:
    gating = Gating()
    wire = Wire(stages=(gating,))
    wire.send(request_)
    assert gating.bodies == [b""]
    wire.answer(OK)
    assert answer(wire.client_received()).status == 200


def test_gated_exchange_is_freed_when_the_client_leaves() -> None:
    exchanges: list[weakref.ref[Gating]] = []

    def stage(exchange: Exchange) -> bool:
        gating = Gating()
        exchanges.append(weakref.ref(gating))
        return gating(exchange)

    wire = Wire(stages=(stage,))
    gc.disable()
    try:
        wire.send(post(b"/", b"hello")[:-3])
        wire.leave()
        assert exchanges[0]() is None, "only the cycle collector could free it"
    finally:
        gc.enable()


def test_gated_stage_may_refuse_the_body() -> None:
    wire = Wire(stages=(Gating(),))
    wire.send(post(b"/", b"no way"))
    assert code(wire.client_received()) == "rate_limited"
    assert wire.upstream_received() == b""


OVERSIZED = {
    "declared": post(b"/", b"x" * 11)[:-11],
    "chunked": CHUNKED + b"b\r\n" + b"x" * 11 + b"\r\n",
    "chunked, the last byte": CHUNKED + b"a\r\n" + b"x" * 10 + b"\r\n1\r\nx",
}


@pytest.mark.parametrize("data", OVERSIZED.values(), ids=OVERSIZED)
def test_body_over_the_gates_limit_is_answered_413(data: bytes) -> None:
    gating = Gating()
    wire = Wire(stages=(gating,))
    wire.send(data)
    assert code(wire.client_received()) == "body_too_large"
    assert (gating.bodies, wire.upstream_received()) == ([], b"")


def test_gated_body_of_a_pipelined_request_is_complete() -> None:
    gating = Gating()
    wire = Wire(stages=(gating,))
    wire.send(get(b"/1") + post(b"/2", b"hello"))
    wire.answer(OK)
    assert gating.bodies == [b"", b"hello"]
    wire.answer(OK)
    assert [one.status for one in answers(wire.client_received())] == [200, 200]


def test_gate_asks_for_an_expected_body() -> None:
    wire = Wire(stages=(Gating(),))
    wire.send(post(b"/", b"hello", b"Expect: 100-continue")[:-5])
    assert wire.client_received() == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.send(b"hello")
    wire.answer(OK)
    assert answer(wire.client_received()).status == 200


def test_gate_ends_when_the_client_leaves_before_the_body_does() -> None:
    gating = Gating()
    wire = Wire(stages=(gating,))
    wire.send(post(b"/", b"hello")[:-1])
    wire.leave()
    assert gating.bodies == []
    assert wire.gateway.context.in_flight == 0


# --- response taps -------------------------------------------------------------------------------------------------------------


class Recording(ResponseTap):
    """Notes its calls."""

    def __init__(self, *, wants_body: bool = True) -> None:
        self.calls: list[Any] = []
        self._wants_body = wants_body

    def on_head(self, head: ResponseHead, lines: bytes) -> bool:
        self.calls.append(head.status)
        return self._wants_body

    def on_body(self, data: bytes) -> None:
        self.calls.append(data)

    def on_end(self) -> None:
        self.calls.append("end")

    def on_broken(self) -> None:
        self.calls.append("broken")


def tapped(*taps: ResponseTap, rule: Rule | None = None) -> Wire:
    def tap(exchange: Exchange) -> bool:
        for one in taps:
            exchange.add_tap(one)
        return True

    return Wire(*([rule] if rule is not None else []), stages=(tap,))


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"


def test_tap_sees_the_response_as_it_passes() -> None:
    first, second = Recording(), Recording(wants_body=False)
    wire = tapped(first, second)
    wire.send(get())
    wire.answer(HEAD + b"ab", b"cd")
    assert first.calls == [200, b"ab", b"cd", "end"]
    assert second.calls == [200, "end"]
    assert answer(wire.client_received()).body == b"abcd"


def broken_upstream(wire: Wire) -> None:
    wire.answer(HEAD + b"ab")
    wire.upstream_closes()


def gone_client(wire: Wire) -> None:
    wire.answer(HEAD + b"ab")
    wire.leave()


@pytest.mark.parametrize("end", [broken_upstream, gone_client])
def test_tap_learns_that_a_response_broke_off(end: Callable[[Wire], None]) -> None:
    tap = Recording()
    wire = tapped(tap)
    wire.send(get())
    end(wire)
    assert tap.calls == [200, b"ab", "broken"]


def test_tap_learns_that_there_is_no_response() -> None:
    tap = Recording()
    wire = tapped(tap, rule=Rule(name="all"))
    wire.send(get())
    assert code(wire.client_received()) == "no_backend"
    assert tap.calls == ["broken"]


# --- settlers --------------------------------------------------------------------------------------------------------------------


def upstream_fails(wire: Wire) -> None:
    wire.answer(b"garbage")


ENDS: dict[str, Callable[[Wire], None]] = {
    "response": lambda wire: wire.answer(OK),
    "failure": upstream_fails,
    "broken response": broken_upstream,
    "client gone": lambda wire: wire.leave(),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_settler_is_called_once_however_the_exchange_ends(end: Callable[[Wire], None]) -> None:
    statuses: list[int] = []

    def stage(exchange: Exchange) -> bool:
        exchange.add_settler(lambda settled, seconds: statuses.append(settled.status))
        return True

    wire = Wire(Rule(name="all", backends=(BACKEND,)), stages=(stage,))
    wire.send(get())
    end(wire)
    assert len(statuses) == 1
    (rule,) = wire.gateway.context.runtime.rules  # type: ignore[union-attr]
    assert rule.backend_set.counters.in_flight == 0
    assert (wire.gateway.context.in_flight, wire.endpoint.active) == (0, 0)
