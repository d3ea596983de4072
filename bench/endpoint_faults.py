"""One of three endpoints refuses, hangs, fails or is slow: how long do clients see it, and does it come back?

`python -m bench.endpoint_faults`: three scripted upstreams behind one Service, a steady rate of requests; for each
fault in turn the third one is switched, and healed. `--with-retry` adds the rule options of `WITH_RETRY`; `--rule FILE`
takes YAML to be merged into the rule instead.
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
from bench.fakes import Accepting, FaultyTcp, manifests
from bench.peers import inferway
from bench.tally import Tally
from bench.verdicts import Verdict

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
PATIENCE = 5.0
"""Seconds until a client gives up."""
SLOW = 0.8
"""Seconds above which an answer counts as bad: no client of this load should wait so long."""
EJECTED_WITHIN = 3.0
BAD_AFTER_EJECTION = 0.01
MOST_LOAD = 1.25
"""Tries of the gateway for each request of a client, while one of three endpoints fails."""
UNCONNECTED = ("connect_failed", "connect_timeout")
"""Reasons of `upstream_errors_total` with which no upstream has seen anything."""
ENDPOINTS = ("a", "b", "victim")


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    begin: Callable[[Victim], None]
    """What is done to the victim."""


class Victim:
    """The endpoint that is switched: a scripted upstream behind a TCP proxy that can refuse."""

    def __init__(self, upstream: scripted.Scripted, tcp: FaultyTcp) -> None:
        self.upstream, self._tcp = upstream, tcp

    def refuse(self) -> None:
        """No listener, and what is open is reset: the process has died."""
        self._tcp.change(accepting=Accepting.REFUSE)
        self._tcp.cut_all()

    def drop(self) -> None:
        """Connects hang, and what is open stands still: the node has gone."""
        self._tcp.change(accepting=Accepting.DROP)
        self._tcp.cut_all()

    def heal(self) -> None:
        """No fault."""
        self._tcp.heal()
        self.upstream.switch()


FAULTS = (
    Fault("refuses", Victim.refuse),
    Fault("connects hang", Victim.drop),
    Fault("hangs", lambda victim: victim.upstream.switch(hang=True)),
    Fault("answers 500", lambda victim: victim.upstream.switch(failShare=1.0)),
    Fault("slow (0.9 s)", lambda victim: victim.upstream.switch(latency=0.9)),
)


class Load:
    """Requests at a steady rate on kept connections; every one is recorded."""

    def __init__(self, port: int, rate: float) -> None:
        self._port, self._period = port, 1 / rate
        self._idle: list[clients.Client] = []
        self._outcomes: list[Outcome] = []
        self.tally = Tally()

    async def run(self, stopping: asyncio.Event) -> None:
        """Until told to stop; then waits for what is under way."""
        began, sent = monotonic(), 0
        async with asyncio.TaskGroup() as group:
            while not stopping.is_set():
                group.create_task(self._one())
                sent += 1
                await asyncio.sleep(max(0.0, began + sent * self._period - monotonic()))
        for client in self._idle:
            client.leave()

    async def _one(self) -> None:
        at = monotonic()
        client = self._idle.pop() if self._idle else await self.tally.connect(self._port)
        is_good = False
        if client is not None:
            answer = await self.tally.ask(client, clients.request("/plain"), PATIENCE)
            is_good = answer is not None and answer.status == 200 and monotonic() - at < SLOW
            if client.is_open:
                self._idle.append(client)
        self._outcomes.append(Outcome(at, monotonic() - at, is_good))

    def since(self, moment: float) -> list[Outcome]:
        """All, with their times counted from this one (monotonic)."""
        return [Outcome(one.at - moment, one.seconds, one.is_good) for one in self._outcomes]


@dataclass(slots=True)
class Tries:
    """Requests that each upstream has seen, and tries that the gateway says have failed."""

    by_endpoint: dict[str, int]
    unconnected: float
    """Failed tries that no upstream can have seen."""

    def __sub__(self, other: Tries) -> Tries:
        seen = {name: count - other.by_endpoint[name] for name, count in self.by_endpoint.items()}
        return Tries(seen, self.unconnected - other.unconnected)

    @property
    def total(self) -> float:
        return sum(self.by_endpoint.values()) + self.unconnected


async def tries(upstreams: list[scripted.Scripted], admin_port: int) -> Tries:
    """Up to now."""
    seen = {one.name: (await asyncio.to_thread(one.stats))["requests"] for one in upstreams}
    answer = await clients.once(admin_port, clients.request("/metrics", close=True))
    told = answer.body.decode()
    return Tries(seen, sum(watching.count(told, "upstream_errors_total", reason=code) for code in UNCONNECTED))


async def try_fault(
    fault: Fault, victim: Victim, load: Load, count: Callable[[], Any], seconds: float, verdict: Verdict
) -> None:
    """Switch, wait, heal, wait; judge what the clients saw."""
    before = await count()
    began = monotonic()
    await asyncio.to_thread(fault.begin, victim)
    await asyncio.sleep(seconds - 2.0)
    late = await count()
    await asyncio.sleep(2.0)
    during = await count()
    await asyncio.to_thread(victim.heal)
    await asyncio.sleep(seconds)
    healed_from = await count()
    await asyncio.sleep(2.0)
    healed = await count() - healed_from
    outcomes = load.since(began)
    calm = ejection.seconds_until_calm(outcomes, seconds)
    first = ejection.share_bad(outcomes, 0.0, 1.0)
    after = ejection.share_bad(outcomes, calm if calm is not None else seconds / 2, seconds)
    figure = (
        f"bad {first:.1%} in the first second, "
        + (f"calm after {calm:.1f} s, then {after:.2%}" if calm is not None else f"never calm, {after:.1%} to the end")
    )  # fmt: skip
    holds = calm is not None and calm <= EJECTED_WITHIN and after <= BAD_AFTER_EJECTION
    verdict.judge(f"{fault.name}: calm within {EJECTED_WITHIN:.0f} s", figure, holds)
    asked = sum(0.0 <= one.at < seconds for one in outcomes)
    whole, last = during - before, during - late
    load_factor = whole.total / asked if asked else 0.0
    told = f"{asked} requests, {whole.total:.0f} tries ({load_factor:.2f} each); the victim saw {last.by_endpoint['victim']} in the last 2 s"
    verdict.judge(f"{fault.name}: tries <= {MOST_LOAD} of requests", told, 0 < load_factor <= MOST_LOAD)
    share = healed.by_endpoint["victim"] / healed.total if healed.total else 0.0
    back = ejection.share_bad(outcomes, 2 * seconds, 2 * seconds + 2.0)
    verdict.judge(
        f"{fault.name}: it comes back", f"{share:.0%} of the requests, bad {back:.2%}", share > 0.15 and not back
    )
    harness.say(f"{fault.name}: {figure}; {told}; back with {share:.0%}")


async def measure(rate: float, seconds: float, options: dict[str, Any], chosen: list[Fault]) -> Verdict:
    """All of it against a gateway process of its own."""
    verdict = Verdict("endpoint faults")
    lifetime = len(chosen) * (2 * seconds + 4) + 120
    with contextlib.ExitStack() as running:
        place = running.enter_context(harness.place(lifetime))
        upstreams = [running.enter_context(scripted.serve(name, place.upstreams)) for name in ENDPOINTS]
        tcp = running.enter_context(FaultyTcp(upstreams[-1].port))
        victim = Victim(upstreams[-1], tcp)
        service = yaml.safe_load_all(manifests.service("three", upstreams[0].port, upstreams[1].port, tcp.port))
        rule = harness.rule("/", [], **TIMEOUTS, **options) | {"backendRefs": [{"name": "three", "port": 80}]}
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
            verdict.judge("healthy: nothing bad", f"{steady:.2%} of {len(load.since(began))}", steady == 0.0)
            for fault in chosen:
                await try_fault(fault, victim, load, lambda: tries(upstreams, gateway.admin_port), seconds, verdict)
                gateway.server.check_alive()
        finally:
            stopping.set()
            await task
        verdict.tell("all requests", load.tally.describe())
    return verdict


def main(
    rate: Annotated[float, typer.Option(min=1, max=2000, help="Requests a second.")] = 200.0,
    seconds: Annotated[
        float, typer.Option(min=4, max=120, help="Each fault lasts so long, and the time after.")
    ] = 10.0,
    with_retry: Annotated[bool, typer.Option("--with-retry", help="Add retry and circuitBreaker to the rule.")] = False,
    rule: Annotated[Path | None, typer.Option(help="YAML merged into the rule.")] = None,
    only: Annotated[str, typer.Option(help="Faults whose names contain this.")] = "",
) -> None:
    """Let one of three endpoints fail in several ways and say what clients see of it."""
    options = yaml.safe_load(rule.read_text()) if rule is not None else WITH_RETRY if with_retry else {}
    if not isinstance(options, dict):
        raise typer.BadParameter(f"{rule} holds no fields of a rule")
    chosen = [fault for fault in FAULTS if only in fault.name]
    if not chosen:
        raise typer.BadParameter(f"no fault is called {only!r}: {', '.join(fault.name for fault in FAULTS)}")
    harness.run(measure(rate, seconds, options, chosen)).close(harness.console)


if __name__ == "__main__":
    typer.run(main)
