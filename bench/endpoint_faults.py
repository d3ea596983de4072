"""One of three endpoints refuses, hangs, fails or is slow: how long does it affect clients, and does it return?

`python -m bench.endpoint_faults`: three scripted upstreams behind one Service, a steady rate of requests. Each fault in
turn is switched on at the third upstream, and off again. `--with-retry` adds the rule options of `WITH_RETRY`;
`--rule FILE` merges YAML into the rule instead.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import typer
import yaml

from bench import clients, ejection, harness, scripted, watching
from bench.ejection import Outcome
from bench.fakes import FaultyTcp, yaml_builders
from bench.peers import inferway
from bench.steady_load import Load
from bench.verdicts import Verdict
from bench.victim import FAULTS, Fault, Victim

TIMEOUTS: dict[str, Any] = {"timeouts": {"connect": "1s", "backendRequest": "1s", "request": "4s"}}
WITH_RETRY: dict[str, Any] = {
    "retry": {
        "attempts": 2,
        "codes": [500, 502, 503, 504],
        "conditions": ["ConnectFailure", "Reset", "Timeout"],
        "methods": ["GET"],
        "backoff": "25ms",
        "budgetPercent": 20,
    },
    "circuitBreaker": {"consecutiveFailures": 5, "openFor": "2s", "maxEjectedPercent": 50},
}
EJECTED_WITHIN = 3.0
FAILED_AFTER_EJECTION = 0.001
BACK_WITHIN = 40.0
"""Seconds after the end of the fault. An ejection that was doubled a few times lasts that long."""
MOST_LOAD = 1.20
"""Tries of the gateway per request of a client, while one of three endpoints fails."""
LEAST_SHARE = 0.15
"""Share of the requests that the victim, one of three endpoints, receives after it returns."""
UNCONNECTED = ("connect_failed", "connect_timeout")
"""Reasons of `upstream_errors_total` where no upstream received a request."""
ENDPOINTS = ("a", "b", "victim")


@dataclass(slots=True)
class Tries:
    """Requests that each upstream received, and failed tries by the gateway's count."""

    by_endpoint: dict[str, int]
    unconnected: float
    """Failed tries that reached no upstream."""

    def __sub__(self, other: Tries) -> Tries:
        seen = {name: count - other.by_endpoint[name] for name, count in self.by_endpoint.items()}
        return Tries(seen, self.unconnected - other.unconnected)

    @property
    def total(self) -> float:
        return sum(self.by_endpoint.values()) + self.unconnected


async def tries(upstreams: list[scripted.Scripted], admin_port: int) -> Tries:
    """Return the tries so far."""
    seen = {one.name: (await asyncio.to_thread(one.stats))["requests"] for one in upstreams}
    answer = await clients.once(admin_port, clients.request("/metrics", close=True))
    metrics = answer.body.decode()
    return Tries(seen, sum(watching.count(metrics, "upstream_errors_total", reason=code) for code in UNCONNECTED))


async def try_fault(
    fault: Fault, victim: Victim, load: Load, count: Callable[[], Any], seconds: float, verdict: Verdict
) -> None:
    """Switch the fault on, wait, switch it off, wait; judge the clients' results."""
    before = await count()
    began = monotonic()
    await asyncio.to_thread(fault.begin, victim)
    await asyncio.sleep(seconds - 2.0)
    late = await count()
    await asyncio.sleep(2.0)
    during = await count()
    await asyncio.to_thread(victim.heal)
    healed_at = monotonic()
    judge(verdict, fault.name, load.since(began), seconds, during - before, during - late)
    while True:
        from_then, at = await count(), monotonic()
        await asyncio.sleep(2.0)
        healed = await count() - from_then
        share = healed.by_endpoint["victim"] / healed.total if healed.total else 0.0
        took = at - healed_at
        if share > LEAST_SHARE or took > BACK_WITHIN:
            break
    failed = ejection.share_failed(load.since(at), 0.0, 2.0)
    figure = f"after {took:.0f} s with {share:.0%} of the requests, failed {failed:.2%}"
    verdict.judge(f"{fault.name}: it comes back", figure, share > LEAST_SHARE and not failed)
    harness.print_progress(f"{fault.name}: it comes back {figure}")


def judge(verdict: Verdict, name: str, outcomes: list[Outcome], seconds: float, whole: Tries, last: Tries) -> None:
    """Judge the record of the requests, the tries during the whole fault and during its last two seconds."""
    calm = ejection.seconds_until_calm(outcomes, seconds)
    first = ejection.share_bad(outcomes, 0.0, 1.0)
    since = calm if calm is not None else seconds / 2
    after, failed = ejection.share_bad(outcomes, since, seconds), ejection.share_failed(outcomes, since, seconds)
    then = f"calm after {calm:.1f} s" if calm is not None else "never calm"
    figure = f"bad {first:.1%} in the first second, {then}, then failed {failed:.2%}, failed or slow {after:.2%}"
    holds = calm is not None and calm <= EJECTED_WITHIN and failed <= FAILED_AFTER_EJECTION
    verdict.judge(f"{name}: calm within {EJECTED_WITHIN:.0f} s", figure, holds)
    sent = sum(0.0 <= one.at < seconds for one in outcomes)
    load_factor = whole.total / sent if sent else 0.0
    seen = last.by_endpoint["victim"]
    tries_figure = (
        f"{sent} requests, {whole.total:.0f} tries ({load_factor:.2f} each); the victim saw {seen} in the last 2 s"
    )
    verdict.judge(f"{name}: tries <= {MOST_LOAD} of requests", tries_figure, 0 < load_factor <= MOST_LOAD)
    harness.print_progress(f"{name}: {figure}; {tries_figure}")


async def measure(rate: float, seconds: float, options: dict[str, Any], chosen: list[Fault]) -> Verdict:
    """Measure each fault with a separate gateway, because an endpoint that failed before is ejected for longer."""
    verdict = Verdict("endpoint faults")
    for fault in chosen:
        await measure_one(rate, seconds, options, fault, verdict)
    return verdict


async def measure_one(rate: float, seconds: float, options: dict[str, Any], fault: Fault, verdict: Verdict) -> None:
    """Measure one fault with a separate gateway process."""
    lifetime = seconds + BACK_WITHIN + 124
    with contextlib.ExitStack() as running:
        place = running.enter_context(harness.place(lifetime))
        upstreams = [running.enter_context(scripted.serve(name, place.upstreams)) for name in ENDPOINTS]
        tcp = running.enter_context(FaultyTcp(upstreams[-1].port))
        victim = Victim(upstreams[-1], tcp)
        service = yaml.safe_load_all(yaml_builders.service("three", upstreams[0].port, upstreams[1].port, tcp.port))
        rule = harness.rule("/", [], **{**TIMEOUTS, **options}) | {"backendRefs": [{"name": "three", "port": 80}]}
        for one in (resources := [harness.route("all", rule), *service]):
            one["metadata"]["namespace"] = "bench"
        gateway = running.enter_context(
            inferway.serve_directory(
                "gateway", resources, place.gateway, ["--log-level", "error"], env={"INFERWAY_ACCESS_LOG": "false"}
            )
        )
        load, stopping = Load(gateway.port, rate), asyncio.Event()
        task = asyncio.create_task(load.run(stopping))
        try:
            began = monotonic()
            await asyncio.sleep(3.0)
            steady = ejection.share_bad(load.since(began), 0.0, 3.0)
            verdict.judge(
                f"{fault.name}: nothing bad before", f"{steady:.2%} of {len(load.since(began))}", steady == 0.0
            )
            await try_fault(fault, victim, load, lambda: tries(upstreams, gateway.admin_port), seconds, verdict)
            gateway.server.check_alive()
        finally:
            stopping.set()
            await task
        verdict.note(f"{fault.name}: all requests", load.tally.describe())


def main(
    rate: Annotated[float, typer.Option(min=1, max=2000, help="Requests a second.")] = 200.0,
    seconds: Annotated[
        float, typer.Option(min=4, max=120, help="How long each fault lasts, and the time after it.")
    ] = 10.0,
    with_retry: Annotated[bool, typer.Option("--with-retry", help="Add retry and circuitBreaker to the rule.")] = False,
    rule: Annotated[Path | None, typer.Option(help="YAML merged into the rule.")] = None,
    only: Annotated[str, typer.Option(help="Faults whose names contain this.")] = "",
) -> None:
    """Let one of three endpoints fail in several ways and report the effect on clients."""
    options = yaml.safe_load(rule.read_text()) if rule is not None else WITH_RETRY if with_retry else {}
    if not isinstance(options, dict):
        raise typer.BadParameter(f"{rule} does not contain fields of a rule")
    chosen = [fault for fault in FAULTS if only in fault.name]
    if not chosen:
        raise typer.BadParameter(f"no fault is called {only!r}: {', '.join(fault.name for fault in FAULTS)}")
    harness.run(measure(rate, seconds, options, chosen)).close(harness.console)


if __name__ == "__main__":
    typer.run(main)
