"""The cluster of `make cluster` as for its users: kubectl, and requests from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import urllib3

from inferway_testing.until import until

ROOT: Final = Path(__file__).parents[2]
KUBECTL: Final = str(Path(sys.executable).with_name("kubectl"))
CONTEXT: Final = os.environ.get("E2E_CONTEXT", "kind-inferway")
PORT: Final = int(os.environ.get("E2E_PORT", "8080"))
"""Local port that manifests/kind/cluster.yaml forwards to the gateway."""

OPERATOR: Final = "inferway-operator"
GATEWAY: Final = "inferway-system"
DEMO: Final = "inferway-demo"
"""Namespaces."""

JSON = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """An answer of the gateway; names of headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Cluster:
    """One kind cluster."""

    context: str = CONTEXT
    port: int = PORT

    def kubectl(self, *arguments: str, given: str = "", timeout: float = 150) -> str:
        """Run kubectl and return its output; on failure, fail the test with its error output."""
        done = self.attempt(*arguments, given=given, timeout=timeout)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def attempt(self, *arguments: str, given: str = "", timeout: float = 150) -> subprocess.CompletedProcess[str]:
        """Run kubectl, which may fail."""
        command = [KUBECTL, "--context", self.context, *arguments]
        return subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT
        )

    def get(self, *arguments: str) -> JSON:
        """Run `kubectl get` for one object or several."""
        parsed: JSON = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return parsed

    def items(self, *arguments: str) -> list[JSON]:
        """Run `kubectl get` for several objects."""
        objects: list[JSON] = self.get(*arguments)["items"]
        return objects

    def apply(self, text: str) -> None:
        """Run `kubectl apply` with YAML."""
        self.kubectl("apply", "-f", "-", given=text)

    def install(self, overlay: str) -> None:
        """Run `kubectl apply -k` until the definitions are known."""
        self.kubectl("apply", "-k", overlay)
        self.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "gatewayroutes.inferway.dev", "ratelimitpolicies.inferway.dev")  # fmt: skip

    def await_rollout(self, namespace: str, *deployments: str, within: int = 180) -> None:
        """Wait until all Deployments of a namespace, or those named, are rolled out."""
        names = [f"deployment/{name}" for name in deployments]
        for name in names or self.kubectl("-n", namespace, "get", "deployments", "-o", "name").split():
            self.kubectl("-n", namespace, "rollout", "status", name, f"--timeout={within}s", timeout=within + 10)

    def pods(self, namespace: str, app: str) -> list[JSON]:
        """Return the pods of one app that are not terminating."""
        objects = self.items("pods", "-n", namespace, "-l", f"app.kubernetes.io/name={app}")
        return [pod for pod in objects if "deletionTimestamp" not in pod["metadata"]]

    def gateway_pods(self) -> list[str]:
        """Return the names of the data plane's ready pods."""
        return [pod["metadata"]["name"] for pod in self.pods(GATEWAY, "inferway-gateway") if is_ready(pod)]

    def kill(self, namespace: str, pod: str) -> None:
        """Send SIGKILL to a container's first process, from the node: from within it would be ignored."""
        status = self.get("pod", pod, "-n", namespace)
        container = status["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
        command = ["docker", "exec", status["spec"]["nodeName"], "ctr", "--namespace", "k8s.io"]
        subprocess.run([*command, "task", "kill", "--signal", "SIGKILL", container], check=True, timeout=30)

    def kill_and_await(self, namespace: str, pod: str, within: float = 60) -> None:
        """Kill the container, and wait until it has restarted and receives traffic."""
        before = self.restarts(namespace, pod)
        self.kill(namespace, pod)
        until(
            lambda: self.restarts(namespace, pod) > before and is_ready(self.get("pod", pod, "-n", namespace)),
            f"{pod} is back",
            within,
        )

    def restarts(self, namespace: str, pod: str) -> int:
        """Return the restarts of a pod's only container."""
        return int(self.get("pod", pod, "-n", namespace)["status"]["containerStatuses"][0]["restartCount"])

    def logs(self, namespace: str, target: str, *arguments: str) -> str:
        """Return the log of a pod (`pod/NAME`) or of a Deployment's first pod (`deployment/NAME`)."""
        return self.kubectl("-n", namespace, "logs", target, *arguments)

    def run_python(self, namespace: str, target: str, code: str, timeout: float = 60) -> str:
        """Run a Python program in a running container and return its output. `target` as for logs."""
        return self.kubectl("-n", namespace, "exec", target, "--", "python", "-c", code, timeout=timeout)

    def ask(self, path: str, host: str = "", method: str = "GET", **headers: str) -> Answer:
        """Send one request from outside the cluster, on a new connection. Status 0: no answer; the body has the cause."""
        with urllib3.HTTPConnectionPool("127.0.0.1", self.port, timeout=10, retries=False) as pool:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            try:
                answer = pool.request(method, path, headers=given | ({"host": host} if host else {}), redirect=False)
            except urllib3.exceptions.HTTPError as error:
                return Answer(0, {}, repr(error).encode())
            named = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, named, answer.data)

    def condition(self, kind: str, namespace: str, name: str, wanted: str) -> JSON:
        """Return a condition of the resource's present generation; {} if there is none yet."""
        resource = self.get(kind, name, "-n", namespace)
        generation = resource["metadata"]["generation"]
        for one in resource.get("status", {}).get("conditions", ()):
            if one["type"] == wanted and one["observedGeneration"] == generation:
                return dict(one)
        return {}

    def is_programmed(self, kind: str, namespace: str, name: str) -> bool:
        """Return whether all pods serve the resource's present generation."""
        return self.condition(kind, namespace, name, "Programmed").get("status") == "True"


def is_ready(pod: JSON) -> bool:
    """Return whether a pod receives traffic."""
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))


def route(name: str, namespace: str, host: str, body: str) -> str:
    """Return a GatewayRoute with a direct response."""
    return f"""
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  hostnames: [{host}]
  rules:
  - filters:
    - type: DirectResponse
      directResponse: {{statusCode: 200, contentType: text/plain, body: "{body}"}}
"""


def load_image(cluster: Cluster, *references: str) -> None:
    """Load local images into the cluster; the cluster pulls all others itself."""
    for reference in references:
        if subprocess.run(["docker", "image", "inspect", reference], capture_output=True, check=False).returncode == 0:
            name = cluster.context.removeprefix("kind-")
            subprocess.run(["kind", "load", "docker-image", "--name", name, reference], check=True, timeout=180)
