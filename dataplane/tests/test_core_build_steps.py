"""Building a runtime of a tenant's worst documents: no step takes long, and memory follows what was written."""

import asyncio
import gc
import tracemalloc
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import count
from time import thread_time
from typing import Any, TypeVar

import pytest
from routing_oracle import make_request

from inferway_contract.document import (
    ConfigDocument,
    DirectResponse,
    EndpointsDocument,
    KeyPart,
    Limit,
    Match,
    PathMatch,
    Policy,
    Route,
    Rule,
    ValueMatch,
)
from inferway_dataplane.core import runtime
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.runtime import Runtime
from inferway_dataplane.core.steps import Steps, completed
from inferway_dataplane.gateway import Gateway
from inferway_dataplane.observability.access_log import AccessLog
from inferway_dataplane.observability.stats import Stats
from inferway_dataplane.settings import Settings

T = TypeVar("T")
LONGEST = 0.050
"""Seconds of CPU time of a step: ten times the expected ones."""
ANSWER = DirectResponse(status=200, content_type="text/plain")


def many_patterns(pattern: str) -> ConfigDocument:
    """16,384 patterns, as many as a route may have."""
    numbers = count()

    def match() -> Match:
        headers = (
            ValueMatch(name=f"h{name}", type="RegularExpression", value=pattern.replace("N", str(next(numbers))))
            for name in range(16)
        )
        return Match(path=PathMatch(value="/e"), headers=tuple(headers))

    return routes([match() for _ in range(1024)])


def routes(matches: list[Match], hostnames: tuple[str, ...] = ("evil.example",)) -> ConfigDocument:
    """One route, 64 matches a rule."""
    rules = tuple(
        Rule(name=str(start), matches=tuple(matches[start : start + 64]), respond=ANSWER)
        for start in range(0, len(matches), 64)
    )
    return ConfigDocument(routes=(Route(id="evil/e", hostnames=hostnames, rules=rules),))


def deep_paths() -> ConfigDocument:
    return routes([Match(path=PathMatch(value=f"/{number}" + "/a" * 500)) for number in range(1024)])


def roots_and_prefixes() -> ConfigDocument:
    header = (ValueMatch(name="x", value="1"),)
    roots = [Match(headers=header) for _ in range(3000)]
    return routes([*roots, *(Match(path=PathMatch(value=f"/{number}")) for number in range(3000))])


def hostnames_and_matches() -> ConfigDocument:
    hostnames = tuple(f"h{number}.example" for number in range(3000))
    return routes([Match(path=PathMatch(value=f"/{number}")) for number in range(1024)], hostnames)


def policies_and_rules() -> ConfigDocument:
    key = (KeyPart(type="rule"), KeyPart(type="header", name="x"))
    limits = tuple(Limit(name=f"l{number}", requests=1, per=1000, burst=1, key=key) for number in range(8))
    policies = tuple(Policy(id=f"evil/p{number}", limits=limits) for number in range(300))
    rules = tuple(Rule(name=str(number), respond=ANSWER) for number in range(1000))
    return ConfigDocument(routes=(Route(id="evil/e", rules=rules),), policies=policies)


def one_host() -> ConfigDocument:
    return ConfigDocument(
        routes=tuple(
            Route(
                id=f"n/r{number}",
                rules=(Rule(name="r", matches=(Match(path=PathMatch(value=f"/{number}")),), respond=ANSWER),),
            )
            for number in range(4000)
        )
    )


def many_rules(version: int, number_of_routes: int) -> ConfigDocument:
    """A namespace may have 50,000."""

    def rule(route: int, number: int) -> Rule:
        return Rule(
            name=f"r{number}", matches=(Match(path=PathMatch(value=f"/{version}/{route}/{number}")),), respond=ANSWER
        )

    return ConfigDocument(
        routes=tuple(
            Route(
                id=f"evil/r{route}",
                hostnames=("evil.example",),
                rules=tuple(rule(route, number) for number in range(64)),
            )
            for route in range(number_of_routes)
        )
    )


WORST: dict[str, tuple[Callable[[], ConfigDocument], int]] = {  # with the MiB that the runtime may take
    "patterns that RE2 refuses": (lambda: many_patterns(r"\pL{55}|N"), 25),
    "patterns of Unicode classes": (lambda: many_patterns(r"\pL+N"), 25),
    "patterns with cheap programs": (lambda: many_patterns(r"[\pL\PL]*|N"), 25),
    "short patterns": (lambda: many_patterns("N"), 25),
    "deep paths": (deep_paths, 10),
    "prefixes below many others": (roots_and_prefixes, 15),
    "hostnames x matches": (hostnames_and_matches, 10),
    "policies x rules": (policies_and_rules, 15),
    "routes on one host": (one_host, 30),
}


def steps(config: ConfigDocument, older: Runtime | None = None) -> Iterator[float | Runtime]:
    """Yield the seconds of each step, and at last the runtime."""
    building = runtime.building(
        config, EndpointsDocument(), endpoint_of=_no_endpoint, stats_of=Stats().of, older=older, now=0.0
    )
    yield (yield from seconds_of(building))


def seconds_of(steps: Steps[T]) -> Generator[float, None, T]:
    """Yield the seconds of CPU time of each step; returns the result."""
    while True:
        started = thread_time()
        try:
            next(steps)
        except StopIteration as end:
            yield thread_time() - started
            result: T = end.value
            return result
        yield thread_time() - started


def _no_endpoint(host: str, port: int, *, tls: bool, is_name: bool) -> Any:
    raise AssertionError("there are no backends")


@contextmanager
def no_collections() -> Iterator[None]:
    """Garbage collections take as long as the tests of this process have objects."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize(("make", "mebibytes"), WORST.values(), ids=WORST)
def test_no_step_of_a_build_takes_long(make: Callable[[], ConfigDocument], mebibytes: int) -> None:
    config = make()
    with no_collections():
        *seconds, built = steps(config)
        *again, _ = steps(config, built)  # type: ignore[arg-type]  # the last one is the runtime
    assert max(seconds) < LONGEST  # type: ignore[type-var]
    assert max(again) < LONGEST  # type: ignore[type-var]
    assert sum(seconds) < 5  # type: ignore[arg-type]


@pytest.mark.parametrize(("make", "mebibytes"), WORST.values(), ids=WORST)
def test_memory_of_a_runtime_follows_what_was_written(make: Callable[[], ConfigDocument], mebibytes: int) -> None:
    config = make()
    tracemalloc.start()
    try:
        *_, built = steps(config)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(built, Runtime)
    assert taken < mebibytes << 20
    built.table.select(make_request(b"/e", b"evil.example"))


def test_no_step_of_a_swap_takes_long() -> None:
    """The older runtime goes: nothing of it is in the newer one."""
    configs = [many_rules(1, 780), many_rules(2, 780)]  # a source keeps the documents
    with no_collections():
        gateway = Gateway(Settings(), AccessLog(0, enabled=False))
        seconds = [
            list(seconds_of(gateway.live.accepting(config, EndpointsDocument(), "revision"))) for config in configs
        ]
    assert [round(max(each), 3) for each in seconds if max(each) > LONGEST] == []
    assert gateway.context.runtime is not None
    assert len(gateway.context.runtime.rules) == 780 * 64


def test_released_runtime_leaves_what_the_newer_one_has() -> None:
    config = many_rules(1, 20)
    changed = config.model_copy(update={"routes": config.routes[1:]})
    gateway = Gateway(Settings(), AccessLog(0, enabled=False))
    for each in (config, changed):
        completed(gateway.live.accepting(each, EndpointsDocument()))
    live = gateway.context.runtime
    assert live is not None
    entry = live.table.select(make_request(b"/1/7/9", b"evil.example"))
    assert not isinstance(entry, Problem)
    assert (entry.rule.route, entry.rule.name) == ("evil/r7", "r9")
    assert len(live.counters_of) == len(live.rules) == 19 * 64


def test_cancelled_build_leaves_the_live_runtime() -> None:
    """The process stops, or its source ends."""
    gateway = Gateway(Settings(), AccessLog(0, enabled=False))

    async def main() -> None:
        await gateway.live.accept(many_rules(1, 2), EndpointsDocument(), "first")
        live = gateway.context.runtime
        task = asyncio.create_task(gateway.live.accept(many_rules(2, 100), EndpointsDocument(), "second"))
        await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert gateway.context.runtime is live
        assert gateway.live.revision == "first"
        await gateway.live.accept(many_rules(3, 2), EndpointsDocument(), "third")

    asyncio.run(main())
    assert gateway.context.runtime is not None
    assert not isinstance(gateway.context.runtime.table.select(make_request(b"/3/1/1", b"evil.example")), Problem)
    assert len(gateway.stats.rules) == 2 * 64 + 1
