"""Pods: rights, probes, ports, settings and times agree with each other and with the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from kustomizations import OVERLAYS, folders, named, of_kind, overlay, rendered, settings, templates, with_webhook
from pydantic import TypeAdapter
from pydantic_settings import BaseSettings

from inferway_dataplane.settings import ClusterSettings, Settings
from inferway_operator.settings import HttpSettings, OperatorSettings
from inferway_operator.world.hostname_policy import HostnamePolicy
from service_python.settings import Settings as ServicePythonSettings

# In manifests/kind/live Tilt may replace code within containers; this is for a local machine only.
PODS = [
    (folder, name) for folder in folders() if not folder.startswith("kind/") for name in templates(rendered(folder))
]
REST = 5
"""Seconds between the end of the longest configured stop and SIGKILL."""


def containers(template: dict[str, Any]) -> list[dict[str, Any]]:
    return [*template["spec"].get("initContainers", ()), *template["spec"]["containers"]]


def names_of(prefix: str, *models: type[BaseSettings]) -> set[str]:
    return {f"{prefix}{field.upper()}" for model in models for field in model.model_fields}


@pytest.mark.parametrize(("folder", "name"), PODS)
def test_pod_has_no_privileges_on_its_node(folder: str, name: str) -> None:
    template = templates(rendered(folder))[name]
    pod = template["spec"]["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(template):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        if container["image"].startswith("ghcr.io/inferway/"):
            assert "cpu" in container["resources"]["limits"]
            assert (pod["runAsUser"], pod["runAsGroup"]) == (10001, 10001)


@pytest.mark.parametrize(("folder", "name"), PODS)
def test_only_pods_of_the_planes_have_a_token(folder: str, name: str) -> None:
    spec = templates(rendered(folder))[name]["spec"]
    is_plane = name.removesuffix("-b") in ("inferway-operator", "inferway-gateway")
    assert spec["automountServiceAccountToken"] is is_plane
    assert spec.get("serviceAccountName", "default") == (name if is_plane else "default")
    assert spec["enableServiceLinks"] is False


@pytest.mark.parametrize(("folder", "name"), PODS)
def test_probes_and_services_name_existing_ports(folder: str, name: str) -> None:
    objects = rendered(folder)
    template = templates(objects)[name]
    ports = {port["name"]: port["containerPort"] for each in containers(template) for port in each.get("ports", ())}
    for container in containers(template):
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            if ports:
                assert container[probe]["httpGet"]["port"] in ports
    for service in of_kind(objects, "Service"):
        if service["spec"]["selector"].items() <= template["metadata"]["labels"].items():
            assert all(port["targetPort"] in ports for port in service["spec"]["ports"])


@pytest.mark.parametrize("name", OVERLAYS)
def test_listen_settings_match_ports_and_probes(name: str) -> None:
    objects = overlay(name)
    gateway, operator = settings(objects, "gateway"), settings(objects, "operator")
    pods = templates(objects)
    ports = {port["name"]: port["containerPort"] for port in containers(pods["inferway-gateway"])[0]["ports"]}
    assert ports == {
        "http": int(gateway["INFERWAY_LISTEN"].removeprefix("0.0.0.0:")),
        "admin": int(gateway["INFERWAY_ADMIN"].removeprefix("0.0.0.0:")),
    }
    ports = {port["name"]: port["containerPort"] for port in containers(pods["inferway-operator"])[0]["ports"]}
    assert ports == {"metrics": int(operator["INFERWAY_OPERATOR_LISTEN"].removeprefix("0.0.0.0:"))}
    mounts = {mount["mountPath"]: mount["name"] for mount in containers(pods["inferway-gateway"])[0]["volumeMounts"]}
    assert mounts[gateway["INFERWAY_STATE_DIRECTORY"]] == "state"
    assert mounts[gateway["INFERWAY_SECRETS_DIRECTORY"]] == "secrets"


def test_webhook_settings_match_service_port_and_certificate(tmp_path: Path) -> None:
    objects = with_webhook(tmp_path)
    values = settings(objects, "operator")
    container = containers(templates(objects)["inferway-operator"])[0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports["webhook"] == int(values["INFERWAY_OPERATOR_WEBHOOK_LISTEN"].removeprefix("0.0.0.0:"))
    mount = next(mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "webhook-tls")
    assert values["INFERWAY_OPERATOR_WEBHOOK_CERT"] == f"{mount}/tls.crt"
    assert values["INFERWAY_OPERATOR_WEBHOOK_KEY"] == f"{mount}/tls.key"
    reference = named(objects, "ValidatingWebhookConfiguration", "inferway")["webhooks"][0]["clientConfig"]["service"]
    service = named(objects, "Service", reference["name"])
    assert (reference["namespace"], reference["port"]) == (
        service["metadata"]["namespace"],
        service["spec"]["ports"][0]["port"],
    )
    opened = named(objects, "NetworkPolicy", "inferway-webhook")["spec"]["ingress"][0]["ports"]
    assert opened == [{"protocol": "TCP", "port": ports["webhook"]}]


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_setting_exists_and_is_valid(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    objects = overlay(name)
    gateway, operator = settings(objects, "gateway"), settings(objects, "operator")
    assert gateway.keys() <= names_of("INFERWAY_", Settings, ClusterSettings)
    assert operator.keys() <= names_of("INFERWAY_OPERATOR_", OperatorSettings, HttpSettings)
    if "INFERWAY_OPERATOR_HOSTNAME_POLICY_FILE" in operator:
        policy = tmp_path / "policy.yaml"
        policy.write_text(named(objects, "ConfigMap", "inferway-hostname-policy")["data"]["hostname-policy.yaml"])
        operator["INFERWAY_OPERATOR_HOSTNAME_POLICY_FILE"] = str(policy)
    downward = {
        each["name"]: "x"
        for each in containers(templates(objects)["inferway-gateway"])[0]["env"]
        if "fieldRef" in each["valueFrom"]
    }
    for key, value in {**gateway, **operator, **downward}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("POD_NAMESPACE", named(objects, "Deployment", "inferway-operator")["metadata"]["namespace"])
    assert Settings().drain_delay > 0
    assert ClusterSettings().gateway == OperatorSettings().gateway  # type: ignore[call-arg]
    assert OperatorSettings().namespace == "inferway-system"
    assert OperatorSettings().lease_namespace != OperatorSettings().namespace
    assert HttpSettings().webhook_pair is None


@pytest.mark.parametrize("name", OVERLAYS)
def test_containers_keep_the_command_of_their_image(name: str) -> None:
    # The settings define the namespaces that the operator watches; a flag could only contradict them.
    for template in templates(overlay(name)).values():
        assert all({"command", "args"}.isdisjoint(container) for container in containers(template))


@pytest.mark.parametrize("name", OVERLAYS)
def test_grace_period_of_the_gateway_covers_the_drain(name: str) -> None:
    values = settings(overlay(name), "gateway")
    pod = templates(overlay(name))["inferway-gateway"]
    drain = float(values["INFERWAY_DRAIN_DELAY"]) + float(values["INFERWAY_DRAIN_TIMEOUT"])
    assert pod["spec"]["terminationGracePeriodSeconds"] >= drain + REST
    # Endpoints and kube-proxy need this time to learn of it. The process serves meanwhile, so a hook would only add delay.
    assert float(values["INFERWAY_DRAIN_DELAY"]) >= 5
    assert "lifecycle" not in containers(pod)[0]
    # A fault of the process is detected in less time than its drain takes.
    assert containers(pod)[0]["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert containers(pod)[0]["livenessProbe"]["httpGet"]["path"] == "/healthz"


@pytest.mark.parametrize("name", OVERLAYS)
def test_local_traffic_policy_requires_a_long_ready_drain(name: str) -> None:
    objects = overlay(name)
    if named(objects, "Service", "inferway-gateway")["spec"].get("externalTrafficPolicy") != "Local":
        assert name != "production", "clients' addresses are lost"
        return
    values = settings(objects, "gateway")
    # Health checks of load balancers fail after 10 to 30 s; until then kube-proxy needs a ready pod.
    assert float(values["INFERWAY_DRAIN_DELAY"]) >= 20
    assert TypeAdapter(bool).validate_python(values["INFERWAY_DRAIN_READY"])


@pytest.mark.parametrize("name", ["service-python", "service-node"])
def test_grace_period_of_a_sample_covers_its_stop(name: str) -> None:
    template = templates(rendered("samples"))[name]
    container = containers(template)[0]
    values = {each["name"]: each["value"] for each in container["env"]}
    prefix = name.upper().replace("-", "_") + "_"
    hook = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert (
        template["spec"]["terminationGracePeriodSeconds"] >= hook + int(values[f"{prefix}STOP_TIMEOUT_SECONDS"]) + REST
    )
    assert int(values[f"{prefix}PORT"]) == container["ports"][0]["containerPort"]
    if name == "service-python":
        assert values.keys() <= names_of(prefix, ServicePythonSettings)


def test_production_hostname_policy_has_no_wildcard_entry() -> None:
    text = named(overlay("production"), "ConfigMap", "inferway-hostname-policy")["data"]["hostname-policy.yaml"]
    policy = TypeAdapter(HostnamePolicy).validate_python(yaml.safe_load(text))
    assert policy
    assert not any("*" in entry.hostnames for entry in policy)


def test_production_leaves_replicas_to_the_autoscaler() -> None:
    objects = overlay("production")
    scaler = named(objects, "HorizontalPodAutoscaler", "inferway-gateway")["spec"]
    deployment = named(objects, "Deployment", scaler["scaleTargetRef"]["name"])
    assert "replicas" not in deployment["spec"]
    budget = named(objects, "PodDisruptionBudget", "inferway-gateway")["spec"]
    assert scaler["minReplicas"] > budget["maxUnavailable"]
    classes = {item["metadata"]["name"] for item in of_kind(objects, "PriorityClass")}
    assert all(template["spec"]["priorityClassName"] in classes for template in templates(objects).values())
    assert all(template["spec"]["topologySpreadConstraints"] for template in templates(objects).values())
