"""Documented examples compile: every example, and every rule of Gateway API's own tests."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from inferway_operator import compiler
from inferway_operator.world.world import from_manifests

Manifest = dict[str, Any]

CRDS = Path(__file__).parents[2] / "crds"
EXAMPLES = sorted((CRDS / "examples").rglob("*.yaml"))
RULES = sorted((CRDS / "tests" / "gateway_api_rules").glob("*.yaml"))


def _stubs(manifests: list[Manifest]) -> list[Manifest]:
    """A Service with one endpoint for every backendRef that names one."""
    named: dict[tuple[str, str], set[int]] = {}
    for manifest in manifests:
        if manifest["kind"] != "GatewayRoute":
            continue
        home = manifest["metadata"].get("namespace", "default")
        for rule in manifest["spec"]["rules"]:
            for ref in rule.get("backendRefs", []):
                if "name" in ref:
                    named.setdefault((ref.get("namespace", home), ref["name"]), set()).add(ref["port"])
    found: list[Manifest] = []
    for (namespace, name), ports in named.items():
        listed = [{"name": f"p{port}", "port": port} for port in sorted(ports)]
        found.append(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"ports": listed},
            }
        )
        found.append(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": f"{name}-stub",
                    "namespace": namespace,
                    "labels": {"kubernetes.io/service-name": name},
                },
                "addressType": "IPv4",
                "ports": listed,
                "endpoints": [{"addresses": ["10.0.0.1"]}],
            }
        )
    return found


def _errors_of(manifests: list[Manifest]) -> list[str]:
    """Of objects that are not accepted, or name what does not exist."""
    # An example's own Services come first, and the first of a name is kept.
    made = compiler.compile(from_manifests([*manifests, *_stubs(manifests)], standalone=True))
    assert made.verdicts
    return [
        f"{verdict.meta.id}: {condition.message}"
        for verdict in made.verdicts
        for condition in verdict.conditions
        if condition.reason not in ("Accepted", "ResolvedRefs", "TargetsResolved")
    ]


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_example_compiles_without_errors(file: Path) -> None:
    manifests = [item for item in yaml.safe_load_all(file.read_text()) if item is not None]
    targets = [ref["name"] for item in manifests for ref in item.get("spec", {}).get("targetRefs", [])]
    written = {item["metadata"]["name"] for item in manifests if item["kind"] == "GatewayRoute"}
    # A policy's example may name a route of another example.
    answer = {"filters": [{"type": "DirectResponse", "directResponse": {"statusCode": 200}}]}
    routes = [
        {
            "apiVersion": "inferway.dev/v1alpha1",
            "kind": "GatewayRoute",
            "metadata": {"name": name, "namespace": item["metadata"].get("namespace", "default")},
            "spec": {"hostnames": [f"{name}.example"], "rules": [{**answer, "name": ref} for ref in sections]},
        }
        for item in manifests
        for name in targets
        if item["kind"] == "RateLimitPolicy" and name not in written
        for sections in [[ref.get("sectionName", "all") for ref in item["spec"]["targetRefs"] if ref["name"] == name]]
    ]
    assert _errors_of([*manifests, *routes]) == []


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.stem)
def test_rules_of_an_httproute_compile_without_errors(file: Path) -> None:
    manifest = {
        "apiVersion": "inferway.dev/v1alpha1",
        "kind": "GatewayRoute",
        "metadata": {"name": "pasted", "namespace": "gateway-conformance-infra"},
        "spec": yaml.safe_load(file.read_text()),
    }
    made = compiler.compile(from_manifests([manifest, *_stubs([manifest])], standalone=True))
    (verdict,) = made.verdicts
    assert verdict.conditions[0].reason == "Accepted", verdict.conditions[0].message
