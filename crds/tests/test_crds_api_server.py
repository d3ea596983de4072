"""The definitions on a real API server: good resources are taken as they are, bad ones are refused with words that help."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mistakes
import pytest
import yaml

from inferway_contract import resources
from inferway_contract.generate import crds as generate_crds
from inferway_envtest import ApiServer
from inferway_envtest.client import Refused
from inferway_testing.until import until

CRDS = Path(__file__).parent.parent
KINDS = sorted(resources.SPECS)
EXAMPLES = {
    path.stem: list(yaml.safe_load_all(path.read_text("utf-8"))) for path in sorted((CRDS / "examples").glob("*"))
}
PASTED = {
    path.stem: yaml.safe_load(path.read_text("utf-8"))
    for path in sorted(Path(__file__).parent.glob("gateway_api_rules/*"))
}
DEFINITIONS = [f"{generate_crds.plural(kind)}.{resources.API_GROUP}" for kind in KINDS]
ROUTE = {"rules": [{"name": "infer"}]}


def manifest(kind: str, spec: Any, name: str = "a") -> str:
    return json.dumps({"apiVersion": "inferway.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})


def specification(kind: str) -> dict[str, Any]:
    [version] = generate_crds.crd(kind)["spec"]["versions"]
    found = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert isinstance(found, dict)
    return found


def versions(api: ApiServer, *arguments: str) -> dict[str, str]:
    """The resource version of each object, which every change of one changes."""
    listed = json.loads(api.kubectl("get", *arguments, "-o", "json").stdout)
    items = listed.get("items", [listed])
    return {f"{item['kind']}/{item['metadata']['name']}": item["metadata"]["resourceVersion"] for item in items}


# --- the definitions --------------------------------------------------------------------------------------------------


def test_crds_are_accepted_by_kubectl_apply(api_server: ApiServer) -> None:
    result = api_server.kubectl("apply", "-f", str(CRDS))
    assert [line.split()[0].partition("/")[2] for line in result.stdout.splitlines()] == DEFINITIONS
    again = api_server.kubectl("apply", "-f", str(CRDS))
    assert [line.split()[-1] for line in again.stdout.splitlines()] == ["unchanged"] * len(DEFINITIONS)


def test_crds_have_no_failing_condition(api_server: ApiServer) -> None:
    for name in DEFINITIONS:
        found = api_server.ask("GET", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")
        conditions = {one["type"]: one["status"] for one in found["status"]["conditions"]}
        assert conditions == {"NamesAccepted": "True", "Established": "True"}


def test_repeated_server_side_apply_changes_nothing(api_server: ApiServer, namespace: str) -> None:
    resource = manifest("GatewayRoute", ROUTE)
    api_server.apply(CRDS)
    api_server.kubectl("apply", "--server-side", "-n", namespace, "-f", "-", input=resource)
    status = {"status": {"conditions": CONDITIONS}}
    path = f"/apis/inferway.dev/v1alpha1/namespaces/{namespace}/gatewayroutes/a/status"
    api_server.ask("PATCH", path, status, "application/merge-patch+json")  # what the operator does at once
    before = versions(api_server, "crd", *DEFINITIONS), versions(api_server, "gwr", "a", "-n", namespace)
    api_server.apply(CRDS)
    api_server.kubectl("apply", "--server-side", "-n", namespace, "-f", "-", input=resource)
    assert (versions(api_server, "crd", *DEFINITIONS), versions(api_server, "gwr", "a", "-n", namespace)) == before


def test_stored_resources_survive_replaced_crds(api_server: ApiServer, namespace: str) -> None:
    api_server.kubectl("apply", "-n", namespace, "-f", "-", input=manifest("GatewayRoute", ROUTE))
    for kind in KINDS:
        api_server.kubectl("replace", "-f", str(CRDS / f"{generate_crds.plural(kind)}.yaml"))
    api_server.kubectl("label", "gwr", "a", "a=b", "-n", namespace)
    found = json.loads(api_server.kubectl("get", "gwr", "a", "-n", namespace, "-o", "json").stdout)
    resources.SPECS["GatewayRoute"].model_validate(found["spec"])
    assert found["metadata"]["labels"] == {"a": "b"}


@pytest.mark.parametrize("field", ["gwr.spec.hostnames", "rlp.spec.limits.burst"])
def test_kubectl_explain_describes_the_field(field: str, api_server: ApiServer) -> None:
    # Documentation follows a definition by a second or so.
    until(lambda: api_server.kubectl("explain", field, check=False).code == 0, f"{field} is explained", 30)
    assert "DESCRIPTION:" in api_server.kubectl("explain", field).stdout


# --- good resources ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo(api_server: ApiServer) -> dict[tuple[str, str], dict[str, Any]]:
    """All examples, applied; each object as the server gave it back, by kind and name."""
    api_server.kubectl("create", "namespace", "demo")
    result = api_server.kubectl("apply", "-f", str(CRDS / "examples"), "-o", "json")
    assert result.stderr == ""
    return {(item["kind"], item["metadata"]["name"]): item for item in json.loads(result.stdout)["items"]}


@pytest.mark.parametrize("name", EXAMPLES)
def test_stored_example_equals_its_manifest(name: str, demo: dict[tuple[str, str], dict[str, Any]]) -> None:
    for written in EXAMPLES[name]:
        kept = demo[written["kind"], written["metadata"]["name"]]["spec"]
        assert kept == written["spec"]


@pytest.mark.parametrize("manner", ["--server-side=false", "--server-side"])
def test_second_apply_of_the_examples_changes_nothing(manner: str, api_server: ApiServer, demo: dict[Any, Any]) -> None:
    # Server-side apply writes down its field manager, the first time.
    api_server.kubectl(
        "apply", manner, "--force-conflicts=" + str(manner == "--server-side").lower(), "-f", str(CRDS / "examples")
    )
    before = versions(api_server, "gwr,rlp", "-n", "demo")
    assert len(before) == len(demo)
    api_server.kubectl("apply", manner, "-f", str(CRDS / "examples"))
    assert versions(api_server, "gwr,rlp", "-n", "demo") == before


def test_rules_copied_from_gateway_api_are_accepted(api_server: ApiServer, namespace: str) -> None:
    text = "\n---\n".join(manifest("GatewayRoute", spec, name.replace("_", "-")) for name, spec in PASTED.items())
    result = api_server.kubectl("apply", "-n", namespace, "-f", "-", input=text)
    assert result.stderr == ""
    assert len(result.stdout.splitlines()) == len(PASTED)


# --- bad resources ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mistake", mistakes.TABLE, ids=mistakes.NAMES)
def test_invalid_resource_is_rejected_with_the_listed_causes(mistake: dict[str, Any], api_server: ApiServer) -> None:
    kind, spec = mistakes.resource(mistake)
    path = f"/apis/inferway.dev/v1alpha1/namespaces/default/{generate_crds.plural(kind)}"
    # The request of kubectl; the next test checks that kubectl prints these words.
    request = f"{path}?dryRun=All&fieldValidation=Strict"
    try:
        api_server.ask("POST", request, json.loads(manifest(kind, spec)))
        listed = []
    except Refused as refused:
        listed = mistakes.rejections(mistakes.kubectl_output(refused.status))
    assert listed == sorted(mistake["kubectl"])


@pytest.mark.parametrize("mistake", mistakes.TABLE[::5], ids=mistakes.NAMES[::5])
def test_kubectl_prints_the_listed_messages(mistake: dict[str, Any], api_server: ApiServer, namespace: str) -> None:
    bad = manifest(*mistakes.resource(mistake))
    result = api_server.kubectl("apply", "-n", namespace, "-f", "-", input=bad, check=False)
    assert result.code == 1
    assert mistakes.rejections(result.stderr) == sorted(mistake["kubectl"])


def test_table_rejects_all_cases_except_empty_values() -> None:
    assert len([mistake for mistake in mistakes.TABLE if mistake["kubectl"]]) > 150
    accepted = [mistake for mistake in mistakes.TABLE if not mistake["kubectl"]]
    assert all(
        line.endswith("is empty: give it a value or remove it") for mistake in accepted for line in mistake["compiler"]
    )


def test_messages_of_crd_and_compiler_are_the_same(api_server: ApiServer) -> None:
    """Both give the message of a rule or a form; only the compiler also shows the value."""
    ours = {rule["message"] for kind in KINDS for rule in rules(specification(kind))}
    shared = {line for mistake in mistakes.TABLE for line in mistake["kubectl"] if line.partition(": ")[2] in ours}
    assert len(shared) > 40
    for mistake in mistakes.TABLE:
        for line in set(mistake["kubectl"]) & shared:
            place, _, words = line.partition(": ")
            messages = [text for text in mistake["compiler"] if text.startswith((f"{place}: ", f"{place}."))]
            assert any(words in text or "must not be empty" in text for text in messages), line


def rules(node: dict[str, Any]) -> list[dict[str, str]]:
    below = [*node.get("properties", {}).values(), *([node["items"]] if "items" in node else [])]
    return [*node.get("x-kubernetes-validations", ()), *(rule for child in below for rule in rules(child))]


@pytest.mark.parametrize("kind", KINDS)
def test_update_is_validated_like_a_create(kind: str, api_server: ApiServer, namespace: str) -> None:
    good = {"GatewayRoute": ROUTE, "RateLimitPolicy": {"limits": [mistakes.LIMIT]}}[kind]
    api_server.kubectl("apply", "-n", namespace, "-f", "-", input=manifest(kind, good))
    result = api_server.kubectl(
        "apply", "-n", namespace, "-f", "-", input=manifest(kind, {**good, "hostname": "a"}), check=False
    )
    assert 'unknown field "spec.hostname"' in result.stderr


def test_resource_without_a_spec_is_rejected(api_server: ApiServer) -> None:
    text = json.dumps({"apiVersion": "inferway.dev/v1alpha1", "kind": "GatewayRoute", "metadata": {"name": "a"}})
    result = api_server.kubectl("create", "--dry-run=server", "-f", "-", input=text, check=False)
    assert mistakes.rejections(result.stderr) == ["spec: Required value"]


# --- status and columns -----------------------------------------------------------------------------------------------

CONDITIONS = [
    {"type": kind, "status": status, "reason": "Any", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    for kind, status in (("Ready", "False"), ("Accepted", "True"), ("Programmed", "False"))
]


def test_printer_columns_show_the_status(api_server: ApiServer, namespace: str) -> None:
    route = manifest("GatewayRoute", {**ROUTE, "hostnames": ["a.example", "b.example"]})
    policy = {"targetRefs": [{"kind": "GatewayRoute", "name": "a"}, {"kind": "GatewayRoute", "name": "b"}]}
    limits = manifest("RateLimitPolicy", {**policy, "limits": [mistakes.LIMIT]})
    api_server.kubectl("apply", "-n", namespace, "-f", "-", input=f"{route}\n---\n{limits}")
    for plural in (generate_crds.plural(kind) for kind in KINDS):
        path = f"/apis/inferway.dev/v1alpha1/namespaces/{namespace}/{plural}/a/status"
        resolved = {**CONDITIONS[1], "type": "ResolvedRefs" if plural == "gatewayroutes" else "TargetsResolved"}
        block = {"applied": 2, "total": 3, "pods": "2/3", "revision": "0123456789"}
        found = {"conditions": [*CONDITIONS, resolved], "dataPlane": block}
        api_server.ask("PATCH", path, {"status": found}, "application/merge-patch+json")
    tables = {}
    for short in ("gwr", "rlp"):
        for width, flags in (("", ()), ("wide", ("-o", "wide"))):
            head, row = api_server.kubectl("get", short, "-n", namespace, *flags).stdout.splitlines()
            tables[short + width] = dict(zip(head.split(), row.split(), strict=True))
    for table in tables.values():
        assert table.pop("AGE").endswith("s")
    narrow = {"NAME": "a", "READY": "False", "ACCEPTED": "True", "PROGRAMMED": "False", "PODS": "2/3"}
    wide = {**narrow, "REASON": "Any", "RESOLVED": "True", "REVISION": "0123456789"}
    assert tables == {
        "gwr": narrow,
        "rlp": narrow,
        "gwrwide": {**wide, "HOSTNAMES": '["a.example","b.example"]'},
        "rlpwide": {**wide, "TARGETS": "a"},
    }


@pytest.mark.parametrize("kind", KINDS)
def test_object_without_the_operator_is_not_ready_yet(kind: str, api_server: ApiServer, namespace: str) -> None:
    """kstatus takes an object of an unknown kind without any condition for ready."""
    spec = ROUTE if kind == "GatewayRoute" else {"limits": [mistakes.LIMIT]}
    api_server.kubectl("apply", "-n", namespace, "-f", "-", input=manifest(kind, spec))
    path = f"/apis/inferway.dev/v1alpha1/namespaces/{namespace}/{generate_crds.plural(kind)}/a"
    (ready,) = api_server.ask("GET", path)["status"]["conditions"]
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "Unknown", "Pending")


def test_kubectl_get_accepts_both_kinds_and_the_category(api_server: ApiServer, namespace: str) -> None:
    text = f"{manifest('GatewayRoute', ROUTE)}\n---\n{manifest('RateLimitPolicy', {'limits': [mistakes.LIMIT]})}"
    api_server.kubectl("apply", "-n", namespace, "-f", "-", input=text)
    together = api_server.kubectl("get", "gwr,rlp", "-n", namespace, "-o", "name").stdout.split()
    assert together == ["gatewayroute.inferway.dev/a", "ratelimitpolicy.inferway.dev/a"]
    assert sorted(api_server.kubectl("get", "inferway", "-n", namespace, "-o", "name").stdout.split()) == together


def test_status_and_spec_are_updated_separately(api_server: ApiServer, namespace: str) -> None:
    api_server.kubectl("apply", "-n", namespace, "-f", "-", input=manifest("GatewayRoute", ROUTE))
    path = f"/apis/inferway.dev/v1alpha1/namespaces/{namespace}/gatewayroutes/a"
    patch = {"spec": {"rules": []}, "status": {"observedGeneration": 1, "conditions": CONDITIONS}}
    found = api_server.ask("PATCH", f"{path}/status", patch, "application/merge-patch+json")
    assert [rule["name"] for rule in found["spec"]["rules"]] == ["infer"]
    assert found["metadata"]["generation"] == 1
    ignored = api_server.ask("PATCH", path, {"status": {"observedGeneration": 9}}, "application/merge-patch+json")
    assert ignored["status"]["observedGeneration"] == 1
