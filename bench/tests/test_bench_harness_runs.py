"""Short runs of the harnesses: against a server that loses requests, which they must detect, and against the gateway."""

import asyncio
import os
from pathlib import Path

import pytest

from bench import clients, fakes, harness, scripted, servers, slow_clients, soak_local, steady_load, stop_under_load
from bench.verdicts import Verdict
from bench.victim import FAULTS, Fault, Victim

# Gateway and load each need a core: on a single core the figures would mean nothing.
pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="the harnesses pin to two cores")


def describe(verdict: Verdict) -> str:
    return "\n".join(f"{check.holds} {check.demand}: {check.figure}" for check in verdict.checks)


def test_stop_under_load_detects_lost_requests() -> None:
    """The scripted upstream resets all connections when it stops: streams in the middle, requests unanswered."""

    async def work() -> Verdict:
        verdict = Verdict("stop")
        with harness.place(60) as place, scripted.serve("upstream", place.upstreams) as upstream:
            await stop_under_load.stop_under_load(
                upstream.port,
                upstream.server.tree().root,
                verdict,
                load_seconds=0.3,
                workers=8,
                streams=4,
                stream_seconds=2.0,
            )
        return verdict

    verdict = asyncio.run(work())
    lost = {check.demand for check in verdict.checks if check.holds is False}
    assert {"streams of 2 s end whole", "kept connections: no request lost"} <= lost, describe(verdict)


@pytest.mark.slow
def test_stopped_gateway_finishes_streams_and_exits_with_0() -> None:
    """In a run this short, chance decides whether single requests are lost; for that see `make stop-under-load`."""
    verdict = asyncio.run(
        stop_under_load.measure(drain_delay=1.0, load_seconds=0.5, workers=4, streams=4, stream_seconds=2.0)
    )
    held = {check.demand for check in verdict.checks if check.holds}
    wanted = {"streams of 2 s end whole", "exit code 0", "not before the drain delay", "no stream aborted"}
    assert wanted | {"served on while it drained"} <= held, describe(verdict)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_faulty_endpoint_fails_and_heals(fault: Fault, tmp_path: Path) -> None:
    async def is_good(port: int) -> bool:
        try:
            return (await clients.once(port, clients.request("/"), steady_load.SLOW)).status == 200
        except (clients.NotAcceptedError, clients.UnansweredError):
            return False

    launcher = servers.Launcher(min(os.sched_getaffinity(0)), 60, tmp_path)
    with scripted.serve("victim", launcher) as upstream, fakes.FaultyTcp(upstream.port) as tcp:
        victim = Victim(upstream, tcp)
        results = [asyncio.run(is_good(tcp.port))]
        fault.begin(victim)
        results.append(asyncio.run(is_good(tcp.port)))
        victim.heal()
        results.append(asyncio.run(is_good(tcp.port)))
    assert results == [True, False, True]


@pytest.mark.slow
def test_slow_clients_leave_other_requests_unaffected() -> None:
    verdict = asyncio.run(slow_clients.measure(seconds=3.0, slow=30, descriptors=256, pace=0.5))
    assert verdict.holds, describe(verdict)


@pytest.mark.slow
def test_soak_returns_to_the_initial_state() -> None:
    verdict = asyncio.run(soak_local.measure(seconds=4.0, aborts=40))
    assert verdict.holds, describe(verdict)
