"""Ten minutes of mixed traffic through one gateway process: does it grow, leak or fail?

`python -m bench.soak_local`: hits, misses, bodies, chunked answers, event streams, slow readers, clients that disconnect
in the middle of a stream, and a reload every five seconds. Afterwards the numbers of descriptors, of connections on both
sides and of requests in flight must be the same as before.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from time import monotonic
from typing import Annotated, Any

import typer

from bench import clients, harness, mixed_traffic, scripted, watching
from bench.mixed_traffic import KINDS, Traffic
from bench.peers import inferway
from bench.tally import Tally
from bench.verdicts import Verdict
from bench.watching import Sample

QUIET_WITHIN = 20.0
"""Seconds after the load in which everything must be closed again."""
UPSTREAM_IDLE = "2"
"""Seconds after which the gateway closes idle upstream connections; short, so that the run ends soon."""
RELOAD_EVERY = 5.0
MAX_GROWTH = 2e6
"""Bytes that the second half may add to the resident memory, by its slope."""
JUDGED_FROM = 240.0
"""Seconds of load below which the slope is reported, not judged: caches and pools are still filling."""
CACHE_BYTES = 16 << 20


def resources(port: int, generation: int) -> list[dict[str, Any]]:
    """Return two rules with the generation in a response header, and the limits."""
    edit = {"set": [{"name": "x-generation", "value": str(generation)}]}
    filters = [{"type": "ResponseHeaderModifier", "responseHeaderModifier": edit}]
    return [
        harness.route(
            "soak",
            harness.rule("/", [port], filters=filters),
            harness.rule("/cached", [port], filters=filters, cache={"ttl": "60s"}),
        ),
        inferway.endless_limits(),
    ]


async def reloading(gateway: inferway.Serving, upstream_port: int, stopping: asyncio.Event, tally: Tally) -> None:
    """Replace the YAML, and check that it is served within five seconds."""
    generation = 0
    while not stopping.is_set():
        generation += 1
        inferway.write(gateway.directory, resources(upstream_port, generation))
        deadline = monotonic() + RELOAD_EVERY
        seen = b""
        while seen != b"%d" % generation and monotonic() < deadline:
            await asyncio.sleep(0.1)
            try:
                seen = (await clients.once(gateway.port, clients.request("/plain", close=True))).headers[
                    b"x-generation"
                ]
            except (clients.NotAcceptedError, clients.UnansweredError) as error:
                tally.fail(str(error))
                break
        else:
            if seen == b"%d" % generation:
                tally.answered += 1
            else:
                tally.fail("not served in time")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), max(0.0, deadline - monotonic()))


async def watch(
    pid: int, admin_port: int, stopping: asyncio.Event, samples: list[Sample], tallies: dict[str, Tally]
) -> None:
    """Sample every two seconds, and print every twenty."""
    began = monotonic()
    while not stopping.is_set():
        samples.append(await watching.sample(pid, admin_port))
        if len(samples) % 10 == 1:
            print_progress(samples[-1], monotonic() - began, tallies)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), 2.0)


def print_progress(sample: Sample, at: float, tallies: dict[str, Tally]) -> None:
    """Print a line of progress."""
    gauges = "  ".join(f"{name} {value:.0f}" for name, value in sample.gauges.items())
    requests, failed = sum(one.requests for one in tallies.values()), sum(one.failed for one in tallies.values())
    harness.print_progress(
        f"{at:4.0f} s  rss {sample.resident / 1e6:6.1f} MB  fds {sample.descriptors:4}  {gauges}"
        f"  {requests:,} requests, {failed} failed"
    )


async def quiet(pid: int, admin_port: int, start: Sample | None) -> Sample:
    """Wait until nothing is open and descriptors are back to the start's number. Returns the last sample."""
    deadline = monotonic() + QUIET_WITHIN
    while True:
        sample = await watching.sample(pid, admin_port)
        is_calm = bool(sample.gauges) and not any(sample.gauges.values())
        if monotonic() > deadline or (is_calm and (start is None or sample.descriptors <= start.descriptors)):
            return sample
        await asyncio.sleep(0.25)


async def load(
    traffic: Traffic, seconds: float, tallies: dict[str, Tally], others: Sequence[asyncio.Task[None]]
) -> int:
    """Run all kinds for `seconds`; returns the number of clients that did not end after it."""
    tasks = [
        asyncio.ensure_future(kind(traffic, tallies[name]))
        for name, (kind, count) in KINDS.items()
        for _ in range(count)
    ]
    await asyncio.wait([*tasks, *others], timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    traffic.stopping.set()
    return await harness.settle([*tasks, *others], mixed_traffic.WITHIN + 5)


async def measure(seconds: float, aborts: int) -> Verdict:
    """Run the soak with a separate gateway process."""
    verdict = Verdict("soak")
    tallies = {name: Tally() for name in (*KINDS, "reloads")}
    samples: list[Sample] = []
    with contextlib.ExitStack() as running:
        place = running.enter_context(harness.place(seconds + 180))
        upstream = running.enter_context(scripted.serve("upstream", place.upstreams))
        flags = ["--log-level", "error", "--upstream-idle-timeout", UPSTREAM_IDLE, "--cache-bytes", str(CACHE_BYTES)]
        gateway = running.enter_context(
            inferway.serve_directory(
                "gateway", resources(upstream.port, 0), place.gateway, flags, env={"INFERWAY_ACCESS_LOG": "false"}
            )
        )
        pid, stopping = gateway.server.tree().root, asyncio.Event()
        # Warm up with each kind once, so that objects created once and kept exist at the start.
        warming = Traffic(gateway.port, asyncio.Event(), 5.0)
        await load(warming, 3.0, {name: Tally() for name in tallies}, [])
        start = await quiet(pid, gateway.admin_port, None)
        harness.print_progress(f"start: {start.resident / 1e6:.1f} MB, {start.descriptors} descriptors")
        before = upstream.stats()
        traffic = Traffic(gateway.port, stopping, aborts / seconds)
        others = [
            asyncio.create_task(reloading(gateway, upstream.port, stopping, tallies["reloads"])),
            asyncio.create_task(watch(pid, gateway.admin_port, stopping, samples, tallies)),
        ]
        late = await load(traffic, seconds, tallies, others)
        end = await quiet(pid, gateway.admin_port, start)
        gateway.server.check_alive()
        totals = await watching.metrics(gateway.admin_port)
        stats = upstream.stats()
        log = gateway.server.log_tail(5)
    for name, tally in tallies.items():
        verdict.judge(f"{name}: none failed", tally.describe(), not tally.failed and tally.answered > 0)
    from_cache, answered = totals["cache_hits_total"], tallies["hits"].answered
    verdict.judge("the cache was used", f"{from_cache:,.0f} of {answered:,} hits", from_cache >= 0.9 * answered > 0)
    verdict.judge(
        "clients left mid-stream", f"{traffic.aborted:,} of {aborts:,} wanted", traffic.aborted >= 0.9 * aborts
    )
    left = stats["aborted"] - before["aborted"]
    verdict.judge("the upstream saw them leave", f"{left:,}", left >= traffic.aborted and stats["in_flight"] == 0)
    judge_end(verdict, start, end, samples, seconds)
    verdict.judge("every client ended", f"{late} did not", late == 0)
    if log:
        verdict.note("last lines of the gateway's log", log)
    return verdict


def judge_end(verdict: Verdict, start: Sample, end: Sample, samples: Sequence[Sample], seconds: float) -> None:
    """Judge memory by the slope of the second half; everything else must be as at the start."""
    half = samples[len(samples) // 2 :]
    slope = watching.slope(half)
    growth = slope * (half[-1].at - half[0].at) if half else 0.0
    figure = f"{slope * 60 / 1e3:+.1f} kB a minute, {growth / 1e6:+.2f} MB in the second half"
    if seconds >= JUDGED_FROM:
        verdict.judge(f"memory: less than {MAX_GROWTH / 1e6:.0f} MB in the second half", figure, growth < MAX_GROWTH)
    else:
        verdict.note("memory (too short a run to judge)", figure)
    most = max((one.resident for one in samples), default=0)
    verdict.note(
        "resident: start, most, end", " ".join(f"{one / 1e6:.1f}" for one in (start.resident, most, end.resident))
    )
    figure = f"{start.descriptors} at the start, {end.descriptors} at the end"
    verdict.judge("no descriptor leaked", figure, end.descriptors <= start.descriptors)
    left = ", ".join(f"{name} {value:.0f}" for name, value in end.gauges.items())
    verdict.judge("no connection or request left", left, bool(end.gauges) and not any(end.gauges.values()))


def main(
    minutes: Annotated[float, typer.Option(min=0.1, max=120)] = 10.0,
    aborts: Annotated[int, typer.Option(min=0, max=100_000, help="0 = 1,000 a minute.")] = 0,
) -> None:
    """Run mixed traffic and look for growth, leaks and failures."""
    harness.run(measure(minutes * 60, aborts or round(1000 * minutes))).close(harness.console)


if __name__ == "__main__":
    typer.run(main)
