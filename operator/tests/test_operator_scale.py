"""2,000 routes and 500 policies: how long one change takes, and what the operator needs for it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, sleep

import pytest
from operator_process import SERVICE, Gateway, Running, gateway

from inferway_envtest import ApiServer
from inferway_fakes.waiting import wait_until

ROUTES, POLICIES, CHANGES = 2_000, 500, 10
ROUTE = """
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {name: route-%(number)d}
spec:
  hostnames: [h%(number)d.example.com]
  rules:
  - matches: [{path: {value: /%(path)s}}]
    backendRefs: [{name: web, port: 80}]
  - {matches: [{path: {value: /b}}], backendRefs: [{name: web, port: 80}], timeouts: {request: 5s}}
  - {matches: [{path: {value: /c}}], backendRefs: [{name: web, port: 80}], cache: {ttl: 60s}}
"""
POLICY = """
apiVersion: inferway.dev/v1alpha1
kind: RateLimitPolicy
metadata: {name: policy-%(number)d}
spec:
  targetRefs: [{kind: GatewayRoute, name: route-%(number)d}]
  limits: [{name: all, rate: {requests: 10, per: 1s}, burst: 10, scope: Pod}]
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.case("K3")
def test_operator_publishes_one_change_among_many(api_server: ApiServer) -> None:
    with gateway(api_server) as made:
        made.apply(SERVICE)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: made.apply(ROUTE % {"number": number, "path": "a"}), range(ROUTES)))
            list(pool.map(lambda number: made.apply(POLICY % {"number": number}), range(POLICIES)))
        began = monotonic()
        running = made.start()
        wait_until(lambda: made.index() and len(made.routes()) == ROUTES, "a first config", 120)
        first = monotonic() - began
        rest(made)
        told = monotonic() - began
        mark = made.api.mark()
        sleep(10)  # nothing happens, and nothing is written
        assert made.writes(mark) == []
        seconds = [change(made, number * 97 % ROUTES, number) for number in range(CHANGES)]
        rest(made)
        sizes = [len(str(item["data"].get("shard", ""))) for item in made.maps().values()]
        print(
            f"first config {first:.1f} s, all statuses {told:.1f} s; one change {min(seconds):.2f}-{max(seconds):.2f} s;"
            f" {resident(running) / 1e6:.0f} MB; largest of {len(sizes)} ConfigMaps {max(sizes)} bytes"
        )
        assert max(seconds) <= 2.0
        assert resident(running) <= 400 << 20
        assert max(sizes) < 1 << 20


def change(made: Gateway, number: int, serial: int) -> float:
    """Change a route; seconds until it is published."""
    before = made.index()
    began = monotonic()
    made.apply(ROUTE % {"number": number, "path": f"changed-{serial}"})
    wait_until(lambda: made.index() != before, "it is published")
    took = monotonic() - began
    made.wait_for(f"route-{number}", "Programmed", "False", "NoDataPlane")
    return took


def rest(made: Gateway) -> None:
    """Wait until the operator has written nothing for three seconds."""

    def rests() -> bool:
        start = made.api.mark()
        sleep(3)
        return not made.writes(start)

    wait_until(rests, "the operator comes to rest", 300)


def resident(running: Running) -> int:
    """Bytes of memory."""
    text = Path(f"/proc/{running.process.pid}/status").read_text()
    return next(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("VmRSS:"))
