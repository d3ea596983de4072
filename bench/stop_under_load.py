"""A gateway that is stopped under load: is any request lost?

`python -m bench.stop_under_load`: clients on kept and on fresh connections, long event streams, and a SIGTERM in the
middle. A request is lost if it was sent on an accepted connection and its answer was not complete. A connection that is
refused after the listener has closed loses nothing: its client connects elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from dataclasses import dataclass
from time import monotonic
from typing import Annotated

import typer

from bench import clients, harness, scripted, servers
from bench.peers import inferway
from bench.tally import Tally
from bench.verdicts import Verdict

ANSWER_WITHIN = 20.0
THINK = 0.005
"""Mean seconds between an answer and the next request of one client; enough load without a full core. Random, because
clients in step would all pause when the signal arrives."""


@dataclass(slots=True)
class Draining:
    """Answers to kept connections between the signal and the end of the listener."""

    has_begun: bool = False
    answers: int = 0
    """To requests that were sent after the signal."""
    with_close: int = 0
    """Of these, answers with `Connection: close`."""


async def keeping(port: int, tally: Tally, stopping: asyncio.Event, draining: Draining) -> None:
    """Send requests on a kept connection; reconnect after `Connection: close`. Ends when a connection is refused."""
    data = clients.request("/plain", x_fake_delay="0.02")
    while not stopping.is_set():
        client = await tally.connect(port)
        if client is None:
            return
        while client.is_open and not stopping.is_set():
            is_after = draining.has_begun
            answer = await tally.ask(client, data, ANSWER_WITHIN)
            if answer is None:
                break
            draining.answers += is_after
            draining.with_close += is_after and not answer.keeps_alive
            await asyncio.sleep(random.uniform(0, 2 * THINK))
        client.leave()


async def fresh(port: int, tally: Tally, stopping: asyncio.Event) -> None:
    """Send each request on a new connection."""
    data = clients.request("/plain", close=True)
    while not stopping.is_set():
        client = await tally.connect(port)
        if client is None:
            return
        await tally.ask(client, data, ANSWER_WITHIN)
        client.leave()
        await asyncio.sleep(random.uniform(0, 8 * THINK))


async def streaming(port: int, tally: Tally, events: int, pause: float) -> None:
    """Read one event stream, which must be complete."""
    client = await tally.connect(port)
    if client is None:
        raise servers.BenchError("a stream was not accepted before the stop")
    seen = bytearray()
    data = clients.request("/stream", x_fake_sse=events, x_fake_pause=pause)
    await tally.ask(client, data, ANSWER_WITHIN, lambda _: seen.count(b"data: ") == events, seen.extend)
    client.leave()


async def stop_under_load(
    port: int,
    pid: int,
    verdict: Verdict,
    *,
    load_seconds: float,
    workers: int,
    streams: int,
    stream_seconds: float,
) -> float:
    """Send load, SIGTERM to `pid`, and the rest of the load; returns the time of the signal (monotonic)."""
    kept, single, streamed = Tally(), Tally(), Tally()
    stopping, draining = asyncio.Event(), Draining()
    pause = 0.1
    tasks = [asyncio.create_task(keeping(port, kept, stopping, draining)) for _ in range(workers)]
    tasks += [asyncio.create_task(fresh(port, single, stopping)) for _ in range(max(1, workers // 4))]
    await asyncio.sleep(load_seconds)
    tasks += [
        asyncio.create_task(streaming(port, streamed, max(2, int(stream_seconds / pause)), pause))
        for _ in range(streams)
    ]
    # Streams start before the stop, and some of their time passes before it.
    await asyncio.sleep(min(0.5, stream_seconds / 4))
    before = kept.requests + single.requests
    os.kill(pid, signal.SIGTERM)
    signalled, draining.has_begun = monotonic(), True
    harness.print_progress(f"SIGTERM after {before:,} requests, {streams} streams open")
    late = await harness.settle(tasks, stream_seconds + ANSWER_WITHIN)
    stopping.set()
    verdict.judge("kept connections: no request lost", kept.describe(), not kept.failed and kept.answered > 0)
    verdict.judge("fresh connections: no request lost", single.describe(), not single.failed and single.answered > 0)
    verdict.judge(
        f"streams of {stream_seconds:g} s end whole", streamed.describe(), streamed.answered == streams
    )  # fmt: skip
    after = kept.requests + single.requests - before
    verdict.judge("served on while it drained", f"{after:,} requests after the signal", after > 0)
    figure = f"{draining.with_close:,} of {draining.answers:,} answers to kept connections"
    # The signal takes a moment to arrive: the first answers after it may still lack the header.
    verdict.judge(
        "answers have Connection: close while it drains", figure, draining.with_close >= 0.9 * draining.answers
    )
    verdict.judge("every client ended", f"{late} did not", late == 0)
    first = [tally.first_failure for tally in (kept, single, streamed) if tally.first_failure]
    if first:
        verdict.note("first failure", f"{'; '.join(first)} (signal at {signalled:.3f})")
    return signalled


async def measure(
    drain_delay: float, load_seconds: float, workers: int, streams: int, stream_seconds: float
) -> Verdict:
    """Run the load and the stop with a separate gateway process."""
    verdict = Verdict("stop under load")
    with contextlib.ExitStack() as running:
        place = running.enter_context(harness.place(load_seconds + drain_delay + stream_seconds + 90))
        upstream = running.enter_context(scripted.serve("upstream", place.upstreams))
        resources = [harness.route("all", harness.rule("/", [upstream.port]))]
        env = {"INFERWAY_DRAIN_DELAY": f"{drain_delay}", "INFERWAY_DRAIN_TIMEOUT": "30", "INFERWAY_ACCESS_LOG": "false"}
        flags = ["--log-level", "error"]
        gateway = running.enter_context(
            inferway.serve_directory("gateway", resources, place.gateway, flags, env=env)
        )  # fmt: skip
        pid = gateway.server.tree().root
        harness.print_progress(f"gateway ready (pid {pid}), {workers} kept and {max(1, workers // 4)} fresh clients")
        signalled = await stop_under_load(
            gateway.port, pid, verdict, load_seconds=load_seconds, workers=workers, streams=streams,
            stream_seconds=stream_seconds,
        )  # fmt: skip
        status = await asyncio.to_thread(gateway.server.wait, 40.0)
        took = monotonic() - signalled
        verdict.judge("exit code 0", f"{status}, {took:.1f} s after the signal", status == 0)
        verdict.judge("not before the drain delay", f"{took:.1f} s of {drain_delay:g}", took >= drain_delay)
        stats = upstream.stats()
        verdict.judge("no stream aborted", f"upstream: {stats['aborted']} aborted", stats["aborted"] == 0)
    return verdict


def main(
    drain_delay: Annotated[float, typer.Option(min=0, max=30)] = 2.0,
    load_seconds: Annotated[float, typer.Option(min=0.2, max=60, help="Before the signal.")] = 5.0,
    workers: Annotated[int, typer.Option(min=1, max=256)] = 32,
    streams: Annotated[int, typer.Option(min=1, max=256)] = 20,
    stream_seconds: Annotated[float, typer.Option(min=1, max=15)] = 6.0,
) -> None:
    """Stop a gateway under load and report whether a request was lost."""
    harness.run(measure(drain_delay, load_seconds, workers, streams, stream_seconds)).close(harness.console)


if __name__ == "__main__":
    typer.run(main)
