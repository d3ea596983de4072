"""The examples: each describes its feature, and the contract accepts all."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from inferway_contract import resources

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.yaml"))
FEATURES = {
    "hostnames", "path", "PathPrefix", "Exact", "RegularExpression", "method", "headers", "queryParams",
    "RequestHeaderModifier", "ResponseHeaderModifier", "URLRewrite", "RequestRedirect", "DirectResponse", "CORS",
    "ReplaceFullPath", "ReplacePrefixMatch", "weight", "url", "timeouts", "limits", "cache", "identity", "statusHeader",
    "priority", "auth", "RoundRobin", "LeastRequest", "PeakEWMA", "ConsistentHash", "slowStart", "retry", "circuitBreaker",
    "healthCheck",
    "clientIP", "header", "query", "host", "route", "rule", "targetRefs", "sectionName", "onLimit", "maxKeys",
}  # fmt: skip


def manifests(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_example_is_valid_and_begins_with_a_comment(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")
    for manifest in manifests(path):
        assert manifest["apiVersion"] == f"{resources.API_GROUP}/{resources.API_VERSION}"
        assert set(manifest["metadata"]) == {"name", "namespace"}
        resources.SPECS[manifest["kind"]].model_validate(manifest["spec"])


def test_example_names_are_unique() -> None:
    names = [(found["kind"], found["metadata"]["name"]) for path in EXAMPLES for found in manifests(path)]
    assert len(set(names)) == len(names)


def words(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(words, value.values()))
    return set().union(*map(words, value)) if isinstance(value, list) else {value} if isinstance(value, str) else set()


def test_examples_cover_every_feature() -> None:
    shown = set().union(*(words(found["spec"]) for path in EXAMPLES for found in manifests(path)))
    assert shown >= FEATURES
