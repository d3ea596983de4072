"""Slow clients beyond the gateway's descriptors: is a healthy client still served within a second?

`python -m bench.slow_clients`: the gateway may open 256 descriptors. 400 slow connections (slow heads, slow bodies,
readers that hardly read) occupy it and reconnect after a cut. At the same time a healthy client sends ten requests a
second, on fresh connections and on a kept one, and a prober requests the admin port's probes once a second.
"""

from __future__ import annotations

import asyncio
import contextlib
from time import monotonic
from typing import Annotated

import typer

from bench import clients, harness, scripted, slow_connections, watching
from bench.clients import Lost
from bench.peers import inferway
from bench.slow_connections import Cuts, Kind
from bench.tally import Tally
from bench.verdicts import Verdict

SLOWEST = 1.0
"""Seconds a healthy request may take."""
PATIENCE = 5.0
"""Seconds until a healthy request is aborted."""
MAX_GROWTH = 30e6
"""Bytes of resident memory."""
PLAIN = clients.request("/plain")
ANSWER_SIZE = 8 << 20
CUT_WITHIN = 40.0
"""Seconds after which a slow head or body must have been cut; shorter runs do not judge this."""


async def _fresh_request(port: int, tally: Tally) -> None:
    began = monotonic()
    client = await tally.connect(port, PATIENCE)
    if client is None:
        tally.fail("not accepted")
        return
    connected = monotonic() - began
    if await tally.ask(client, PLAIN, PATIENCE) is not None:
        tally.seconds[-1] += connected
    client.leave()


async def on_fresh(port: int, tally: Tally, lasts: float) -> None:
    """Send ten requests a second, each on a new connection, without waiting for the last answer."""
    clock = harness.Clock(0.1, lasts)
    async with asyncio.TaskGroup() as group:
        while await clock.ticks():
            group.create_task(_fresh_request(port, tally))


async def on_kept(port: int, tally: Tally, lasts: float) -> int:
    """Send ten requests a second on one connection; returns the number of reconnects.

    A gateway may close a connection that waits for its next request. A request that meets such a close is sent once
    more on a new connection, as every client does (RFC 9110, 9.2.2); its time includes both.
    """
    clock = harness.Clock(0.1, lasts)
    client: clients.Client | None = None
    connections = 0
    while await clock.ticks():
        began = monotonic()
        is_reused = client is not None and client.is_open
        for _ in range(2):
            if client is None or not client.is_open:
                connections += 1
                client = await tally.connect(port, PATIENCE)
            if client is None:
                tally.fail("not accepted")
                break
            unsettled = Tally()
            answer = await unsettled.ask(client, PLAIN, PATIENCE)
            if answer is None and is_reused and not unsettled.failures[Lost.LATE]:
                is_reused = False
                continue
            unsettled.seconds = [monotonic() - began] if answer is not None else []
            tally.add(unsettled)
            break
    if client is not None:
        client.leave()
    return max(0, connections - 1)


async def probing(admin_port: int, tally: Tally, lasts: float) -> None:
    """Request /healthz and /readyz in turn, once a second."""
    clock = harness.Clock(1.0, lasts)
    paths = ["/healthz", "/readyz"]
    while await clock.ticks():
        paths.reverse()
        client = await tally.connect(admin_port, PATIENCE)
        if client is None:
            tally.fail("not accepted")
            continue
        await tally.ask(client, clients.request(paths[0], close=True), PATIENCE)
        client.leave()


async def watch(pid: int, admin_port: int, lasts: float, cuts: dict[Kind, Cuts], seen: list[watching.Sample]) -> None:
    """Sample once a second, and print each tenth sample."""
    clock = harness.Clock(1.0, lasts)
    while await clock.ticks():
        sample = await watching.sample(pid, admin_port)
        seen.append(sample)
        if len(seen) % 10 == 0:
            slow = ", ".join(f"{kind} {one.open_now} open {len(one.ages)} cut" for kind, one in cuts.items())
            harness.print_progress(
                f"{monotonic() - clock.began:4.0f} s  rss {sample.resident / 1e6:5.1f} MB  fds {sample.descriptors:3}"
                f"  connections {sample.gauges.get('connections', -1):.0f}  {slow}"
            )


async def measure(seconds: float, slow: int, descriptors: int, pace: float) -> Verdict:
    """Run the measurement with a separate gateway process."""
    verdict = Verdict("slow clients")
    fresh, kept, probes = Tally(), Tally(), Tally()
    cuts = {kind: Cuts() for kind in Kind}
    samples: list[watching.Sample] = []
    with contextlib.ExitStack() as running:
        place = running.enter_context(harness.place(seconds + 90))
        upstream = running.enter_context(scripted.serve("upstream", place.upstreams))
        gateway = running.enter_context(
            inferway.serve_directory(
                "gateway",
                [harness.route("all", harness.rule("/", [upstream.port]))],
                place.gateway,
                ["--log-level", "warning"],
                env={"INFERWAY_ACCESS_LOG": "false"},
                wrapper=["prlimit", f"--nofile={descriptors}:{descriptors}"],
            )
        )
        pid = gateway.server.tree().root
        # Memory allocated once (connections, parsers, the first scrape) is not caused by the slow clients.
        await asyncio.gather(on_fresh(gateway.port, Tally(), 2.0), on_kept(gateway.port, Tally(), 2.0))
        await watching.sample(pid, gateway.admin_port)
        start = await watching.sample(pid, gateway.admin_port)
        harness.print_progress(
            f"gateway ready: {start.resident / 1e6:.1f} MB, {start.descriptors} of {descriptors} descriptors"
        )
        holding = []
        for number in range(slow):
            kind = list(Kind)[number % len(Kind)]
            work = slow_connections.hold(kind, gateway.port, cuts[kind], pace, ANSWER_SIZE)
            holding.append(asyncio.create_task(work))
        reconnects, *_ = await asyncio.gather(
            on_kept(gateway.port, kept, seconds),
            on_fresh(gateway.port, fresh, seconds),
            probing(gateway.admin_port, probes, seconds),
            watch(pid, gateway.admin_port, seconds, cuts, samples),
        )
        await harness.settle(holding, 0.01)
        gateway.server.check_alive()
        metrics = (await clients.once(gateway.admin_port, clients.request("/metrics", close=True))).body.decode()
        counted = [
            line for line in metrics.splitlines() if line.startswith(("connections_cut_total{", "requests_shed_total{"))
        ]
        log = gateway.server.log_tail(6)
    for name, tally in (("fresh", fresh), ("kept", kept), ("probes", probes)):
        _judge(verdict, name, tally)
    verdict.note("kept connection reconnected", f"{reconnects} times")
    growth = max((one.resident for one in samples), default=0) - start.resident
    verdict.judge("memory grows less than 30 MB", f"{growth / 1e6:+.1f} MB", bool(samples) and growth < MAX_GROWTH)
    verdict.note("descriptors, most", f"{max((one.descriptors for one in samples), default=0)} of {descriptors}")
    for kind, one in cuts.items():
        if kind is Kind.READER:
            # Its request is complete and it reads, so the gateway may serve it while it has free descriptors.
            verdict.note(kind, one.describe())
        else:
            verdict.judge(f"{kind}: cut in the end", one.describe(), bool(one.ages) or seconds < CUT_WITHIN)
    verdict.note("the gateway's own count", "; ".join(counted))
    if log:
        verdict.note("last lines of the gateway's log", log)
    return verdict


def _judge(verdict: Verdict, name: str, tally: Tally) -> None:
    slowest = max(tally.seconds, default=0.0)
    figure = (
        f"{tally.describe()}; p50 {watching.quantile(tally.seconds, 0.5) * 1e3:.1f} ms,"
        f" p99 {watching.quantile(tally.seconds, 0.99) * 1e3:.1f} ms, longest {slowest:.2f} s"
    )
    verdict.judge(f"healthy, {name}: all < 1 s", figure, tally.answered > 0 and not tally.failed and slowest < SLOWEST)


def main(
    seconds: Annotated[float, typer.Option(min=2, max=600)] = 75.0,
    slow: Annotated[int, typer.Option(min=0, max=2000, help="Slow connections.")] = 400,
    descriptors: Annotated[int, typer.Option(min=64, max=65536, help="RLIMIT_NOFILE of the gateway.")] = 256,
    pace: Annotated[float, typer.Option(min=0.05, max=10, help="Seconds between two bytes.")] = 2.0,
) -> None:
    """Occupy a gateway with slow clients and measure a healthy one."""
    harness.run(measure(seconds, slow, descriptors, pace)).close(harness.console)


if __name__ == "__main__":
    typer.run(main)
