"""Tenants of one gateway: the costliest specs of one (`costly_specs`) while another has traffic and changes its routes.

What can be counted without processes is in `test_control_costly_specs`.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic, sleep
from uuid import uuid4

import costly_specs as costly
import pytest
from control_planes import Planes, Pod, direct_response_route, planes
from control_traffic import steady_traffic
from costly_specs import Manifest

from inferway_envtest import ApiServer
from inferway_testing.client import ask
from inferway_testing.until import until

pytestmark = pytest.mark.timeout(120)

LONGEST = 1.0
"""Seconds of one answer to another tenant, on a machine that runs both planes and an API server at once. A loop that is held
up by a tenant's spec answers after one to ten seconds."""
WITHIN = 5.0
"""Seconds from another tenant's write until its change is served: usually 0.3; `WORK` is the exact bound."""
WORK = 0.4
"""Seconds of CPU time of both planes for each written object. The costliest needs 0.2, an unbounded one up to 60."""
GROWTH = 4
"""Bytes of the ConfigMaps for each byte written."""


@dataclass
class Shared:
    """A gateway with two tenants: that of `planes`, and a hostile one."""

    planes: Planes
    pod: Pod
    hostile: str
    probes: int
    """Port of the operator's probes."""
    changes: int = field(default=0)

    def change(self) -> float:
        """Change the own tenant's route; return the seconds until the pod serves it."""
        self.changes += 1
        body = f"change {self.changes}"
        began = monotonic()
        self.planes.apply(direct_response_route("own", body))
        until(lambda: self.pod.serves("/", body.encode()), lambda: f"{body}: {self.planes.operator_logs()}")
        return monotonic() - began

    def memory(self) -> tuple[int, int]:
        """Return the bytes of the operator and of the pod."""
        return self.planes.operators[0].resident(), self.pod.process.resident()

    def cpu_seconds(self) -> float:
        """Return the CPU time of the operator and of the pod together."""
        return self.planes.operators[0].cpu_seconds() + self.pod.process.cpu_seconds()

    def live_bytes(self) -> int:
        """Return the bytes of both indexes, and of the shards that they name."""
        maps = self.planes.documents()
        total = 0
        for name in ("inferway-config", "inferway-endpoints"):
            index = maps[name]["index"]
            refs = json.loads(index).get("shards", [])
            total += len(index) + sum(len(maps[ref["name"]]["shard"]) for ref in refs)
        return total

    def accepted(self, manifest: Manifest) -> Manifest:
        """Wait for the condition Accepted of an object of the hostile tenant."""

        def condition() -> Manifest:
            return self.planes.condition(manifest["kind"], manifest["metadata"]["name"], "Accepted", self.hostile)

        return until(condition, lambda: f"{manifest['metadata']['name']} is judged: {self.planes.operator_logs()}", 60)

    def clear(self) -> None:
        """Delete what the hostile tenant has, and wait until it is out of the config."""
        for kind in ("RateLimitPolicy", "GatewayRoute"):
            self.planes.api.ask("DELETE", self.planes.path(kind, "", self.hostile))
        until(
            lambda: f'"{self.hostile}/' not in str(self.planes.documents()["inferway-config"]),
            "the index is small again",
        )


@pytest.fixture(scope="module")
def shared(api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """Start an operator and a pod once for this module."""
    namespace = f"test-{uuid4().hex[:12]}"
    hostile = f"{namespace}-hostile"
    for name in (namespace, hostile):
        api_server.ask(
            "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        )
    with planes(api_server, namespace, tmp_path_factory.mktemp("tenants")) as running:
        running.apply(direct_response_route("own", "begin"))
        port = free_port()
        running.operator(also=[hostile], listen=f"127.0.0.1:{port}")
        pod = running.pod("gateway-0")
        running.programmed("own")
        made = Shared(running, pod, hostile, port)
        for _ in range(3):
            made.change()
        yield made
    for name in (namespace, hostile):
        api_server.ask("DELETE", f"/api/v1/namespaces/{name}")


def free_port() -> int:
    """Return a port of this machine that is free now: the operator's log does not name the one that it takes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def steady_probes(port: int) -> Iterator[list[float]]:
    """Ask `/healthz` and `/metrics` of the operator until the block ends; yields the seconds of the answers."""
    seconds: list[float] = []
    stopping = threading.Event()

    def run() -> None:
        while not stopping.is_set():
            for path in ("/healthz", "/metrics"):
                began = monotonic()
                status, _ = ask(port, path, {}, timeout=30)
                seconds.append(monotonic() - began if status == 200 else 1e9)
            sleep(0.05)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield seconds
    finally:
        stopping.set()
        thread.join(60)


WORST: dict[str, Callable[[], list[Manifest]]] = {
    "costly patterns": lambda: [costly.header_patterns(costly.PATTERNS[0], 1024)],
    "refused patterns": lambda: [costly.path_patterns(costly.PATTERNS[4], costly.MOST_MATCHES)],
    "patterns in many routes": lambda: [
        {**costly.header_patterns(r"\pL+|", 64, f"{number}-"), "metadata": {"name": f"evil-{number}"}}
        for number in range(20)
    ],
    "many cheap patterns": lambda: [costly.fitted(lambda n: costly.header_patterns("", n), costly.MOST_CONDITIONS)],
    "hostnames times matches": lambda: [
        {**costly.products(costly.MOST_MATCHES, f"{number}-"), "metadata": {"name": f"evil-{number}"}}
        for number in range(2)
    ],
    "policies times rules": lambda: costly.of_policies(30, 3),
    "backends": lambda: [costly.fitted(costly.backends, costly.RULES * costly.BACKENDS)],
}


@pytest.mark.parametrize("name", WORST)
def test_costliest_specs_delay_no_other_tenant(shared: Shared, name: str) -> None:
    written = WORST[name]()
    memory, size, began = shared.memory(), shared.live_bytes(), shared.cpu_seconds()
    with steady_traffic([shared.pod.port]) as traffic, steady_probes(shared.probes) as probes:
        shared.planes.apply(*written, namespace=shared.hostile)
        changes = [shared.change() for _ in range(4)]
        reasons = {shared.accepted(one)["reason"] for one in (written[0], written[-1])}
        changes.append(shared.change())
    work = shared.cpu_seconds() - began
    grown = shared.live_bytes() - size
    after = shared.memory()
    shared.clear()
    print(
        f"{name}: {reasons}, {traffic.longest=:.3f}, probes {max(probes):.3f}, {changes=}, {work=:.2f}, {grown=}, {memory=}, {after=}"
    )
    assert traffic.failures == []
    assert traffic.longest <= LONGEST
    assert max(probes) <= LONGEST
    assert max(changes) <= WITHIN
    assert work <= WORK * (len(written) + len(changes)) + 1
    assert grown <= GROWTH * sum(map(costly.compact, written))
    assert all(now < 2 * before for now, before in zip(after, memory, strict=True))
