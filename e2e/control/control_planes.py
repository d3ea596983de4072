"""Both planes as processes against a real API server: an operator, and data-plane processes with their Pod objects."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inferway_contract.acknowledgement import GATEWAY_LABEL
from inferway_envtest import ApiServer
from inferway_testing.client import ask
from inferway_testing.process import Process, environment
from inferway_testing.until import DEADLINE, until

API = "/apis/inferway.dev/v1alpha1"


@dataclass
class Pod:
    """A data-plane process and its Pod object."""

    name: str
    uid: str
    process: Process
    state: Path
    """Its emptyDir."""
    port: int = 0
    admin: int = 0

    def get(self, path: str = "/", *, admin: bool = False, host: str = "control.example") -> tuple[int, bytes]:
        """Send one request on a new connection."""
        return ask(self.admin if admin else self.port, path, {"host": host}, timeout=5)

    def serves(self, path: str, body: bytes) -> bool:
        """Return whether the request is answered with this body."""
        try:
            return self.get(path) == (200, body)
        except OSError:
            return False

    def config(self) -> dict[str, Any]:
        """Return its /debug/config."""
        return dict(json.loads(self.get("/debug/config", admin=True)[1]))


@dataclass
class Planes:
    """A gateway of one operator and some data-plane pods in one namespace. The operator's Lease is in another."""

    api: ApiServer
    namespace: str
    directory: Path
    kubeconfig: Path
    stack: ExitStack
    operators: list[Process] = field(default_factory=list)
    pods: list[Pod] = field(default_factory=list)

    # --- processes ---------------------------------------------------------------------------------------------------

    def operator(self, kubeconfig: Path | None = None, also: Sequence[str] = (), **more: str) -> Process:
        """Start an operator.

        `also`: further watched namespaces; `more`: settings, in lower case without their prefix.
        """
        namespaces = [self.namespace, *also]
        env = {
            "KUBECONFIG": str(kubeconfig or self.kubeconfig),
            "INFERWAY_OPERATOR_NAMESPACE": self.namespace,
            "INFERWAY_OPERATOR_NAMESPACES": ",".join(namespaces),
            "INFERWAY_OPERATOR_LEASE_NAMESPACE": lease_namespace(self.namespace),
            "INFERWAY_OPERATOR_LISTEN": "127.0.0.1:0",
            **{f"INFERWAY_OPERATOR_{name.upper()}": value for name, value in more.items()},
        }
        command = [sys.executable, "-m", "inferway_operator"]
        command += [argument for name in namespaces for argument in ("-n", name)]
        process = Process(command, environment("INFERWAY_", "KUBE", **env), is_supervisor=True)
        self.stack.callback(process.stop)
        self.operators.append(process)
        return process

    def pod(self, name: str, kubeconfig: Path | None = None, command: Sequence[str] = ()) -> Pod:
        """Start a data-plane process, with a Pod that becomes Ready with the process."""
        pod_object = self.api.pod(self.namespace, name, {GATEWAY_LABEL: "inferway"}, is_ready=False)
        state = self.directory / name
        state.mkdir()
        pod = Pod(
            name,
            pod_object["metadata"]["uid"],
            self._process(name, pod_object["metadata"]["uid"], state, kubeconfig, command),
            state,
        )
        self.pods.append(pod)
        self.find_ports(pod)
        return pod

    def restart(self, pod: Pod, kubeconfig: Path | None = None) -> None:
        """Start another container of the same Pod, as the kubelet does."""
        pod.process.stop()
        pod.process = self._process(pod.name, pod.uid, pod.state, kubeconfig, ())
        self.find_ports(pod)

    def _process(self, name: str, uid: str, state: Path, kubeconfig: Path | None, command: Sequence[str]) -> Process:
        env = {
            "KUBECONFIG": str(kubeconfig or self.kubeconfig),
            "INFERWAY_KUBECONFIG": str(kubeconfig or self.kubeconfig),
            "INFERWAY_STATE_DIRECTORY": str(state),
            "INFERWAY_LISTEN": "127.0.0.1:0",
            "INFERWAY_ADMIN": "127.0.0.1:0",
            "INFERWAY_ACCESS_LOG": "false",
            "POD_NAME": name,
            "POD_NAMESPACE": self.namespace,
            "POD_UID": uid,
        }
        process = Process(
            command or [sys.executable, "-m", "inferway_dataplane"], environment("INFERWAY_", "KUBE", **env)
        )
        self.stack.callback(process.stop)
        return process

    def find_ports(self, pod: Pod) -> None:
        """Wait until the process logs `ready`, and read its ports."""
        pod.port, pod.admin = pod.process.port(), pod.process.port("admin")
        self.api.set_pod(self.namespace, pod.name, is_ready=True)

    # --- objects -----------------------------------------------------------------------------------------------------

    def apply(self, *manifests: dict[str, Any], namespace: str = "") -> None:
        """Apply objects as `kubectl apply --server-side` does. `namespace`: another than the gateway's."""
        for manifest in manifests:
            path = self.path(manifest["kind"], manifest["metadata"]["name"], namespace)
            self.api.ask("PATCH", f"{path}?fieldManager=test&force=true", manifest, "application/apply-patch+yaml")

    def path(self, kind: str, name: str = "", namespace: str = "") -> str:
        """Return the path of an object, or of all objects of a kind, in the gateway's namespace or another."""
        plural = {"GatewayRoute": "gatewayroutes", "RateLimitPolicy": "ratelimitpolicies"}[kind]
        return f"{API}/namespaces/{namespace or self.namespace}/{plural}" + (f"/{name}" if name else "")

    def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any]:
        """Return an object."""
        return dict(self.api.ask("GET", self.path(kind, name, namespace)))

    def condition(self, kind: str, name: str, condition: str = "Programmed", namespace: str = "") -> dict[str, Any]:
        """Return a condition of the object's present generation, or {}."""
        resource = self.get(kind, name, namespace)
        for one in resource.get("status", {}).get("conditions", []):
            if one["type"] == condition and one["observedGeneration"] == resource["metadata"]["generation"]:
                return dict(one)
        return {}

    def programmed(
        self, name: str, status: str = "True", kind: str = "GatewayRoute", within: float = DEADLINE
    ) -> dict[str, Any]:
        """Wait until the object's `Programmed` is this; returns the condition."""

        def seen() -> dict[str, Any] | None:
            condition = self.condition(kind, name)
            return condition if condition.get("status") == status else None

        return dict(
            until(seen, lambda: f"{kind} {name} has Programmed={status}; operator logs: {self.operator_logs()}", within)
        )

    def operator_logs(self) -> str:
        """Return the end of the operators' logs."""
        return "\n".join(operator.tail() for operator in self.operators)

    def documents(self) -> dict[str, dict[str, str]]:
        """Return the data of the gateway's ConfigMaps, by name."""
        listing = self.api.ask(
            "GET", f"/api/v1/namespaces/{self.namespace}/configmaps?labelSelector={GATEWAY_LABEL}=inferway"
        )
        return {item["metadata"]["name"]: item.get("data", {}) for item in listing["items"]}


def lease_namespace(namespace: str) -> str:
    """Return the namespace of the operator's Lease."""
    return f"{namespace}-lease"


@contextmanager
def planes(api: ApiServer, namespace: str, directory: Path, kubeconfig: Path | None = None) -> Iterator[Planes]:
    """Create the gateway's namespaces; all started processes end with the block."""
    with ExitStack() as stack:
        lease_place = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": lease_namespace(namespace)}}
        api.ask("POST", "/api/v1/namespaces", lease_place)
        stack.callback(api.ask, "DELETE", f"/api/v1/namespaces/{lease_namespace(namespace)}")
        yield Planes(api, namespace, directory, kubeconfig or api.kubeconfig(), stack)


def direct_response_route(name: str, body: str, path: str = "/") -> dict[str, Any]:
    """Return a GatewayRoute with a direct response."""
    answer = {
        "type": "DirectResponse",
        "directResponse": {"statusCode": 200, "contentType": "text/plain", "body": body},
    }
    return {
        "apiVersion": "inferway.dev/v1alpha1",
        "kind": "GatewayRoute",
        "metadata": {"name": name},
        "spec": {"rules": [{"matches": [{"path": {"type": "PathPrefix", "value": path}}], "filters": [answer]}]},
    }


def limits(name: str, *targets: str, requests: int = 1_000_000) -> dict[str, Any]:
    """Return a RateLimitPolicy for these routes, or for all of the namespace."""
    refs = [{"kind": "GatewayRoute", "name": target} for target in targets]
    limit = {"name": "all", "rate": {"requests": requests, "per": "1s"}, "burst": max(requests, 1), "scope": "Pod"}
    return {
        "apiVersion": "inferway.dev/v1alpha1",
        "kind": "RateLimitPolicy",
        "metadata": {"name": name},
        "spec": {"limits": [limit], **({"targetRefs": refs} if refs else {})},
    }


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of the values is."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def now() -> datetime:
    """Return the time in the API server's format."""
    return datetime.now(tz=UTC)
