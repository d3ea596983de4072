"""The operator as a process of its own, against a real API server, with no more rights than docs/operations.md lists."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from inferway_contract.acknowledgement import FORMATS, GATEWAY_LABEL, Acknowledgement, annotations
from inferway_contract.canonical import revision
from inferway_contract.document import ConfigDocument, EndpointsDocument
from inferway_contract.sharding import (
    INDEX_KEY,
    SHARD_KEY,
    ConfigIndex,
    ConfigShard,
    EndpointsIndex,
    EndpointsShard,
    config_of,
    endpoints_of,
    read_index,
    read_shard,
)
from inferway_envtest import ApiServer, User
from inferway_envtest.client import Refused
from inferway_testing.process import Process
from inferway_testing.until import until

CLUSTER_RULES = [
    {"apiGroups": ["inferway.dev"], "resources": ["gatewayroutes", "ratelimitpolicies"], "verbs": ["list", "watch"]},
    {
        "apiGroups": ["inferway.dev"],
        "resources": ["gatewayroutes/status", "ratelimitpolicies/status"],
        "verbs": ["patch"],
    },
    {"apiGroups": [""], "resources": ["namespaces", "services", "pods"], "verbs": ["list", "watch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["list", "watch"]},
    {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["referencegrants"], "verbs": ["list", "watch"]},
    {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": ["list", "watch"]},
    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"]},
]
"""What the operator may do anywhere."""
GATEWAY_RULES = [
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "create", "patch", "delete"]},
]
"""In the data plane's namespace."""
LEADER_RULES = [
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]},
]
"""In the namespace of the operator's own Lease."""

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: "", port: 8080}]
endpoints: [{addresses: [192.0.2.10], conditions: {ready: true}}]
"""
"""A Service `web` of port 80, with an endpoint."""


@dataclass
class Gateway:
    """A gateway in namespaces of its own, and the user that its operators are."""

    api: ApiServer
    name: str
    namespace: str
    team: str
    """Where its resources are."""
    user: User
    settings: dict[str, str] = field(default_factory=dict)
    running: list[Process] = field(default_factory=list)

    def start(self, kubeconfig: Path | None = None, *flags: str, **settings: str) -> Process:
        """Start an operator process; it ends with the test. `flags`: of `kopf run`, in place of --all-namespaces."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.api.directory),
            "KUBECONFIG": str(kubeconfig or self.api.kubeconfig(self.user)),
            "PYTHONUNBUFFERED": "1",
            **{f"INFERWAY_OPERATOR_{key.upper()}": value for key, value in {**self.settings, **settings}.items()},
        }
        command = [sys.executable, "-m", "inferway_operator", *(flags or ("--all-namespaces",))]
        self.running.append(Process(command, environment, is_supervisor=True))
        return self.running[-1]

    def apply(self, text: str, namespace: str = "") -> None:
        """Server-side apply of manifests, one request each."""
        for manifest in yaml.safe_load_all(textwrap.dedent(text)):
            self.api.ask(
                "PATCH",
                f"{self.path(manifest['kind'], manifest['metadata']['name'], namespace)}?fieldManager=test&force=true",
                manifest,
                "application/apply-patch+yaml",
            )

    def path(self, kind: str, name: str = "", namespace: str = "") -> str:
        """Of an object, or of its collection."""
        group, plural = {
            "GatewayRoute": ("/apis/inferway.dev/v1alpha1", "gatewayroutes"),
            "RateLimitPolicy": ("/apis/inferway.dev/v1alpha1", "ratelimitpolicies"),
            "Service": ("/api/v1", "services"),
            "EndpointSlice": ("/apis/discovery.k8s.io/v1", "endpointslices"),
            "ReferenceGrant": ("/apis/gateway.networking.k8s.io/v1beta1", "referencegrants"),
            "ConfigMap": ("/api/v1", "configmaps"),
            "Lease": ("/apis/coordination.k8s.io/v1", "leases"),
            "Event": ("/apis/events.k8s.io/v1", "events"),
        }[kind]
        return f"{group}/namespaces/{namespace or self.team}/{plural}" + (f"/{name}" if name else "")

    def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any]:
        """An object."""
        return dict(self.api.ask("GET", self.path(kind, name, namespace)))

    def delete(self, kind: str, name: str, namespace: str = "") -> None:
        """Delete an object."""
        self.api.ask("DELETE", self.path(kind, name, namespace))

    # --- what is published --------------------------------------------------------------------------------------------

    def maps(self) -> dict[str, dict[str, Any]]:
        """The gateway's ConfigMaps."""
        found = self.api.ask(
            "GET", f"{self.path('ConfigMap', '', self.namespace)}?labelSelector={GATEWAY_LABEL}={self.name}"
        )
        return {item["metadata"]["name"]: item for item in found["items"]}

    def config(self) -> ConfigDocument:
        """The config as a pod reads it; without routes when there is none yet."""
        index = self.index()
        if index is None:
            return ConfigDocument()
        return config_of(index, lambda ref: read_shard(ConfigShard, ref, self._shard(ref.name)))

    def index(self) -> ConfigIndex | None:
        """Of the config."""
        text = self._index("config")
        return None if text is None else read_index(ConfigIndex, text)

    @property
    def revision(self) -> str:
        """Of the config; "" = none."""
        index = self.index()
        return "" if index is None else revision(index)

    def endpoints(self) -> EndpointsDocument:
        """The endpoints."""
        text = self._index("endpoints")
        if text is None:
            return EndpointsDocument()
        index = read_index(EndpointsIndex, text)
        return endpoints_of(index, lambda ref: read_shard(EndpointsShard, ref, self._shard(ref.name)))

    def routes(self) -> list[str]:
        """Ids of the routes that are published."""
        return [route.id for route in self.config().routes]

    def backends(self) -> list[str]:
        """Services that the config names."""
        rules = (rule for route in self.config().routes for rule in route.rules)
        return [backend.service for rule in rules for backend in rule.backends if backend.service]

    def events(self, name: str) -> list[dict[str, Any]]:
        """Kubernetes Events about a resource."""
        found = self.api.ask("GET", self.path("Event"))["items"]
        return [event for event in found if event["regarding"]["name"] == name]

    def exists(self, namespace: str) -> bool:
        """Whether there is such a namespace."""
        return any(item["metadata"]["name"] == namespace for item in self.api.ask("GET", "/api/v1/namespaces")["items"])

    def watches(self, plural: str) -> bool:
        """Whether an operator has listed a kind to watch it."""
        found = self.api.requests(user=self.user, resource=plural, verb="list")
        return any(request.code == 200 and "inferway-operator" in request.agent for request in found)

    def _index(self, part: str) -> str | None:
        try:
            return str(self.get("ConfigMap", f"{self.name}-{part}", self.namespace)["data"][INDEX_KEY])
        except Refused as refused:
            if refused.code != 404:
                raise
            return None

    def _shard(self, name: str) -> bytes:
        return str(self.get("ConfigMap", name, self.namespace)["data"][SHARD_KEY]).encode()

    # --- pods ---------------------------------------------------------------------------------------------------------

    def pod(self, name: str) -> None:
        """Create a data-plane pod that is Ready and has not reported yet."""
        self.api.pod(self.namespace, name, {GATEWAY_LABEL: self.name})

    def acknowledge(self, pod: str, said: Acknowledgement) -> None:
        """What a pod does when it has swapped or refused a config, and every five seconds."""
        uid = self.api.ask("GET", f"/api/v1/namespaces/{self.namespace}/pods/{pod}")["metadata"]["uid"]
        owner = {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": pod,
                "labels": {GATEWAY_LABEL: self.name},
                # A pod of this version: for an older one the documents would have the older format.
                "annotations": annotations(said.model_copy(update={"formats": FORMATS})),
                "ownerReferences": [owner],
            },
            "spec": {
                "holderIdentity": uid,
                "leaseDurationSeconds": 15,
                "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            },
        }
        self.api.ask(
            "PATCH",
            f"{self.path('Lease', pod, self.namespace)}?fieldManager=pod&force=true",
            lease,
            "application/apply-patch+yaml",
        )

    # --- status -------------------------------------------------------------------------------------------------------

    def condition(self, kind: str, name: str, type_: str) -> Mapping[str, Any]:
        """A condition of a resource; empty when it has none."""
        conditions = self.get(kind, name).get("status", {}).get("conditions", ())
        return next((found for found in conditions if found["type"] == type_), {})

    def told(self, name: str, type_: str, kind: str = "GatewayRoute") -> tuple[str, str]:
        """Its status and reason."""
        found = self.condition(kind, name, type_)
        return found.get("status", ""), found.get("reason", "")

    def wait_for(self, name: str, type_: str, status: str, reason: str, kind: str = "GatewayRoute") -> None:
        """Until a condition is like this."""
        until(
            lambda: self.told(name, type_, kind) == (status, reason),
            f"{name}: {type_}={status} {reason}; it is {self.condition(kind, name, type_)}",
        )

    def writes(self, mark: Any) -> list[str]:
        """What the operators of this gateway have written since, but for the Lease of the leader."""
        return [
            f"{request.verb} {request.resource} {request.name}"
            for request in self.api.writes(mark, user=self.user)
            if request.resource != "leases"
        ]


@contextmanager
def gateway(api: ApiServer) -> Iterator[Gateway]:
    """A gateway for the test; its operator watches only its two namespaces."""
    suffix = uuid4().hex[:8]
    names = [f"{part}-{suffix}" for part in ("gateway", "team", "leader")]
    for name in names:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        api.ask("POST", "/api/v1/namespaces", namespace)
    user = api.service_account(names[2], "operator", LEADER_RULES, CLUSTER_RULES)
    for path, manifest in _role(names[0], names[2]):
        api.ask("POST", path, manifest)
    made = Gateway(
        api,
        "inferway",
        names[0],
        names[1],
        user,
        {
            "namespace": names[0],
            "namespaces": f"{names[1]},{names[0]}",
            "lease_namespace": names[2],
            "gateway": "inferway",
            "listen": "127.0.0.1:0",
        },
    )
    try:
        yield made
    finally:
        for running in made.running:
            running.stop(signal.SIGKILL)
        for name in names:
            if made.exists(name):
                api.ask("DELETE", f"/api/v1/namespaces/{name}")


def _role(namespace: str, account_namespace: str) -> Iterator[tuple[str, dict[str, Any]]]:
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    meta = {"name": "operator"}
    yield (
        f"{rbac}/roles",
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta, "rules": GATEWAY_RULES},
    )
    yield (
        f"{rbac}/rolebindings",
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"},
            "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": account_namespace}],
        },
    )
