"""Upgrade and downgrade with traffic: both planes in either order, pods of both versions starting in between."""

from __future__ import annotations

import json
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from control_planes import Planes, Pod, direct_response_route, limits, planes
from control_traffic import Traffic, steady_traffic
from older_version import older_version

from inferway_contract.canonical import REVISION_DIGITS, digest
from inferway_operator.publish.format_choice import HOLD
from inferway_testing.until import until


@dataclass
class Fleet:
    """The pods of a gateway, each with a client that asks it from its start to its end."""

    running: Planes
    directory: Path
    pods: dict[str, tuple[Pod, ExitStack]] = field(default_factory=dict)
    traffic: list[Traffic] = field(default_factory=list)

    def version(self, *, older: bool) -> Any:
        return older_version(self.directory) if older else nullcontext()

    def operator(self, *, older: bool) -> None:
        """Replace the operator."""
        for process in self.running.operators:
            if process.is_running:
                process.stop()
        with self.version(older=older):
            self.running.operator()

    def start(self, name: str, *, older: bool) -> Pod:
        """Start a pod and its client; returns when the pod is ready."""
        with self.version(older=older):
            pod = self.running.pod(name)
        stack = ExitStack()
        self.traffic.append(stack.enter_context(steady_traffic([pod.port])))
        self.pods[name] = (pod, stack)
        return pod

    def stop(self, name: str) -> None:
        """Take a pod out of service, as a rollout does."""
        pod, stack = self.pods.pop(name)
        stack.close()
        pod.process.stop()
        self.running.api.ask("DELETE", f"/api/v1/namespaces/{self.running.namespace}/pods/{name}?gracePeriodSeconds=0")

    def change(self, body: str) -> None:
        """Apply a change, and wait until every pod serves it."""
        self.running.apply(direct_response_route("first", body))
        for pod, _ in self.pods.values():
            until(
                lambda pod=pod: pod.serves("/", body.encode()),
                lambda pod=pod: f"{pod.name} serves {body}: {self.logs()}",
            )
        condition = self.running.programmed("first")
        assert condition["message"].startswith(f"{len(self.pods)}/{len(self.pods)}"), condition

    def format(self) -> int:
        """Return the format of the published config."""
        return int(json.loads(self.running.documents()["inferway-config"]["index"]).get("format", 1))

    def revision(self) -> str:
        """Return the revision of the published config."""
        return digest(self.running.documents()["inferway-config"]["index"].encode())[:REVISION_DIGITS]

    def logs(self) -> str:
        return "\n".join([self.running.operator_logs(), *(pod.process.tail() for pod, _ in self.pods.values())])

    def close(self) -> None:
        for _, stack in self.pods.values():
            stack.close()


@pytest.fixture
def fleet(api_server, namespace, tmp_path):
    with planes(api_server, namespace, tmp_path) as running:
        fleet = Fleet(running, tmp_path)
        try:
            yield fleet
        finally:
            fleet.close()


def failures(fleet: Fleet) -> list[str]:
    assert all(traffic.requests for traffic in fleet.traffic)
    return [failure for traffic in fleet.traffic for failure in traffic.failures]


def resources(fleet: Fleet) -> list[Any]:
    return [fleet.running.get("GatewayRoute", "first")["status"], fleet.running.get("RateLimitPolicy", "all")["status"]]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", ["operator", "data plane"])
def test_planes_upgrade_and_downgrade_in_either_order(fleet: Fleet, first: str) -> None:
    running = fleet.running
    running.apply(direct_response_route("first", "older"), limits("all"), limits("second", "first"))
    fleet.operator(older=True)
    fleet.start("older-0", older=True)
    fleet.change("before")
    assert fleet.format() == 1

    if first == "operator":
        fleet.operator(older=False)
        fleet.change("newer operator")
    fleet.start("newer-0", older=False)
    fleet.start("older-1", older=True)  # by the autoscaler, or for a drained node
    fleet.change("both versions")
    assert fleet.format() == 1
    fleet.stop("older-0")
    fleet.stop("older-1")
    if first == "data plane":
        fleet.change("newer pods")
        fleet.operator(older=False)
    fleet.change("upgraded")
    before = resources(fleet)
    until(lambda: fleet.format() == 2, lambda: f"the newer format is published: {fleet.logs()}", HOLD + 10)
    until(lambda: running.pods[1].config()["revision"] == fleet.revision(), "it is served")
    assert resources(fleet) == before  # the objects are what they were
    fleet.change("in format 2")

    # And back, in the other order.
    if first == "data plane":
        fleet.operator(older=True)
        fleet.change("older operator")
        assert fleet.format() == 1
    began = monotonic()
    fleet.start("older-2", older=True)
    print(f"a pod of the older version is ready after {monotonic() - began:.1f} s")
    assert fleet.format() == 1
    fleet.start("newer-1", older=False)
    fleet.change("both versions again")
    fleet.stop("newer-0")
    fleet.stop("newer-1")
    if first == "operator":
        fleet.operator(older=True)
    fleet.change("downgraded")
    assert fleet.format() == 1
    assert failures(fleet) == []
