"""`soak-keys`: memory after millions of requests from 100,000 distinct clients.

Each client has its own bucket, which holds twice the requests of that client and hardly refills. If X-Forwarded-For
were not trusted, all clients would share one bucket and be rejected within a second. So a soak without a rejection
also proves that the gateway distinguished the clients.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import answer, compare, load, measure, origin, peers, servers, verify
from bench.peers import inferway

SCRIPT = Path(__file__).with_name("soak_keys.lua")
CONNECTIONS = 32
SLICE_SECONDS = 10
LIMIT_MB = 120.0
SLOWEST = 2_000
"""Requests per second below which the soak is aborted."""


@dataclass(frozen=True, slots=True)
class Soaked:
    requests: int
    before: int
    """Resident bytes when ready, before the first request of a client."""
    after: int
    """Resident bytes when the last request was answered."""
    peak: int
    seconds: float


def limits(requests: int, clients: int) -> dict[str, Any]:
    per_client = {"requests": 1, "per": "1s"}
    burst = 2 * (requests // clients) + 1000
    policy = inferway.endless_limits()
    policy["spec"]["limits"][1] |= {"rate": per_client, "burst": burst, "maxKeys": 100_000}
    return policy


def soak(
    requests: int, clients: int, cores: measure.Cores, report: Callable[[int, int], None]
) -> Soaked:  # fmt: skip
    lifetime = requests / SLOWEST + 120
    with contextlib.ExitStack() as running:
        directory = running.enter_context(compare.run_directory())
        source = running.enter_context(origin.serve(servers.Launcher(cores.load, lifetime, directory)))
        resources = [*inferway.routes(source.port, peers.Case.PROXIED), limits(requests, clients)]
        launcher = servers.Launcher(cores.proxy, lifetime, directory)
        trusting = ["--trusted-proxies", "127.0.0.0/8"]
        port, server = running.enter_context(inferway.serve_resources("soak-keys", resources, launcher, trusting))
        proxy = peers.Running("inferway", peers.Case.PROXIED, port, server, required_headers=inferway.JUDGED)
        wire_size = verify.sample(proxy)
        tree = server.tree()
        before, done, began = tree.memory().resident, 0, time.monotonic()
        while done < requests:
            arguments = [str(clients), answer.path(0), str(done)]
            with load.start_wrk(cores.load, SCRIPT, port, CONNECTIONS, SLICE_SECONDS, arguments) as slice_:
                result = slice_.finish()
            verify.check_pass(proxy, result, wire_size)
            if result.per_second < SLOWEST:
                raise servers.BenchError(f"only {result.per_second:.0f} requests a second: the soak would not end")
            done += result.requests
            report(done, tree.memory().resident)
        verify.sample(proxy)
        return Soaked(done, before, tree.memory().resident, tree.memory().peak, time.monotonic() - began)
