"""Objects become templates: names, conditions, values."""

from __future__ import annotations

import pytest
import yaml

from inferway_chart import chart, names, templates, values
from inferway_chart.parameters import OBJECTS, PARAMETERS
from inferway_chart.rendering import SUFFIX, Manifest
from inferway_chart.template_text import Action, When, text
from inferway_operator.world.hostname_policy import HostnameRule


def test_object_without_actions_is_plain_yaml() -> None:
    item = {"a": {"b": [1, "x", {"c": "yes"}, []], "d": {}, "e": True}, "f": 'quote " and {', "0": None, "n": "1e3"}
    assert yaml.safe_load(text(item)) == item


def test_condition_surrounds_the_field_and_the_item() -> None:
    item = {"a": When(".Values.x", [When("not .Values.y", {"b": Action("toJson .Values.z")})])}
    assert text(item) == (
        "{{- if .Values.x }}\na:\n{{- if not .Values.y }}\n  -\n    b: {{ toJson .Values.z }}\n{{- end }}\n{{- end }}\n"
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (f"inferway-gateway{SUFFIX}", "inferway-gateway{{ .Values.nameSuffix }}"),
        (
            f"inferway-gateway-settings{SUFFIX}-0123456789",
            "{{ include `inferway.configMapName` (list $ `gateway-settings`) }}",
        ),
        ("kubectl -n inferway-system get pods", "kubectl -n {{ .Values.namespaces.gateway }} get pods"),
        ("inferway-operator/inferway-webhook", "{{ .Values.namespaces.operator }}/inferway-webhook"),
        ("inferway-operator", "inferway-operator"),
        ("pod {{ $labels.pod }}", "pod {{ `{{` }} $labels.pod }}"),
    ],
)
def test_names_become_actions(given: str, expected: str) -> None:
    assert names.with_actions({"a": [given]}) == {"a": [expected]}


def test_operator_namespace_is_replaced_in_its_fields_only() -> None:
    item = {"metadata": {"name": "inferway-operator", "namespace": "inferway-operator"}}
    changed = names.with_actions(item)["metadata"]
    assert changed == {"name": "inferway-operator", "namespace": names.OPERATOR}


def test_missing_required_field_stops_the_tool() -> None:
    policy: Manifest = {
        "kind": "NetworkPolicy",
        "metadata": {"name": f"inferway-operator{SUFFIX}", "namespace": "inferway-operator"},
        "spec": {"egress": []},
    }
    with pytest.raises(LookupError, match="NetworkPolicy inferway-operator has no"):
        list(templates.of([policy], []))


@pytest.mark.parametrize(
    ("package", "expected"),
    [("0.2.0", "0.2.0"), ("0.2.0rc1", "0.2.0-rc.1"), ("1.0.0a2", "1.0.0-alpha.2"), ("1.0.0b3", "1.0.0-beta.3")],
)
def test_version_follows_semantic_versioning(package: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart, "__version__", package)
    assert chart.version() == expected


def test_unknown_form_of_a_version_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart, "__version__", "0.2.0.dev1")
    with pytest.raises(ValueError, match=r"MAJOR\.MINOR\.PATCH"):
        chart.version()


@pytest.fixture(scope="module")
def content() -> dict[str, str]:
    """Return the chart's files."""
    return chart.files()


def test_values_have_every_parameter_and_condition(content: dict[str, str]) -> None:
    """Require each value that templates read in values.yaml, where users look for it, and in the schema."""
    tree, schema = yaml.safe_load(content["values.yaml"]), chart.schema()
    read = {parameter.value for parameter in PARAMETERS}
    read |= {condition.removeprefix(".Values.") for condition in OBJECTS.values() if condition.startswith(".Values.")}
    for path in read:
        node, described = tree, schema
        for step in path.split("."):
            assert step in node, path
            node = node[step]
            described = _resolved(described, schema)["properties"][step]


def test_settings_of_the_chart_are_not_values() -> None:
    allowed = chart.schema()["$defs"]["operatorSettings"]["propertyNames"]["enum"]
    assert "INFERWAY_OPERATOR_NAMESPACES" in allowed
    assert not [name for name in allowed if values.is_set_by_the_chart(name)]


def test_hostname_policy_has_the_fields_of_the_operator() -> None:
    entry = chart.schema()["properties"]["hostnamePolicy"]["items"]
    model = HostnameRule.model_json_schema(by_alias=True)
    assert set(entry["properties"]) == set(model["properties"])
    assert entry["required"] == model["required"]


def test_every_object_is_a_template_of_its_own(content: dict[str, str]) -> None:
    paths = [path for path in content if path.startswith("templates/") and path.count("/") == 2]
    assert len(paths) > 35
    assert all("zsuffixz" not in content[path] and "zgatewayz" not in content[path] for path in paths)


def _resolved(node: Manifest, schema: Manifest) -> Manifest:
    reference = node.get("$ref", "").rpartition("/")[2]
    found: Manifest = schema["$defs"][reference] if reference else node
    return found
