"""All measurements of a run, in interleaved rounds.

Each proxy is measured once before any is measured again, and each round begins with another proxy. So a drift of the
machine affects all proxies.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import answer, load, measure, origin, peers, ratios, servers

PER_MEASUREMENT = measure.CHECK_SECONDS + 1.0
"""Seconds a measurement takes besides its own: the checking pass, starting wrk twice, waiting for quiet."""


@dataclass(frozen=True, slots=True)
class Plan:
    proxies: tuple[peers.Peer, ...]
    cases: tuple[peers.Case, ...]
    connections: tuple[int, ...]
    rounds: int
    seconds: int
    cores: measure.Cores

    def one_round(self) -> list[ratios.Key]:
        """Return the keys that one round measures."""
        return [
            ratios.Key(case, connections, peer.name)
            for case in self.cases
            for connections in self.connections
            for peer in self.proxies
            if case in peer.cases
        ]

    def expected_seconds(self) -> float:
        return len(self.one_round()) * self.rounds * (self.seconds + PER_MEASUREMENT)


def order(keys: Sequence[ratios.Key], number: int) -> list[ratios.Key]:
    """Return the keys of round `number`; each round starts each group with another proxy."""
    groups: dict[tuple[peers.Case, int], list[ratios.Key]] = {}
    for key in keys:
        groups.setdefault((key.case, key.connections), []).append(key)
    return [
        key
        for group in groups.values()
        for key in group[number % len(group) :] + group[: number % len(group)]
    ]  # fmt: skip


@contextlib.contextmanager
def run_directory() -> Iterator[Path]:
    """Create a directory, in memory if possible, because nginx's cache is in it."""
    memory = Path("/dev/shm")  # noqa: S108  (a directory of our own is made in it)
    created = Path(tempfile.mkdtemp(prefix="inferway-bench-", dir=memory if memory.is_dir() else None))
    try:
        yield created
    finally:
        shutil.rmtree(created, ignore_errors=True)


def run(plan: Plan, tell: Callable[[int, ratios.Key, measure.Measurement], None]) -> ratios.Measurements:
    measurements: dict[ratios.Key, list[measure.Measurement]] = {key: [] for key in plan.one_round()}
    lifetime = 2 * plan.expected_seconds() + 120
    with contextlib.ExitStack() as running:
        directory = running.enter_context(run_directory())
        source = running.enter_context(origin.serve(servers.Launcher(plan.cores.load, lifetime, directory)))
        generators = {
            case: load.Generator.prepare(
                plan.cores.load, directory / f"load-{case}", [answer.path(number) for number in range(urls)]
            )
            for case, urls in ((peers.Case.PROXIED, answer.PROXIED_URLS), (peers.Case.HIT, answer.CACHED_URLS))
        }
        launcher = servers.Launcher(plan.cores.proxy, lifetime, directory)
        proxies = {
            (peer.name, case): running.enter_context(peer.serve(case, source.port, launcher))
            for peer in plan.proxies
            for case in plan.cases
            if case in peer.cases
        }
        for number in range(plan.rounds):
            for key in order(plan.one_round(), number):
                measured = measure.measure(
                    proxies[key.peer, key.case],
                    source,
                    generators[key.case],
                    plan.cores,
                    key.connections,
                    plan.seconds,
                )
                measurements[key].append(measured)
                tell(number, key, measured)
    return measurements
