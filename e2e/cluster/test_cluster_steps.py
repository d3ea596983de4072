"""A cluster that `make cluster` has made: what its users do first. Run by `make e2e`; not part of `make test`."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

KUBECTL = [str(Path(sys.executable).with_name("kubectl")), "--context", "kind-inferway"]
PORT = 8080
"""Of this machine: manifests/kind/cluster.yaml leads it to the gateway."""
GATEWAY_PODS = 2
WITHIN = 2.0
"""Seconds from a change to all pods and the status."""

pytestmark = pytest.mark.timeout(300)


def kubectl(*arguments: str, given: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run kubectl in that cluster."""
    done = subprocess.run([*KUBECTL, *arguments], input=given, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0 or not check, done.stderr
    return done


def until(condition: Any, what: str, within: float = 60.0) -> Any:
    """Wait until `condition()` is true; returns what it returned."""
    deadline = monotonic() + within
    while not (found := condition()):
        assert monotonic() < deadline, f"not within {within} s: {what}"
        sleep(0.05)
    return found


def ask(path: str, host: str = "") -> tuple[int, dict[str, str], bytes]:
    """One request from outside the cluster."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
    try:
        connection.request("GET", path, headers={"host": host} if host else {})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def says(body: str) -> str:
    """A route that answers by itself."""
    return f"""
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {{name: e2e, namespace: inferway-demo}}
spec:
  hostnames: [e2e.example]
  rules:
  - filters:
    - type: DirectResponse
      directResponse: {{statusCode: 200, contentType: text/plain, body: "{body}"}}
"""


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """It is there, or these tests have nothing to look at."""
    if kubectl("version", check=False).returncode:
        pytest.skip("there is no cluster kind-inferway: make cluster")


@pytest.fixture
def route():
    """A route of the test's own, gone afterwards."""
    kubectl("apply", "-f", "-", given=says("begin"))
    yield
    kubectl("delete", "gatewayroute", "e2e", "-n", "inferway-demo", "--ignore-not-found")


def test_everything_is_ready():
    for namespace in ("inferway-operator", "inferway-system", "inferway-demo"):
        kubectl("wait", "-n", namespace, "--for=condition=Available", "--timeout=120s", "deployment", "--all")


def test_resources_say_that_every_pod_serves_them():
    def all_programmed() -> bool:
        found = json.loads(kubectl("get", "gwr,rlp", "-A", "-o", "json").stdout)["items"]
        return bool(found) and all(
            {one["type"]: one["status"] for one in item.get("status", {}).get("conditions", ())}.get("Programmed")
            == "True"
            and item["status"]["dataPlane"]["total"] == GATEWAY_PODS
            for item in found
        )

    until(all_programmed, f"every resource is programmed by {GATEWAY_PODS} pods")
    assert f"{GATEWAY_PODS}/{GATEWAY_PODS}" in kubectl("get", "gwr,rlp", "-A").stdout


def test_requests_are_served_cached_and_limited():
    status, headers, _ = ask("/infer?prompt=hello")
    assert (status, headers["x-cache"]) in ((200, "MISS"), (200, "HIT"))
    until(lambda: ask("/infer?prompt=hello")[1].get("x-cache") == "HIT", "a hit")
    burst = [ask(f"/infer?prompt=burst-{number}")[0] for number in range(150)]
    assert 429 in burst
    until(lambda: ask("/infer?prompt=hello")[0] == 200, "the bucket to fill again")


def test_changes_reach_all_pods(route):
    took = []
    for number in range(50):
        body = f"change {number}"
        began = monotonic()
        kubectl("apply", "-f", "-", given=says(body))
        applied = monotonic()
        until(lambda body=body: {ask("/", "e2e.example")[2] for _ in range(8)} == {body.encode()}, body, 10.0)

        def is_programmed() -> bool:
            found = json.loads(kubectl("get", "gwr", "e2e", "-n", "inferway-demo", "-o", "json").stdout)
            conditions = {one["type"]: one for one in found["status"]["conditions"]}
            programmed = conditions["Programmed"]
            return (
                programmed["status"] == "True" and programmed["observedGeneration"] == found["metadata"]["generation"]
            )

        until(is_programmed, f"{body} is programmed", 10.0)
        took.append(monotonic() - applied)
        assert monotonic() - began < 20
    took.sort()
    print(f"from the write to every pod and the status: median {took[25]:.2f} s, longest {took[-1]:.2f} s")
    assert took[-1] <= WITHIN


def test_what_is_wrong_is_refused_in_words():
    wrong = says("x").replace("statusCode: 200", "statusCode: 99")
    refused = kubectl("apply", "-f", "-", given=wrong, check=False)
    assert refused.returncode != 0
    assert "statusCode" in refused.stderr
