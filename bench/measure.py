"""One measurement: one proxy, one case, one number of connections, a few seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench import load, origin, peers, procfs, servers, verify

EDGE = 0.3
"""Seconds excluded at both ends of the core measurement: wrk first reads its script and connects, later it counts."""
CHECK_SECONDS = 1
QUIET_ATTEMPTS = 300


@dataclass(frozen=True, slots=True)
class Cores:
    load: int
    proxy: int


@dataclass(frozen=True, slots=True)
class Measurement:
    per_second: float
    cpu_us: float
    """CPU time of all the proxy's threads, per request."""
    p50_us: int
    p99_us: int
    max_rss: int
    proxy_busy: float
    load_busy: float
    stolen: float
    """Percent of the proxy core's time that the hypervisor gave to other machines."""
    foreign: float
    """Percent of the proxy core's time spent on other processes: busy time without the proxy's."""


def measure(
    running: peers.Running,
    source: origin.Origin,
    generator: load.Generator,
    cores: Cores,
    connections: int,
    seconds: int,
) -> Measurement:
    wire_size = verify.sample(running)
    # Also the warm-up. Answers are compared; requests still in flight at its end must be over before counting starts.
    with generator.start(running.port, connections, CHECK_SECONDS, load.Mode.CHECK) as checking:
        verify.check_pass(running, checking.finish(), wire_size)
    _wait_until_quiet(source)

    tree = running.server.tree()
    tree.reset_peak()
    judged_before = running.limits_judged() if running.limits_judged else 0
    seen_before = source.requests_seen()
    cpu_before = tree.cpu_seconds()
    with generator.start(running.port, connections, seconds, load.Mode.MEASURE) as measuring:
        time.sleep(EDGE)
        busy_before, tree_before, began = procfs.read_cores(), tree.cpu_seconds(), time.monotonic()
        time.sleep(seconds - 2 * EDGE)
        busy_after, tree_spent, ended = procfs.read_cores(), tree.cpu_seconds_since(tree_before), time.monotonic()
        result = measuring.finish()
    cpu_seconds = tree.cpu_seconds_since(cpu_before)
    seen_after = _wait_until_quiet(source)

    verify.check_pass(running, result, wire_size)
    verify.check_origin(running, seen_after - seen_before - 1, result, connections)
    if running.limits_judged:
        verify.check_limits(running, running.limits_judged() - judged_before, result)
    verify.sample(running)

    proxy = busy_before[cores.proxy], busy_after[cores.proxy]
    proxy_busy = procfs.busy_percent(*proxy)
    return Measurement(
        per_second=result.per_second,
        cpu_us=cpu_seconds / result.requests * 1e6,
        p50_us=result.p50_us,
        p99_us=result.p99_us,
        max_rss=tree.memory().peak,
        proxy_busy=proxy_busy,
        load_busy=procfs.busy_percent(busy_before[cores.load], busy_after[cores.load]),
        stolen=procfs.stolen_percent(*proxy),
        foreign=max(0.0, proxy_busy - 100.0 * tree_spent / (ended - began)),
    )


def _wait_until_quiet(source: origin.Origin) -> int:
    """Wait until the origin receives no more requests: a slow proxy still forwards those in flight when wrk ended.

    Returns the origin's count without the queries made here after the first.
    """
    seen = source.requests_seen()
    for queries in range(1, QUIET_ATTEMPTS):
        time.sleep(0.1)
        now = source.requests_seen()
        if now - seen == 1:
            return now - queries
        seen = now
    raise servers.BenchError("the origin still receives requests long after wrk has ended")
