"""The Helm chart and the kustomizations give the same objects; wrong values are refused with words that help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import charts
import pytest
import yaml
from kustomizations import Manifest, of_kind, overlay, rendered, with_components

from inferway_chart import chart as chart_module

MONITORING = {"monitoring": {name: {"create": True} for name in ("serviceMonitors", "rules", "dashboard")}}
SECOND: dict[str, Any] = {
    "gatewayName": "b",
    "nameSuffix": "-b",
    "namespaces": {"operator": "inferway-operator-b", "gateway": "inferway-system-b"},
    "crds": {"install": False},
    "roles": {"aggregate": False},
    "operator": {"image": {"tag": "", "pullPolicy": ""}, "settings": {"INFERWAY_OPERATOR_NAMESPACES": "team-b"}},
    "gateway": {"image": {"tag": "", "pullPolicy": ""}, "service": {"type": "", "nodePort": None}},
}


@pytest.fixture(scope="module")
def content() -> dict[str, str]:
    """Return the chart's files."""
    return chart_module.files()


@pytest.fixture(scope="module")
def chart(content: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the chart."""
    folder = tmp_path_factory.mktemp("chart") / "inferway"
    chart_module.write(content, folder)
    return folder


def assert_same(helms: list[Manifest], kustomizes: tuple[Manifest, ...] | list[Manifest]) -> None:
    """Compare all objects; the text of the hostname policy as YAML, because its comments are not values."""
    ours, theirs = charts.by_key(_with_parsed_policy(helms)), charts.by_key(_with_parsed_policy(kustomizes))
    assert ours.keys() == theirs.keys()
    for key, item in ours.items():
        assert item == theirs[key], key


def _with_parsed_policy(objects: tuple[Manifest, ...] | list[Manifest]) -> list[Manifest]:
    policies = [item for item in of_kind(tuple(objects), "ConfigMap") if "hostname-policy.yaml" in item["data"]]
    text = yaml.safe_dump_all(objects)
    for item in policies:
        text = text.replace(item["metadata"]["name"], "inferway-hostname-policy")
    parsed = list(yaml.safe_load_all(text))
    for item in parsed:
        if item["kind"] == "ConfigMap" and "hostname-policy.yaml" in item["data"]:
            item["data"] = {name: yaml.safe_load(value) for name, value in item["data"].items()}
    return parsed


def test_default_values_give_the_overlay_production(helm: Path, chart: Path) -> None:
    assert_same(charts.template(helm, chart), overlay("production"))


def test_values_for_dev_give_the_overlay_dev(helm: Path, chart: Path) -> None:
    assert_same(charts.template(helm, chart, "-f", str(chart / "values-dev.yaml")), overlay("dev"))


@pytest.mark.parametrize("name", ["production", "dev"])
def test_webhook_value_gives_the_components(helm: Path, chart: Path, tmp_path: Path, name: str) -> None:
    given = ("-f", str(chart / "values-dev.yaml")) if name == "dev" else ()
    objects = charts.template(helm, chart, *given, "--set", "webhook.enabled=true")
    assert_same(objects, with_components(tmp_path, name, "webhook", "webhook-network-policy"))


def test_monitoring_values_give_the_folder_monitoring(helm: Path, chart: Path, tmp_path: Path) -> None:
    every = charts.template(helm, chart, "-f", charts.values_file(tmp_path, MONITORING))
    assert_same(every, [*overlay("production"), *rendered("monitoring")])


def test_names_as_values_give_the_second_gateway(helm: Path, chart: Path, tmp_path: Path) -> None:
    values = ("-f", str(chart / "values-dev.yaml"), "-f", charts.values_file(tmp_path, SECOND))
    objects = charts.template(helm, chart, *values)
    assert_same(objects, overlay("second-gateway"))


def test_names_as_values_reach_every_object(helm: Path, chart: Path, tmp_path: Path) -> None:
    values = {**MONITORING, "nameSuffix": "-b", "gatewayName": "b", "webhook": {"enabled": True}}
    values["namespaces"] = {"operator": "ops", "gateway": "edge"}
    objects = charts.template(helm, chart, "-f", charts.values_file(tmp_path, values))
    assert "inferway-system" not in yaml.safe_dump_all(objects)
    assert {item["metadata"].get("namespace", "ops") for item in objects} == {"ops", "edge"}
    kept = {"CustomResourceDefinition", "Namespace"}
    stems = [item["metadata"]["name"] for item in objects if item["kind"] not in kept]
    assert [name for name in stems if "-b" not in name] == []


def test_values_change_the_fields_that_they_name(helm: Path, chart: Path, tmp_path: Path) -> None:
    values = {
        "imagePullSecrets": [{"name": "registry"}],
        "operator": {"tolerations": [{"operator": "Exists"}], "podAnnotations": {"a": "b"}},
        "gateway": {
            "image": {"repository": "registry.example/gateway", "digest": f"sha256:{'0' * 64}"},
            "replicas": 7,
            "autoscaling": {"enabled": False},
            "settings": {"INFERWAY_MAX_CONNECTIONS": 1000000, "INFERWAY_DRAIN_READY": None},
            "service": {"annotations": {"lb": "x"}, "loadBalancerSourceRanges": ["192.0.2.0/24"]},
            "nodeSelector": {"pool": "edge"},
        },
        "hostnamePolicy": [],
        "networkPolicies": {"apiServer": [{"ipBlock": {"cidr": "192.0.2.10/32"}}]},
    }
    objects = charts.by_key(charts.template(helm, chart, "-f", charts.values_file(tmp_path, values)))
    gateway = objects["Deployment", "inferway-system", "inferway-gateway"]["spec"]
    operator = objects["Deployment", "inferway-operator", "inferway-operator"]["spec"]["template"]
    assert gateway["replicas"] == 7
    assert ("HorizontalPodAutoscaler", "inferway-system", "inferway-gateway") not in objects
    pod = gateway["template"]["spec"]
    assert pod["containers"][0]["image"] == f"registry.example/gateway@sha256:{'0' * 64}"
    assert (pod["nodeSelector"], pod["imagePullSecrets"]) == ({"pool": "edge"}, [{"name": "registry"}])
    assert operator["spec"]["tolerations"] == [{"operator": "Exists"}]
    assert operator["metadata"]["annotations"] == {"a": "b"}
    service = objects["Service", "inferway-system", "inferway-gateway"]
    assert service["metadata"]["annotations"] == {"lb": "x"}
    assert service["spec"]["loadBalancerSourceRanges"] == ["192.0.2.0/24"]
    data = {key[2][: -len("-0123456789")]: item["data"] for key, item in objects.items() if key[0] == "ConfigMap"}
    assert data["inferway-gateway-settings"]["INFERWAY_MAX_CONNECTIONS"] == "1000000"
    assert "INFERWAY_DRAIN_READY" not in data["inferway-gateway-settings"]
    assert yaml.safe_load(data["inferway-hostname-policy"]["hostname-policy.yaml"]) == []
    for name, namespace in (("inferway-gateway", "inferway-system"), ("inferway-operator", "inferway-operator")):
        egress = objects["NetworkPolicy", namespace, name]["spec"]["egress"]
        assert egress[0]["to"] == [{"ipBlock": {"cidr": "192.0.2.10/32"}}]


def test_changed_setting_changes_the_name_of_its_config_map(helm: Path, chart: Path) -> None:
    def names(*arguments: str) -> set[str]:
        items = of_kind(tuple(charts.template(helm, chart, *arguments)), "ConfigMap")
        return {item["metadata"]["name"] for item in items}

    changed = names() ^ names("--set", "gateway.settings.INFERWAY_LOG_LEVEL=debug")
    assert {name.rpartition("-")[0] for name in changed} == {"inferway-gateway-settings"}
    assert len(changed) == 2


REFUSED = {
    "unknown value": ("replica=3", "replica"),
    "unknown value below": ("gateway.replica=3", "replica"),
    "unknown setting": ("gateway.settings.INFERWAY_LISTN=x", "INFERWAY_LISTN"),
    "unknown setting of the webhook": (
        "webhook.settings.INFERWAY_OPERATOR_WEBHOOK_CRT=x",
        "INFERWAY_OPERATOR_WEBHOOK_CRT",
    ),
    "setting of the chart": ("operator.settings.INFERWAY_OPERATOR_GATEWAY=x", "INFERWAY_OPERATOR_GATEWAY"),
    "text for a number": ("operator.replicas=two", "/operator/replicas"),
    "wrong word": ("webhook.failurePolicy=ignore", "/webhook/failurePolicy"),
    "suffix without hyphen": ("nameSuffix=b", "/nameSuffix"),
    "one namespace for both": ("namespaces.operator=inferway-system", "must differ"),
    "no address of the API server": ("networkPolicies.apiServer=null", "apiServer"),
}


@pytest.mark.parametrize(("given", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_wrong_value_is_refused_and_named(helm: Path, chart: Path, given: str, words: str) -> None:
    done = charts.run(helm, "template", "release", str(chart), "--set", given, home=chart.parent)
    assert done.returncode != 0
    assert words in done.stderr


def test_release_in_a_namespace_of_the_chart_is_refused(helm: Path, chart: Path) -> None:
    done = charts.run(helm, "template", "release", str(chart), "--namespace", "inferway-system", home=chart.parent)
    assert "namespaces.create" in done.stderr
    given = ("--namespace", "inferway-system", "--set", "namespaces.create=false")
    assert not of_kind(tuple(charts.template(helm, chart, *given)), "Namespace")


@pytest.mark.parametrize("values", ["values.yaml", "values-dev.yaml"])
def test_lint_finds_no_fault(helm: Path, chart: Path, values: str) -> None:
    done = charts.run(helm, "lint", "--strict", str(chart), "-f", str(chart / values), home=chart.parent)
    assert done.returncode == 0, done.stdout


def test_archive_is_a_package_of_the_same_chart(
    helm: Path, chart: Path, content: dict[str, str], tmp_path: Path
) -> None:
    archive = tmp_path / f"inferway-{chart_module.version()}.tgz"
    archive.write_bytes(chart_module.archive(content))
    assert chart_module.archive(content) == archive.read_bytes()
    shown = charts.run(helm, "show", "chart", str(archive), home=tmp_path)
    assert yaml.safe_load(shown.stdout) == yaml.safe_load(content["Chart.yaml"])
    assert charts.template(helm, archive) == charts.template(helm, chart)
