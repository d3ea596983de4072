"""The cluster that `make cluster` makes, as its users have it: kubectl, and requests from outside."""

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
CONTEXT: Final = os.environ.get("INFERWAY_E2E_CONTEXT", "kind-inferway")
PORT: Final = int(os.environ.get("INFERWAY_E2E_PORT", "8080"))
"""Of this machine: manifests/kind/cluster.yaml leads it to the gateway."""

OPERATOR: Final = "inferway-operator"
GATEWAY: Final = "inferway-system"
DEMO: Final = "inferway-demo"
"""Namespaces."""

JSON = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """Of the gateway; names of headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Cluster:
    """One cluster of kind."""

    context: str = CONTEXT
    port: int = PORT

    def kubectl(self, *arguments: str, given: str = "", timeout: float = 150) -> str:
        """What kubectl prints; the test fails with what it complains of."""
        done = self.attempt(*arguments, given=given, timeout=timeout)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def attempt(self, *arguments: str, given: str = "", timeout: float = 150) -> subprocess.CompletedProcess[str]:
        """The same, where it may fail."""
        command = [KUBECTL, "--context", self.context, *arguments]
        return subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT
        )

    def get(self, *arguments: str) -> JSON:
        """`kubectl get` of one object or of several."""
        found: JSON = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return found

    def items(self, *arguments: str) -> list[JSON]:
        """`kubectl get` of several objects."""
        found: list[JSON] = self.get(*arguments)["items"]
        return found

    def apply(self, text: str) -> None:
        """`kubectl apply` of YAML."""
        self.kubectl("apply", "-f", "-", given=text)

    def install(self, overlay: str) -> None:
        """`kubectl apply -k`, until the definitions are known."""
        self.kubectl("apply", "-k", overlay)
        self.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "gatewayroutes.inferway.dev", "ratelimitpolicies.inferway.dev")  # fmt: skip

    def await_rollout(self, namespace: str, *deployments: str, within: int = 180) -> None:
        """Every Deployment of a namespace, or those that are named, is at its newest and whole."""
        names = [f"deployment/{name}" for name in deployments]
        for name in names or self.kubectl("-n", namespace, "get", "deployments", "-o", "name").split():
            self.kubectl("-n", namespace, "rollout", "status", name, f"--timeout={within}s", timeout=within + 10)

    def pods(self, namespace: str, app: str) -> list[JSON]:
        """Of one app, those that are not on their way out."""
        found = self.items("pods", "-n", namespace, "-l", f"app.kubernetes.io/name={app}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def gateway_pods(self) -> list[str]:
        """Names of the data plane's pods that are ready."""
        return [pod["metadata"]["name"] for pod in self.pods(GATEWAY, "inferway-gateway") if is_ready(pod)]

    def kill(self, namespace: str, pod: str) -> None:
        """SIGKILL of a container's first process, from the node: from within it would be ignored."""
        found = self.get("pod", pod, "-n", namespace)
        container = found["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
        command = ["docker", "exec", found["spec"]["nodeName"], "ctr", "--namespace", "k8s.io"]
        subprocess.run([*command, "task", "kill", "--signal", "SIGKILL", container], check=True, timeout=30)

    def kill_and_await(self, namespace: str, pod: str, within: float = 60) -> None:
        """Kill it, until it has been started again and takes traffic."""
        before = self.restarts(namespace, pod)
        self.kill(namespace, pod)
        until(
            lambda: self.restarts(namespace, pod) > before and is_ready(self.get("pod", pod, "-n", namespace)),
            f"{pod} is back",
            within,
        )

    def restarts(self, namespace: str, pod: str) -> int:
        """Of a pod's only container."""
        return int(self.get("pod", pod, "-n", namespace)["status"]["containerStatuses"][0]["restartCount"])

    def logs(self, namespace: str, target: str, *arguments: str) -> str:
        """Of a pod (`pod/NAME`) or of a Deployment's first (`deployment/NAME`)."""
        return self.kubectl("-n", namespace, "logs", target, *arguments)

    def run_python(self, namespace: str, target: str, code: str, timeout: float = 60) -> str:
        """What a Python program in a container of a pod that runs prints. `target` as for logs."""
        return self.kubectl("-n", namespace, "exec", target, "--", "python", "-c", code, timeout=timeout)

    def ask(self, path: str, host: str = "", method: str = "GET", **headers: str) -> Answer:
        """One request from outside the cluster, on a connection of its own. Status 0: nobody answered, the body says why."""
        with urllib3.HTTPConnectionPool("127.0.0.1", self.port, timeout=10, retries=False) as pool:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            try:
                answer = pool.request(method, path, headers=given | ({"host": host} if host else {}), redirect=False)
            except urllib3.exceptions.HTTPError as error:
                return Answer(0, {}, repr(error).encode())
            named = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, named, answer.data)

    def condition(self, kind: str, namespace: str, name: str, wanted: str) -> JSON:
        """A condition of a resource that was written for the resource as it is now; {} when there is none yet."""
        found = self.get(kind, name, "-n", namespace)
        generation = found["metadata"]["generation"]
        for one in found.get("status", {}).get("conditions", ()):
            if one["type"] == wanted and one["observedGeneration"] == generation:
                return dict(one)
        return {}

    def is_programmed(self, kind: str, namespace: str, name: str) -> bool:
        """Whether every pod has proved to serve it as it is now."""
        return self.condition(kind, namespace, name, "Programmed").get("status") == "True"


def is_ready(pod: JSON) -> bool:
    """Whether it takes traffic."""
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))


def route(name: str, namespace: str, host: str, body: str) -> str:
    """A GatewayRoute that answers by itself."""
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
    """Bring images that docker has into the cluster; those that it has not, the cluster pulls by itself."""
    for reference in references:
        if subprocess.run(["docker", "image", "inspect", reference], capture_output=True, check=False).returncode == 0:
            name = cluster.context.removeprefix("kind-")
            subprocess.run(["kind", "load", "docker-image", "--name", name, reference], check=True, timeout=180)
