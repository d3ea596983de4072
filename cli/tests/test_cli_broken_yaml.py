"""Invalid input, one row each: the error of `inferway compile` and its line, never a traceback."""

import contextlib
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from inferway_cli.main import app

ROUTE = """\
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata:
  name: infer
spec:
  rules:
  - name: infer
    matches:
    - path: {value: /infer}
    backendRefs:
    - url: http://127.0.0.1:8001
"""
POLICY = """\
apiVersion: inferway.dev/v1alpha1
kind: RateLimitPolicy
metadata: {name: limits}
spec:
  limits:
  - {name: all, rate: {requests: 5}, burst: 5, scope: Pod}
"""
SLICE = """\
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s, labels: {kubernetes.io/service-name: s}}
addressType: IPv4
ports: [{port: 80}]
endpoints:
- addresses: [10.0.0.1]
"""
INFER = "document 1, GatewayRoute default/infer, "


def route(old: str, new: str) -> str:
    """The good route with one thing changed."""
    assert old in ROUTE, old
    return ROUTE.replace(old, new)


class Case(NamedTuple):
    name: str
    content: str | bytes
    line: int
    """0: the file as a whole."""
    told: str
    """What follows `FILE:LINE: `, or the beginning of it."""


BOMB = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 10)
)
MERGE_BOMB = "a0: &a0 {k: v}\n" + "".join(
    f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 9)}]}}\n" for level in range(1, 20)
)

CASES = (
    # --- the schema -----------------------------------------------------------------------------------------------------
    Case("wrong type", route("rules:\n", "hostnames: api.example.com\n  rules:\n"), 6, INFER + "spec.hostnames: "),
    Case("text as port", ROUTE.replace("url: http://127.0.0.1:8001", 'name: x\n      port: "80"'), 12, INFER + "spec.rules[0].backendRefs[0].port: '80': must be"),
    Case("unknown field", ROUTE + "    timeout: 5s\n", 12, INFER + "spec.rules[0].timeout: unknown field"),
    Case("snake case", route("backendRefs", "backend_refs"), 10, INFER + "spec.rules[0].backend_refs: unknown field"),
    Case("unknown field at the top", ROUTE + "specs: {}\n", 12, INFER + "specs: unknown field"),
    Case("no spec", ROUTE[: ROUTE.index("spec:")], 1, INFER + "spec: is required"),
    Case("spec is a list", ROUTE[: ROUTE.index("spec:")] + "spec: []\n", 5, INFER + "spec: must be a mapping"),
    Case("no rules", ROUTE[: ROUTE.index("  rules:")] + "  rules: []\n", 6, INFER + "spec.rules: must have at least 1"),
    Case("two rules of one name", ROUTE + ROUTE[ROUTE.index("  - name") :], 5, INFER + "spec: rules must have different names"),
    Case("bad duration", ROUTE + "    timeouts: {request: 1.5s}\n", 12, INFER + "spec.rules[0].timeouts.request: '1.5s' is not a duration"),
    Case("bad size", ROUTE + "    limits:\n      maxRequestBody: 10 MB\n", 13, INFER + "spec.rules[0].limits.maxRequestBody: '10 MB' is not a size"),
    Case("negative weight", ROUTE + "      weight: -1\n", 12, INFER + "spec.rules[0].backendRefs[0].weight: -1: must be"),
    Case("weight with a fraction", ROUTE + "      weight: 0.5\n", 12, INFER + "spec.rules[0].backendRefs[0].weight: 0.5: must be"),
    Case("port out of range", route("url: http://127.0.0.1:8001", "{name: x, port: 70000}"), 11, INFER + "spec.rules[0].backendRefs[0].port: 70000: must be"),
    Case("backend without a port", route("url: http://127.0.0.1:8001", "name: x"), 11, INFER + "spec.rules[0].backendRefs[0]: port is required"),
    Case("upper-case host", route("rules:\n", "hostnames: [API.example.com]\n  rules:\n"), 6, INFER + "spec.hostnames[0]: 'API.example.com' is not a hostname"),
    Case("misspelled type", route("{value: /infer}", "{type: Prefix, value: /infer}"), 9, INFER + "spec.rules[0].matches[0].path.type: 'Prefix' is not one of"),
    Case("unsupported filter", ROUTE + "    filters: [{type: RequestMirror}]\n", 12, INFER + "spec.rules[0].filters[0].type: RequestMirror is not supported"),
    Case("two mistakes told at once", ROUTE + "    a: 1\n    b: 1\n", 13, INFER + "spec.rules[0].b: unknown field"),
    Case("a switch where text is wanted", route("name: infer\nspec", "name: infer\n  labels: {a: on}\nspec"), 5, INFER + "metadata.labels.a: true: must be text"),
    Case("host that is a boolean", route("rules:\n", "hostnames: [on]\n  rules:\n"), 6, INFER + "spec.hostnames[0]: "),
    Case("policy without a scope", POLICY.replace(", scope: Pod", ""), 6, "document 1, RateLimitPolicy default/limits, spec.limits[0].scope: is required"),
    # --- the compiler ---------------------------------------------------------------------------------------------------
    Case("bad pattern", route("{value: /infer}", "{type: RegularExpression, value: '(['}"), 9, INFER + "spec.rules[0].matches[0].path.value: "),
    Case("missing backend", route("url: http://127.0.0.1:8001", "{name: gone, port: 80}"), 11, INFER + "spec.rules[0].backendRefs[0]: "),
    Case("rule without an action", ROUTE[: ROUTE.index("    backendRefs")], 7, INFER + "spec.rules[0]: "),
    Case("policy for a route that is not there", POLICY + "  targetRefs: [{name: gone}]\n", 7, "document 1, RateLimitPolicy default/limits, spec.targetRefs[0]"),
    # --- who it is ------------------------------------------------------------------------------------------------------
    Case("no kind", ROUTE.replace("kind: GatewayRoute\n", ""), 1, "document 1, kind: is required"),
    Case("no apiVersion", ROUTE.replace("apiVersion: inferway.dev/v1alpha1\n", ""), 1, "document 1, apiVersion: is required"),
    Case("kind is a number", route("GatewayRoute", "5"), 2, "document 1, kind: must be text"),
    Case("misspelled kind", route("GatewayRoute", "GatewayRoutes"), 2, "document 1, kind: GatewayRoutes is not a kind of inferway.dev; did you mean GatewayRoute?"),
    Case("wrong version", route("v1alpha1", "v1"), 1, "document 1, apiVersion: inferway.dev/v1 has no GatewayRoute; it belongs to inferway.dev/v1alpha1"),
    Case("misspelled group", route("inferway.dev", "inferway.com"), 1, "document 1, apiVersion: inferway.com/v1alpha1 has no GatewayRoute"),
    Case("misspelled Service", "apiVersion: v1\nkind: Servcie\nmetadata: {name: s}\n", 2, "document 1, kind: Servcie is not a kind that is read; did you mean Service?"),
    Case("old EndpointSlice", SLICE.replace("io/v1", "io/v1beta1"), 1, "document 1, apiVersion: discovery.k8s.io/v1beta1 has no EndpointSlice"),
    Case("no metadata", route("metadata:\n  name: infer\n", ""), 1, "document 1, GatewayRoute ?/?, metadata: is required"),
    Case("no name", route("  name: infer\nspec", "  namespace: demo\nspec"), 3, "document 1, GatewayRoute demo/?, metadata.name: is required"),
    Case("bad name", route("  name: infer\nspec", "  name: In_fer\nspec"), 4, "document 1, GatewayRoute default/In_fer, metadata.name: 'In_fer' is not a name"),
    Case("name is a number", route("  name: infer\nspec", "  name: 5\nspec"), 4, "document 1, GatewayRoute default/?, metadata.name: 5: must be text"),
    Case("bad namespace", route("  name: infer\nspec", "  name: infer\n  namespace: a.b\nspec"), 5, "document 1, GatewayRoute a.b/infer, metadata.namespace: 'a.b' is not a name"),
    Case("misspelled metadata", route("  name: infer\nspec", "  name: infer\n  lables: {}\nspec"), 5, INFER + "metadata.lables: unknown field; did you mean labels?"),
    Case("generateName", route("  name: infer\nspec", "  generateName: infer-\nspec"), 4, "document 1, GatewayRoute default/?, metadata.generateName: names are not generated"),
    Case("bad time", route("  name: infer\nspec", "  name: infer\n  creationTimestamp: 2026-13-01T00:00:00Z\nspec"), 5, INFER + "metadata.creationTimestamp: '2026-13-01T00:00:00Z'"),
    Case("two objects of one name", ROUTE + "---\n" + ROUTE, 13, "document 2, GatewayRoute default/infer: is defined twice; first in FILE:1"),
    Case("two objects, namespace left out and written", ROUTE + "---\n" + route("  name: infer\nspec", "  name: infer\n  namespace: default\nspec"), 13, "document 2, GatewayRoute default/infer: is defined twice"),
    Case("no mapping", "- 1\n- 2\n", 1, "document 1: a manifest is a mapping"),
    Case("a word", "hello\n", 1, "document 1: a manifest is a mapping"),
    Case("broken second document", ROUTE + "---\n# nothing\n---\nx\n", 15, "document 3: a manifest is a mapping"),
    Case("list without items", "apiVersion: v1\nkind: List\n", 1, "document 1, items: a List has its manifests here"),
    Case("mistake inside a list", "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: A}\n  spec: {}\n", 6, "document 1, items[0], Service default/A, metadata.name: 'A' is not a name"),
    # --- Kubernetes' own kinds ------------------------------------------------------------------------------------------
    Case("port of a Service in quotes", "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n  ports:\n  - port: '80'\n", 6, "document 1, Service default/s, spec.ports[0].port: '80': must be"),
    Case("endpoint that is no address", SLICE.replace("10.0.0.1", "localhost"), 7, "document 1, EndpointSlice default/s, endpoints[0].addresses[0]: 'localhost' is not an IP address"),
    Case("grant without to", "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: g}\nspec: {from: []}\n", 4, "document 1, ReferenceGrant default/g, spec.to: is required"),
    # --- YAML -----------------------------------------------------------------------------------------------------------
    Case("duplicate key", ROUTE + "    name: again\n", 12, INFER + "spec.rules[0].name: duplicate key: it is in line 7 and in line 12"),
    Case("number as key", route("  name: infer\nspec", "  name: infer\n  labels:\n    1: a\nspec"), 6, INFER + "metadata.labels: the key 1 is not a string"),
    Case("list as key", ROUTE + "? [a]\n: b\n", 12, "document 1, GatewayRoute default/infer: a list or a mapping cannot be a key"),
    Case("tab", "a:\n\tb: 1\n", 2, "not YAML: "),
    Case("unclosed bracket", ROUTE + "    filters: [\n", 13, "not YAML: "),
    Case("unclosed quote", "a: 'b\n", 2, "not YAML: "),
    Case("bad indentation", "a: 1\n  b: 2\n", 2, "not YAML: "),
    Case("merge of a word", ROUTE + "<<: word\n", 12, "document 1, GatewayRoute default/infer: << takes a mapping"),
    Case("tag of Python", ROUTE + "status: !!python/object/apply:os.system [id]\n", 12, INFER + "status: the tag !!python/object/apply:os.system is not supported"),
    Case("tag of its own", ROUTE + "status: !secret x\n", 12, INFER + "status: the tag !secret is not supported"),
    Case("tag that lies", ROUTE + "status: !!int x\n", 12, INFER + "status: 'x' does not have the type of its tag !!int"),
    Case("alias to nothing", "a: *b\n", 1, "*b refers to nothing"),
    Case("alias to itself", "a: &a\n  b: *a\n", 2, "*a refers to a value that contains it"),
    Case("list inside itself", "&a [*a]\n", 1, "*a refers to a value that contains it"),
    Case("bomb of aliases", BOMB, 6, "more than 250,000 values in one file"),
    Case("bomb of merges", MERGE_BOMB, 7, "more than 250,000 values in one file"),
    Case("many empty documents", "---\n" * 260_000, 250_002, "more than 250,000 values in one file"),
    Case("deep flow", "[" * 10_000, 1, "nested deeper than 100 levels"),
    Case("deep block", "- " * 10_000, 1, "nested deeper than 100 levels"),
    Case("deep keys", "? " * 10_000, 1, "nested deeper than 100 levels"),
    Case("deep through aliases", "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 200)), 100, "nested deeper than 100 levels"),
    Case("not a number", ROUTE + "status: .nan\n", 12, INFER + "status: .nan is a number that JSON cannot express"),
    Case("infinite", ROUTE + "status: -.inf\n", 12, INFER + "status: -.inf is a number"),
    Case("huge float", ROUTE + "status: 1e999\n", 12, INFER + "status: the number is too large for JSON"),
    Case("huge integer", ROUTE + "status: 18446744073709551616\n", 12, INFER + "status: the number has more than 64 bits"),
    Case("endless integer", ROUTE + f"status: {'9' * 100_000}\n", 12, INFER + "status: the number has more than 64 bits"),
    # --- bytes ----------------------------------------------------------------------------------------------------------
    Case("2 MiB", "# " + "x" * (2 << 20), 0, "is larger than 1 MiB; split it"),
    Case("binary", bytes(range(256)) * 4, 2, "the byte 0x80 is not UTF-8"),
    Case("noise", random.Random(1).randbytes(4096), 1, "the byte 0x"),
    Case("NUL", b"a: 1\nb: \x00\n", 2, "the control character U+0000 is not allowed"),
    Case("escape sequence", b"a: \x1b[31m\n", 1, "the control character U+001B is not allowed"),
    Case("Latin-1", "a: 1\nb: café\n".encode("latin-1"), 2, "the byte 0xe9 is not UTF-8"),
    Case("UTF-16", ROUTE.encode("utf-16"), 1, "the file is UTF-16; save it as UTF-8"),
    Case("half a character", 'a: "\\ud800"\n', 1, "not YAML: "),
    Case("escape beyond Unicode", 'a: "\\U00110000"\n', 1, "not YAML: "),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_broken_input_is_reported_with_its_line(case: Case, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(case.content.encode() if isinstance(case.content, str) else case.content)

    result = CliRunner().invoke(app, ["compile", str(file)])

    assert result.exit_code == 1
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    place = f"{file}:{case.line}: " if case.line else f"{file}: "
    expected = place + case.told.replace("FILE", str(file))
    assert any(line.startswith(expected) for line in result.stderr.splitlines()), f"{expected}\n{result.stderr}"


def test_unbroken_templates_compile(tmp_path: Path) -> None:
    for name, text in {"route": ROUTE, "policy": POLICY, "slice": SLICE}.items():
        (tmp_path / f"{name}.yaml").write_text(text)

    result = CliRunner().invoke(app, ["compile", str(tmp_path)])

    assert (result.exit_code, result.stderr) == (0, "")


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


SPECIAL: tuple[tuple[str, Callable[[Path], None], str], ...] = (
    ("pipe", _fifo, "is not a regular file"),
    ("link to itself", _loop, "cannot be read: Too many levels of symbolic links"),
    ("link to nowhere", _dangling, "cannot be read: No such file or directory"),
)


@pytest.mark.parametrize(("make", "told"), [row[1:] for row in SPECIAL], ids=[row[0] for row in SPECIAL])
def test_special_file_is_reported_without_blocking(make: Callable[[Path], None], told: str, tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(ROUTE)
    make(tmp_path / "x.yaml")

    result = CliRunner().invoke(app, ["compile", str(tmp_path)])

    assert result.exit_code == 1
    assert f"{tmp_path / 'x.yaml'}: {told}" in result.stderr


def test_directory_with_a_yaml_suffix_is_read_as_a_directory(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").mkdir()
    (tmp_path / "x.yaml" / "route.yaml").write_text(ROUTE)

    assert CliRunner().invoke(app, ["compile", str(tmp_path)]).exit_code == 0


def test_errors_of_all_files_are_reported_in_one_run(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(ROUTE + "    timeout: 1s\n    retries: 3\n---\n- 1\n---\n*x\n")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe")
    (tmp_path / "c.yaml").write_text(route("name: infer\nspec", "name: c\nspec").replace("/infer", "infer"))
    (tmp_path / "d.yaml").write_text(
        route("name: infer\nspec", "name: d\nspec").replace("{value: /infer}", "{type: RegularExpression, value: '['}")
    )

    stderr = CliRunner().invoke(app, ["compile", str(tmp_path)]).stderr

    for name, line in (("a", 12), ("a", 13), ("a", 15), ("a", 17), ("b", 1), ("c", 9), ("d", 9)):
        assert f"{tmp_path}/{name}.yaml:{line}: " in stderr
    assert stderr.endswith("7 errors\n")


def test_thousands_of_errors_are_reported_as_a_count(tmp_path: Path) -> None:
    fields = "".join(f"  field{number}: 1\n" for number in range(3_000))
    (tmp_path / "x.yaml").write_text(route("spec:\n", f"spec:\n{fields}"))

    stderr = CliRunner().invoke(app, ["compile", str(tmp_path)]).stderr

    assert "GatewayRoute default/infer: ... and 2,950 more" in stderr
    assert len(stderr.splitlines()) < 60


def test_output_escapes_control_characters(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(ROUTE + '"\\e[31mred\\r\\n": 1\n')
    with contextlib.suppress(OSError):
        (tmp_path / "\x1b[32m\udcff.yaml").write_text("- 1\n")

    stderr = CliRunner().invoke(app, ["compile", str(tmp_path)]).stderr

    assert "\\x1b[31mred\\r\\n: unknown field" in stderr
    assert "\x1b" not in stderr
