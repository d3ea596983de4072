"""What users wrote is what the API server keeps: tools that compare both (Argo CD, Flux, `kubectl diff`) find no difference."""

from __future__ import annotations

import json
import re
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from inferway_contract import resources
from inferway_envtest import ApiServer

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def documents() -> list[dict[str, Any]]:
    """Return every complete resource of the examples, the samples and the documentation, under names of their own."""
    files = [*(ROOT / "crds/examples").glob("*.yaml"), *(ROOT / "manifests/samples").glob("*.yaml")]
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    blocks = chain.from_iterable(BLOCK.findall(page.read_text(encoding="utf-8")) for page in sorted(pages))
    texts = [*(file.read_text(encoding="utf-8") for file in sorted(files)), *blocks]
    found = [
        item
        for text in texts
        for item in yaml.safe_load_all(text)
        if isinstance(item, dict) and item.get("kind") in resources.SPECS and "spec" in item
    ]
    return [{**item, "metadata": {"name": f"{item['metadata']['name']}-{n}"}} for n, item in enumerate(found)]


@pytest.mark.parametrize("manner", ["--server-side=false", "--server-side"])
def test_applied_resources_are_kept_as_written(manner: str, api_server: ApiServer, namespace: str) -> None:
    written = documents()
    assert len(written) > 40
    text = yaml.safe_dump_all(written)
    api_server.kubectl("apply", manner, "-n", namespace, "-f", "-", input=text)
    kept = json.loads(api_server.kubectl("get", "gwr,rlp", "-n", namespace, "-o", "json").stdout)["items"]
    assert {item["metadata"]["name"]: item["spec"] for item in kept} == {
        item["metadata"]["name"]: item["spec"] for item in written
    }
    compared = api_server.kubectl("diff", manner, "-n", namespace, "-f", "-", input=text, check=False)
    assert (compared.code, compared.stdout) == (0, ""), compared.stderr


def test_kubectl_diff_reports_a_changed_list(api_server: ApiServer, namespace: str) -> None:
    """Hold that the comparison of the previous test can fail."""
    written = documents()[0]
    api_server.kubectl("apply", "-n", namespace, "-f", "-", input=yaml.safe_dump(written))
    changed = {**written, "spec": {**written["spec"], "hostnames": ["drift.example"]}}
    compared = api_server.kubectl("diff", "-n", namespace, "-f", "-", input=yaml.safe_dump(changed), check=False)
    assert compared.code == 1
    assert "drift.example" in compared.stdout


def test_explicit_null_is_the_only_part_removed(api_server: ApiServer, namespace: str) -> None:
    """Hold the exception that docs/gitops.md names."""
    rule = {"name": "all", "cache": None, "backendRefs": [{"name": "a", "port": 80}]}
    route = {
        "apiVersion": "inferway.dev/v1alpha1",
        "kind": "GatewayRoute",
        "metadata": {"name": "null"},
        "spec": {"rules": [rule]},
    }
    api_server.kubectl("apply", "-n", namespace, "-f", "-", input=yaml.safe_dump(route))
    kept = json.loads(api_server.kubectl("get", "gwr", "null", "-n", namespace, "-o", "json").stdout)
    assert kept["spec"] == {"rules": [{name: value for name, value in rule.items() if value is not None}]}
