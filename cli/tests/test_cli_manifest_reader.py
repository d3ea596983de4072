"""From bytes to manifests: lines, aliases, merges, and no exception for any bytes at all."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inferway_cli.manifests import compilation as manifest_compilation
from inferway_cli.manifests import kinds, reader, yaml_composer, yaml_constructor
from inferway_cli.manifests.diagnostics import Diagnostic, lines
from inferway_testing.examples import examples

HEAD = "apiVersion: inferway.dev/v1alpha1\nkind: GatewayRoute\nmetadata: {name: a}\n"


@pytest.fixture(params=["libyaml", "python"])
def _parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = yaml.SafeLoader if request.param == "python" else getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    monkeypatch.setattr(yaml_composer, "_Composer", yaml_composer.composer_class(loader))


def load(*texts: str | bytes) -> reader.Loaded:
    return reader.load(
        reader.File(f"{number}.yaml", text.encode() if isinstance(text, str) else text)
        for number, text in enumerate(texts)
    )


def report(diagnostics: Sequence[Diagnostic]) -> str:
    return "\n".join(lines(diagnostics))


def value(text: str) -> tuple[object, list[yaml_constructor.Fault]]:
    ((_, root),) = yaml_composer.documents(yaml_composer.decode(text.encode()))
    faults: list[yaml_constructor.Fault] = []
    return yaml_constructor.construct(root, (), faults), faults


@pytest.mark.usefixtures("_parser")
def test_yaml_values_load_with_their_types() -> None:
    text = """\
    plain: [1, two, null, 3.5, yes]
    quoted: ['1', "yes", ""]
    block: |
      1
    folded: >-
      a
      b
    tagged: [!!str 1, !!int "1", !!float 1, !!null "", !!bool true, ! 5]
    map: !!map {a: !!seq [b]}
    empty:
    """
    assert value(text) == (
        {
            "plain": [1, "two", None, 3.5, True],
            "quoted": ["1", "yes", ""],
            "block": "1\n",
            "folded": "a b",
            "tagged": ["1", 1, 1, None, True, "5"],
            "map": {"a": ["b"]},
            "empty": None,
        },
        [],
    )


@pytest.mark.usefixtures("_parser")
def test_aliases_and_merge_keys_are_resolved() -> None:
    text = """\
    base: &base {a: 1, b: 2}
    other: &other {b: 3, c: 3}
    one: {<<: *base, b: 4}
    both: {<<: [*base, *other]}
    twice: {<<: *other, <<: *base}
    quoted: {"<<": 1}
    list: [*base, *base]
    """
    found, faults = value(text)

    assert isinstance(found, dict)
    assert found["one"] == {"a": 1, "b": 4}
    assert found["both"] == {"a": 1, "b": 2, "c": 3}
    assert found["twice"] == {"a": 1, "b": 3, "c": 3}
    assert found["quoted"] == {"<<": 1}
    assert found["list"] == [{"a": 1, "b": 2}] * 2
    assert faults == []


@pytest.mark.usefixtures("_parser")
def test_line_is_located_through_aliases_and_merge_keys() -> None:
    text = "a: &a\n  b: 1\nc:\n  - *a\n  -\n    <<: *a\n    d: 2\n"
    ((_, root),) = yaml_composer.documents(text)

    def line(*path: str | int) -> int:
        return yaml_constructor.locate(root, path)[0]

    assert line("c") == 3
    assert line("c", 0, "b") == 2
    assert line("c", 1, "b") == 2
    assert line("c", 1, "d") == 7
    # A missing field is located at its parent.
    assert line("c", 1, "missing", 5, "x") == line("c", 1)
    assert line("c", 9) == 3


@pytest.mark.usefixtures("_parser")
def test_anchor_of_an_earlier_document_is_undefined() -> None:
    assert "*a refers to nothing" in report(load("a: &a 1\n---\nb: *a\n").errors)


@pytest.mark.usefixtures("_parser")
def test_empty_documents_are_numbered_and_skipped() -> None:
    loaded = load("---\n---\n# only a comment\n---\nnull\n---\nx\n")

    assert [mistake.where for mistake in loaded.errors] == [("document 3",), ("document 4",)]


@pytest.mark.usefixtures("_parser")
def test_byte_order_mark_and_crlf_keep_line_numbers() -> None:
    text = "\ufeff" + (HEAD + "spec: {rules: []}\n").replace("\n", "\r\n")

    (mistake,) = load(text).errors

    assert (mistake.line, mistake.path) == (4, ("spec", "rules"))


def test_json_manifest_is_loaded() -> None:
    manifest = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}}

    (found,) = load(json.dumps(manifest, indent=2)).manifests

    assert (found.kind, found.namespace, found.name, found.value["spec"]) == (
        "Service",
        "default",
        "a",
        manifest["spec"],
    )


def test_nested_lists_load_as_their_items() -> None:
    item = "{apiVersion: v1, kind: Service, metadata: {name: NAME}, spec: {}}"
    text = "{apiVersion: v1, kind: List, items: [A, {apiVersion: v1, kind: List, items: [B]}]}"
    text = text.replace("A,", item.replace("NAME", "a") + ",").replace("[B]", f"[{item.replace('NAME', 'b')}]")

    loaded = load(text)

    assert [(found.name, found.where) for found in loaded.manifests] == [
        ("a", ("document 1", "items[0]")),
        ("b", ("document 1", "items[1]", "items[0]")),
    ]


def test_output_of_kubectl_get_is_loaded() -> None:
    text = """\
    apiVersion: v1
    kind: Service
    metadata:
      name: a
      namespace: demo
      uid: 0e2a5c6e-7a0d-4e0e-9d70-6c8f0f0b7c11
      resourceVersion: "1234"
      generation: 2
      creationTimestamp: 2026-01-31T12:00:00Z
      labels: {app: a}
      annotations: {note: "x"}
      managedFields: [{manager: kubectl}]
      ownerReferences: []
    spec: {clusterIP: 10.0.0.1, ports: [{port: 80, targetPort: http, protocol: TCP}], type: ClusterIP}
    status: {loadBalancer: {}}
    """
    loaded = load(text)

    assert not loaded.errors
    assert loaded.manifests[0].namespace == "demo"


STRANGERS = (
    "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}}",
    "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {9000: x, on: y, on: z}}",
    "{apiVersion: v1, kind: ServiceAccount}",
    "{apiVersion: v1, kind: Endpoints}",
    "{apiVersion: serving.knative.dev/v1, kind: Service}",
    "{apiVersion: kuadrant.io/v1, kind: RateLimitPolicy}",
    "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, spec: !reference [a]}",
    "{apiVersion: kustomize.config.k8s.io/v1beta1, kind: Kustomization}",
)


@pytest.mark.parametrize("text", STRANGERS)
def test_foreign_kinds_are_skipped_with_a_note(text: str) -> None:
    loaded = load(text)

    assert (loaded.errors, loaded.manifests) == ((), ())
    assert f"is skipped; the kinds read here are {kinds.KNOWN}" in report(loaded.notes)


def test_object_defined_twice_is_reported_with_both_places() -> None:
    text = "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {}}"

    assert report(load(text, f"# one\n{text}").errors) == (
        "1.yaml:2: document 1, Service default/a: is defined twice; first in 0.yaml:1"
    )


TOKENS = st.sampled_from(
    [
        *HEAD.splitlines(keepends=True),
        *("spec:\n", "  rules:\n", "  - name: b\n", "kind: List\napiVersion: v1\nitems:\n", "- *a\n", "a: &a\n"),
        *("- ", ": ", "? ", "&a ", "*a", "<<: *a\n", "{", "}", "[", "]", ",", "\n", "\t", " ", "---\n", "...\n"),
        *("!!str ", "!!python/object:os.system ", "!<tag:x> ", "'", '"', "|\n", ">\n", "%YAML 1.1\n", "%TAG ! x\n"),
        *("\\U00110000", "\\ud800", "\\x00", "null", "1e999", "0x", "é", "\u2028", "\x85", "#c\n", "@", "`", "\x00"),
    ]
)
TEXTS = st.lists(TOKENS, max_size=40).map("".join)


@pytest.mark.usefixtures("_parser")
@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=300),
        st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")),
        TEXTS.map(str.encode),
        TEXTS.map(lambda text: f'"{text}"'.encode()),
    )
)
def test_any_bytes_load_without_an_exception(content: bytes) -> None:
    loaded = load(content)

    report([*loaded.errors, *loaded.notes]).encode()


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["hostnames", "rules", "name", "matches", "path", "type", "value", "headers", "filters", "backendRefs", "url", "port",
     "weight", "timeouts", "request", "limits", "rate", "per", "burst", "targetRefs", "key", "metadata", "spec", "ports",
     "endpoints", "addresses", "from", "to"]
)  # fmt: skip
SPECS: st.SearchStrategy[Any] = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=examples(100), deadline=None)
@given(st.sampled_from(sorted(kinds.VERSIONS)), VALUES | st.just({"name": "a"}), st.dictionaries(FIELDS, SPECS), SPECS)
def test_any_manifest_compiles_without_an_exception(kind: str, meta: Any, top: dict[str, Any], spec: Any) -> None:
    manifest = {**top, "apiVersion": kinds.VERSIONS[kind][0], "kind": kind, "metadata": meta, "spec": spec}
    # JSON's escapes are YAML's. NaN is read as text.
    loaded = load(json.dumps(manifest))

    compilation = manifest_compilation.compile_manifests(loaded.manifests)

    findings = manifest_compilation.findings(compilation, loaded.manifests)
    report([*loaded.errors, *(diagnostic for _, diagnostic in findings)])
