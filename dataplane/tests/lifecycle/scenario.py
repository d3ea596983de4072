"""One scenario: clients, a gateway and upstreams that do what choices decide, and what must hold at the end.

Everything is the product's own but the loop's sockets and its time. A step is one event of one side; after it the loop takes
some turns. The last phase lets every connection end by itself, by time limits alone, and then everything counted must be back.
"""

import asyncio
import logging
from functools import cache
from typing import Any, Final

from inferway_contract.document import EndpointsDocument
from inferway_dataplane.core.steps import completed
from inferway_dataplane.engine.clock import Clock
from inferway_dataplane.engine.downstream import timeouts
from inferway_dataplane.gateway import Gateway
from inferway_dataplane.observability.access_log import AccessLog
from inferway_dataplane.settings import Settings
from lifecycle import invariants
from lifecycle.callers import Caller
from lifecycle.choices import Choices
from lifecycle.documents import DOCUMENTS
from lifecycle.faults import Faults, Faulty, faulty
from lifecycle.instruments import Instruments
from lifecycle.origins import Asked, Origin
from lifecycle.virtual_loop import Transport, VirtualLoop

RETRIED: Final = (b"/retry", b"/narrow")
_MOST_STEPS: Final = 120
_WAITS: Final = (0.05, 0.3, 0.6, 1.1, 2.1, 5.0, 10.3, 15.3, 31.0, 61.0, 76.0)
_FINAL_WAITS: Final = (0.3, 0.6, 2.3, 3.0, 11.0, 16.0, 21.0, 31.0, 61.0, 76.0, 76.0, 76.0, 300.0, 300.0)
_CLIENT: Final = "203.0.113.9"
_TRUSTED: Final = "198.51.100.7"


class ScenarioError(AssertionError):
    """What did not hold, with the steps that led there."""

    def __init__(self, why: str, steps: list[str]) -> None:
        super().__init__(why + "\n  " + "\n  ".join(steps))


class _Errors(logging.Handler):
    """Collects what the product logs as an error: a bug that it has caught."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(f"{record.getMessage()}: {record.exc_info[1]!r}" if record.exc_info else record.getMessage())


@cache
def _settings(kind: int) -> Settings:
    common: dict[str, Any] = {"trusted_proxies": (f"{_TRUSTED}/32",), "access_log": False}
    return Settings(
        **common, **({}, {"max_in_flight": 2}, {"max_connections": 2}, {"upstream_idle_connections": 1})[kind]
    )


class Scenario:
    """One run. `run` raises `ScenarioError`."""

    def __init__(self, loop: VirtualLoop, choices: Choices, *, has_fault: bool) -> None:
        """`has_fault`: one unexpected error comes, at a seam that is chosen too."""
        self.loop = loop
        self.choices = choices
        self.steps: list[str] = []
        self.callers: list[Caller] = []
        self.origins: list[Origin] = []
        self.dials: list[asyncio.Future[None]] = []
        self.requests: dict[int, tuple[Caller, Any]] = {}
        self.reached: dict[int, int] = {}  # how often a request's head came to an upstream
        self.early: set[bytes] = set()
        """Targets of requests that an upstream answered before it had all of them."""
        self.is_ending = False
        self.are_origins_silent = False
        self.is_stopping = False
        self.has_upstream_failed = False
        loop.errors = []
        loop.dial = self._dial
        self.clock = Clock(loop.time, lambda: 1_700_000_000.0 + loop.time())
        self.gateway = Gateway(
            _settings(choices.below(4)),
            AccessLog(0, enabled=False),
            (1024, 64 + 6, 64 + 3)[choices.below(3)],
            clock=self.clock,
        )
        draws = choices
        if choices.one_in(4):
            self.gateway.pools.limiter.permits = 1
        self.faults = Faults()
        self.has_fault = has_fault
        self.instruments = Instruments(self.faults, choices, has_fault=has_fault)
        loop.seam = self.faults.at
        context = self.gateway.context
        context.random = faulty(lambda: draws.below(256) / 256, "random", self.faults)
        if has_fault:
            context.report = faulty(context.report, "report", self.faults)
            # Faulty passes every attribute on; its type does not show it.
            context.store = Faulty(context.store, self.faults)  # type: ignore[assignment]
            context.access_log = Faulty(context.access_log, self.faults)  # type: ignore[assignment]
            self.faults.arm(1 + choices.below(128))
        self.document = 0
        self._accept(0)

    def note(self, step: str) -> None:
        self.steps.append(f"{self.loop.time() - 1000:.2f} {step}")

    # --- the run --------------------------------------------------------------------------------------------------------------

    async def run(self, log_errors: "_Errors") -> None:
        """Take steps until the choices are spent, then let all end."""
        self._connect()
        try:
            for _ in range(_MOST_STEPS):
                if self.choices.are_spent:
                    break
                await self._step()
                self._look(log_errors)
            await self._end()
            self._look(log_errors)
            invariants.check_end(self)
        except ScenarioError:
            raise
        except AssertionError as error:
            raised = f" (after an error at {self.faults.raised})" if self.faults.raised else ""
            raise ScenarioError(f"{error}{raised}", self.steps) from error

    def _look(self, log_errors: "_Errors") -> None:
        for caller in self.callers:
            caller.read()
        for origin in self.origins:
            origin.read()
        errors = [one for one in (*self.loop.errors, *log_errors.seen) if "UnexpectedError" not in one]
        assert not errors, "; ".join(errors)
        in_flight = self.gateway.context.in_flight
        assert 0 <= in_flight <= len(self.gateway.cap.connections), f"{in_flight} in flight"

    async def _step(self) -> None:
        choices = self.choices
        kind = choices.below(32)
        if 0 < kind < 12:
            self._caller_sends()
        elif kind < 20:
            self._origin_acts()
        elif kind < 22:
            self._caller_acts()
        elif kind < 23:
            self._connect()
        elif kind < 25:
            self._origin_misbehaves()
        elif kind < 27:
            self._dial_ends()
        elif kind < 30:
            await self._pass(_WAITS[choices.below(len(_WAITS))])
        elif kind < 31:
            self._operate()
        # Several events may come before the loop's next turn.
        await self.loop.turn((8, 8, 8, 2, 1, 0)[choices.below(6)])

    # --- clients --------------------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        if not self.gateway.cap.admit():
            self.note("a client is not accepted")
            return
        is_trusted = not self.choices.one_in(4)
        transport = Transport(self.loop, _TRUSTED if is_trusted else _CLIENT, can_half_close=not self.choices.one_in(6))
        caller = Caller(
            transport, len(self.callers), is_trusted, self.gateway.client_connection(), may_fail=self.has_fault
        )
        self.callers.append(caller)
        self.note(f"client {caller.name} connects")
        transport.begin(caller.client)

    def _caller(self) -> Caller | None:
        open_ones = [one for one in self.callers if not (one.transport.is_dead or one.transport.has_reset)]
        return open_ones[self.choices.below(len(open_ones))] if open_ones else None

    def _caller_sends(self) -> None:
        caller = self._caller()
        if caller is None or caller.transport.has_sent_fin or caller.transport.is_over:
            return
        if not caller.outbox:
            for _ in range((1, 1, 1, 2, 3)[self.choices.below(5)]):
                if not caller.is_done:
                    number = len(self.requests)
                    request = caller.compose(self.choices, number)
                    self.requests[number] = (caller, request)
                    self.note(
                        f"client {caller.name} composes {number}: {request.method!r} {request.target!r}"
                        f"{' bad' if request.is_bad else ''}{' closing' if request.closes else ''} {len(request.body)}"
                    )
        if not caller.outbox:
            return
        segments = (1, 1, 2, 99)[self.choices.below(4)]
        self.note(f"client {caller.name} sends {b''.join(caller.outbox[:segments])[:70]!r}")
        caller.send(segments)

    def _caller_acts(self) -> None:
        caller = self._caller()
        if caller is None:
            return
        transport, kind = caller.transport, self.choices.below(8)
        self.note(f"client {caller.name}: act {kind}")
        if kind < 2:
            transport.finish()
        elif kind < 4:
            transport.reset(is_read=bool(self.choices.below(2)), keeps_inbox=bool(self.choices.below(2)))
        elif kind < 6:
            transport.stop_reading()
        elif kind < 7:
            transport.read()
        else:
            transport.read(self.choices.below(256) * 4)

    # --- upstreams ------------------------------------------------------------------------------------------------------------

    async def _dial(self, host: str, port: int) -> Transport:
        kind = self.choices.below(6)
        self.faults.at("dial")
        if self.is_ending or kind == 4:
            self.note(f"{host} refuses")
            await asyncio.sleep(0)
            raise ConnectionRefusedError
        if kind == 5:
            answer: asyncio.Future[None] = self.loop.create_future()
            self.dials.append(answer)
            self.note(f"{host} is waited for")
            await answer
        else:
            await asyncio.sleep(0)
        transport = Transport(self.loop, host)
        origin = Origin(transport, self._on_upstream_request)
        self.origins.append(origin)
        self.note(f"{host} accepts as {len(self.origins) - 1}")
        return transport

    def _dial_ends(self) -> None:
        self.dials = [one for one in self.dials if not one.done()]
        if self.dials:
            dial = self.dials.pop(self.choices.below(len(self.dials)))
            if self.choices.one_in(3):
                self.note("a dial fails")
                dial.set_exception(ConnectionResetError())
            else:
                self.note("a dial succeeds")
                dial.set_result(None)

    def _on_upstream_request(self, asked: Asked) -> None:
        path, _, number = asked.target.partition(b"?")
        if number == b"same":
            return
        caller, request = self.requests[int(number)]
        assert caller.is_sent(request), f"the upstream got all of {request.number}, of which the client sent a part"
        assert not request.is_bad, f"the upstream got all of the bad request {request.number}"
        assert asked.body == request.body, f"the body of {request.number} is another one"
        times = self.reached[request.number] = self.reached.get(request.number, 0) + 1
        if path not in RETRIED:
            assert times <= (1 if request.method == b"POST" else 2), f"request {request.number} was sent {times} times"

    def _origin(self, *, is_busy: bool) -> Origin | None:
        open_ones = [
            one
            for one in self.origins
            if not (one.transport.is_over or one.transport.has_reset)
            and (not is_busy or one.outbox or one.open_request)
        ]
        return open_ones[self.choices.below(len(open_ones))] if open_ones else None

    def _origin_acts(self) -> None:
        origin = self._origin(is_busy=True)
        if origin is None:
            return
        name = self.origins.index(origin)
        if not origin.outbox:
            target = origin.asked[-1].target
            if not origin.asked[-1].is_whole:
                self.early.add(target)
            answer = origin.answer(self.choices)
            self.note(f"upstream {name} answers {target!r} with {answer}")
            self.has_upstream_failed |= answer in ("bad", "cut", "nothing", "close", "until close")
        segments = (99, 99, 1, 1, 2)[self.choices.below(5)]
        self.note(f"upstream {name} sends {b''.join(origin.outbox[:segments])[:50]!r}")
        origin.send(segments)

    def _origin_misbehaves(self) -> None:
        origin = self._origin(is_busy=self.choices.below(2) == 0)
        if origin is None:
            return
        self.has_upstream_failed = True
        transport, kind = origin.transport, self.choices.below(8)
        self.note(f"upstream {self.origins.index(origin)}: act {kind}")
        if kind < 2:
            transport.reset(is_read=bool(self.choices.below(2)))
        elif kind < 4:
            if not (origin.ends and origin.outbox):  # a response that ends with the connection would seem whole
                transport.finish()
        elif kind < 5:
            if not (origin.open_request or origin.outbox or transport.received or transport.get_write_buffer_size()):
                transport.send(b"HTTP/1.1 200 OK\r\nX-Echo: unasked\r\nContent-Length: 0\r\n\r\n")
        elif kind < 7:
            transport.stop_reading()
        else:
            transport.read()

    # --- time and the process ---------------------------------------------------------------------------------------------------

    async def _pass(self, seconds: float) -> None:
        """Let time pass, with up to four turns of the wheel in it."""
        self.note(f"{seconds} s pass")
        turns = 4 if seconds > 1 else 1
        for _ in range(turns):
            await asyncio.sleep(seconds / turns)
            self._tick()
            await self.loop.turn(8)

    def _tick(self) -> None:
        gateway = self.gateway
        self.clock.update()
        now = self.clock.coarse_now
        for side in (*self.callers, *self.origins):
            side.transport.notice()
        for caller in self.callers:
            self._poll(caller)
        timeouts.check_all(gateway.cap.connections, now)
        gateway.pools.sweep(now)
        gateway.live.forget_idle_keys(now)

    def _poll(self, caller: Caller) -> None:
        """What `timeouts._check_leaving` does with a socket."""
        client, transport = caller.client, caller.transport
        if client.holds and client.current is not None and not transport.is_closing():
            transport.notice(is_polled=True)
            if transport.is_fin_unread and client.receiving is None and not client.has_fin:
                client.expect_leaving(self.clock.coarse_now)

    def _operate(self) -> None:
        kind, gateway = self.choices.below(8), self.gateway
        if kind < 4:
            self.document = 1 - self.document
            self.note(f"document {self.document} is served")
            self._accept(self.document)
        elif kind < 5:
            self.note("memory is short")
            gateway.context.max_in_flight = 0
        elif kind < 6:
            self.note("memory is not short")
            gateway.context.max_in_flight = gateway.settings.max_in_flight
        elif kind < 7:
            self.note("drain")
            gateway.drain()
        else:
            self.note("stop")
            self.is_stopping = True
            for caller in self.callers:
                caller.slow = timeouts.GRACE
            gateway.drain()
            for connection in list(gateway.cap.connections):
                connection.shutdown()

    def _accept(self, number: int) -> None:
        gateway = self.gateway
        completed(gateway.live.accepting(DOCUMENTS[number], EndpointsDocument(), str(number)))
        runtime = gateway.context.runtime
        assert runtime is not None
        self.instruments.add_to(runtime)

    # --- the end ----------------------------------------------------------------------------------------------------------------

    async def _end(self) -> None:
        self.note("the end")
        self.is_ending = True
        way = self.choices.below(4)
        for dial in self.dials:
            if not dial.done():
                dial.set_exception(ConnectionRefusedError())
        for caller in self.callers:
            if way == 1:
                caller.transport.finish()
            elif way == 2:
                caller.transport.reset(is_read=False)
        await self._settle_down()
        self.are_origins_silent = way == 3
        await self._settle_down()
        for wait in _FINAL_WAITS:
            if not (self.gateway.cap.connections or self.gateway.pools.connections):
                break
            await self._pass(wait)
            await self._settle_down()

    async def _settle_down(self) -> None:
        """Until nothing is left to deliver, and no upstream owes a response."""
        for _ in range(4):
            await self.loop.turn(12)
            for caller in self.callers:
                caller.read()
            for origin in self.origins:
                self._end_origin(origin)
        for caller in self.callers:
            if not caller.transport.is_dead and self.choices.below(2) == 0:
                caller.transport.read()

    def _end_origin(self, origin: Origin) -> None:
        """Reset a connection for which the gateway may wait forever, where the rule has no time limit."""
        transport = origin.transport
        if not self.are_origins_silent:
            transport.read()
        origin.read()
        if origin.open_request or origin.outbox or (transport.is_stuck and not transport.is_over):
            transport.reset(is_read=True)


_loop: VirtualLoop | None = None


def run(data: bytes, *, has_fault: bool = False) -> Scenario:
    """Run the scenario that these bytes choose, perhaps with one unexpected error in it. Raises `ScenarioError`."""
    global _loop
    if _loop is None:
        _loop = VirtualLoop()
    errors = _Errors()
    logger = logging.getLogger("inferway")
    logger.addHandler(errors)
    try:
        return _loop.run_until_complete(_run(_loop, data, errors, has_fault))
    except BaseException:
        _drop(_loop)
        _loop = None
        raise
    finally:
        logger.removeHandler(errors)


async def _run(loop: VirtualLoop, data: bytes, errors: _Errors, has_fault: bool) -> Scenario:
    scenario = Scenario(loop, Choices(data), has_fault=has_fault)
    await scenario.run(errors)
    return scenario


def _drop(loop: VirtualLoop) -> None:
    """Close a loop in which a scenario failed, with all that it left."""
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
