"""What must hold when a scenario has ended."""

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

from lifecycle.callers import Caller

if TYPE_CHECKING:
    from lifecycle.scenario import Scenario


def check_end(scenario: "Scenario") -> None:
    """Assert that everything counted was given back, and that responses match requests."""
    gateway = scenario.gateway
    left = {
        "in flight": gateway.context.in_flight,
        "client connections": len(gateway.cap.connections),
        "victims on their way": len(gateway.cap.going),
        "accepted": len(gateway.cap.coming),
        "upstream connections": len(gateway.pools.connections),
        "permits": gateway.pools.limiter.taken,
        "waiting for permits": len(gateway.pools.limiter.waiting),
        "private connections": gateway.pools.private.taken,
        "bytes of kept bodies": gateway.context.kept_bodies.bytes,
        "breaker seats": sum(one.in_flight for one in scenario.instruments.counters),
        "pending": sum(one.pending for one in scenario.instruments.counters),
        "retrying": sum(one.retrying for one in scenario.instruments.counters),
        "active": sum(abs(one.endpoint.active) for one in scenario.instruments.members),
        "idle": sum(len(one.endpoint.idle) for one in scenario.instruments.members),
        "probing": sum(one.is_probing for one in scenario.instruments.members),
        "open taps": scenario.instruments.open_taps,
        "open settlers": scenario.instruments.open_settlers,
        "tasks": len(asyncio.all_tasks()) - 1,
    }
    left = {name: count for name, count in left.items() if count}
    assert not left, f"not given back: {left}"
    for caller in scenario.callers:
        check_caller(scenario, caller)


def check_caller(scenario: "Scenario", caller: Caller) -> None:
    """Assert that a client has one whole response for each request that it sent, in order, or a reason why not."""
    transport, responses = caller.transport, caller.responses
    for request, response in zip(caller.requests, responses, strict=False):
        if response.is_whole and b"x-echo" in response.fields and response.body:
            mark = b"<%b>" % request.target
            body = response.body
            assert body == b"no" or (body.startswith(mark) and not body[len(mark) :].strip(b"y")), "another body"
            assert len(body) - len(mark) in (0, 3, 40, 700, 2_000) or body == b"no", "a cut body passes for a whole one"
    for earlier, _ in pairwise(responses):
        assert earlier.is_whole, "a response follows one that was cut"
    if transport.has_sent_fin or transport.has_reset or scenario.is_stopping or caller.transport.is_stuck:
        return
    if responses and responses[-1].fields.get(b"connection") == b"close":
        return
    if responses and caller.requests[len(responses) - 1].target in scenario.early:
        return  # the rest of that request has no reader, so the connection ends behind the response
    if transport.is_aborted and not scenario.faults.raised:
        assert caller.is_inside or scenario.gateway.stats.cut or scenario.has_upstream_failed, (
            "the connection was cut without a reason"
        )
        return
    if transport.is_aborted:
        return
    whole = [one for one in caller.requests if caller.is_sent(one)]
    assert len(responses) >= len(whole), f"client {caller.name}: {len(whole)} requests, {len(responses)} responses"
