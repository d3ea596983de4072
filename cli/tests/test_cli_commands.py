"""The commands as a shell sees them: output, exit codes, pipes that break, and never a traceback."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer import BadParameter
from typer.testing import CliRunner

from inferway_cli.commands import run as run_command
from inferway_cli.commands import validate as validate_command
from inferway_cli.main import app
from inferway_cli.manifests import compilation, files, reader
from inferway_contract import __version__
from inferway_dataplane.settings import Settings
from inferway_testing.client import ask
from inferway_testing.process import Process, environment
from inferway_testing.until import until

INFERWAY = [sys.executable, "-c", "from inferway_cli.main import run; run()"]

ROUTE = """\
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {name: infer}
spec:
  rules:
  - name: hello
    filters: [{type: DirectResponse, directResponse: {statusCode: 200, body: "one"}}]
"""
UNRESOLVED = ROUTE + "  - matches: [{path: {value: /gone}}]\n    backendRefs: [{name: gone, port: 80}]\n"
BROKEN = ROUTE + "    timeout: 1s\n"
DEPLOYMENT = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}}"


def inferway(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
    """Run a command in this process."""
    result = CliRunner().invoke(app, arguments, input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "route.yaml").write_text(ROUTE)
    return tmp_path


def test_validate_of_valid_files_prints_the_counts(folder: Path) -> None:
    (folder / "service.yaml").write_text("{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {}}\n")

    assert inferway("validate", str(folder)) == (0, "OK: 2 manifests (1 GatewayRoute, 1 Service) in 2 files\n", "")


def test_validate_warns_of_skipped_and_unresolved_objects(folder: Path) -> None:
    path = folder / "route.yaml"
    path.write_text(f"{UNRESOLVED}---\n{DEPLOYMENT}\n")

    code, stdout, stderr = inferway("validate", str(path))

    assert (code, stdout) == (0, "OK: 1 manifest (1 GatewayRoute) in 1 file\n")
    assert [line.partition(", ")[0] for line in stderr.splitlines()] == [
        f"warning: {path}:9: document 1",
        f"warning: {path}:11: document 2: Deployment (apps/v1) is skipped; the kinds read here are GatewayRoute",
    ]


def test_validate_on_a_terminal_prints_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "route.yaml").write_text(UNRESOLVED)
    loaded = reader.load(files.gather([str(folder)]))

    validate_command.show_table(compilation.compile_manifests(loaded.manifests))

    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["Kind", "Namespace/Name", "Accepted", "Resolved"]
    assert row.split() == ["GatewayRoute", "default/infer", "Accepted", "BackendNotFound"]


def test_validate_of_foreign_kinds_only_succeeds() -> None:
    assert inferway("validate", "-", stdin=DEPLOYMENT)[:2] == (0, "OK: 0 manifests in 1 file\n")


@pytest.mark.parametrize("text", ["", "\n# nothing\n", "---\n---\n"])
def test_validate_of_empty_input_fails(text: str) -> None:
    code, stdout, stderr = inferway("validate", "-", stdin=text)

    assert (code, stdout) == (1, "")
    assert stderr.startswith("<stdin>: is empty; the kinds read here are GatewayRoute, RateLimitPolicy, Service")


def test_strict_validate_fails_for_warnings() -> None:
    code, stdout, stderr = inferway("validate", "--strict", "-", stdin=UNRESOLVED)

    assert (code, stdout) == (1, "")
    assert stderr.splitlines()[-1] == "1 warning, which --strict does not accept"
    assert inferway("validate", "--strict", "-", stdin=ROUTE)[0] == 0


def test_validate_as_json_has_every_part_of_a_diagnostic(folder: Path) -> None:
    path = folder / "route.yaml"
    path.write_text(f"{UNRESOLVED}---\n{DEPLOYMENT}\n---\n- 1\n")

    code, stdout, stderr = inferway("validate", "-o", "json", str(folder))

    report = json.loads(stdout)
    assert (code, stderr) == (1, "")
    assert {name: report[name] for name in ("ok", "files", "manifests")} == {"ok": False, "files": 1, "manifests": 1}
    assert report["errors"] == [
        {
            "file": str(path),
            "line": 13,
            "object": "document 3",
            "field": None,
            "message": "a manifest is a mapping with apiVersion, kind and metadata",
        }
    ]
    assert [warning["line"] for warning in report["warnings"]] == [11]


@pytest.mark.parametrize(("strict", "code"), [((), 0), (("--strict",), 1)])
def test_validate_as_json_agrees_with_the_exit_code(strict: tuple[str, ...], code: int) -> None:
    ended, stdout, _ = inferway("validate", "-o", "json", *strict, "-", stdin=UNRESOLVED)

    report = json.loads(stdout)
    assert (ended, report["ok"]) == (code, code == 0)
    (warning,) = report["warnings"]
    assert (warning["line"], warning["field"]) == (9, "spec.rules[1].backendRefs[0]")
    assert warning["object"] == "document 1, GatewayRoute default/infer"


def test_validate_names_the_nearest_service() -> None:
    service = "---\n{apiVersion: v1, kind: Service, metadata: {name: gome}, spec: {ports: [{port: 80}]}}\n"

    _, _, stderr = inferway("validate", "-", stdin=UNRESOLVED + service)

    assert "Service default/gone not found; did you mean gome?" in stderr


@pytest.mark.parametrize(
    ("value", "fix"),
    [
        ("/infer/*", "write PathPrefix /infer, which has everything below it, or use a RegularExpression"),
        ("/*", "write PathPrefix /, which has everything below it, or use a RegularExpression"),
        ("/a/*/b", "use a RegularExpression"),
    ],
)
def test_asterisk_in_a_path_is_a_warning(value: str, fix: str) -> None:
    route = ROUTE.replace("    filters", f"    matches: [{{path: {{value: '{value}'}}}}]\n    filters")

    code, _, stderr = inferway("validate", "-", stdin=route)

    place = "warning: <stdin>:7: document 1, GatewayRoute default/infer, spec.rules[0].matches[0].path.value: "
    assert (code, stderr) == (0, f"{place}'{value}': '*' is not a wildcard here, it matches only itself: {fix}\n")


def test_match_of_an_earlier_rule_is_a_warning() -> None:
    redirect = "filters: [{type: RequestRedirect, requestRedirect: {hostname: a.example}}]"
    matches = "matches: [{path: {value: /a}}, {path: {value: /%s}}]"
    rules = "".join(
        f"\n  - {{name: {name}, {matches % path}, {redirect}}}" for name, path in (("one", "b"), ("two", "c"))
    )
    head = "apiVersion: inferway.dev/v1alpha1\nkind: GatewayRoute\nmetadata: {name: a}\nspec:\n  hostnames: [a.b, c.d]\n  rules:"

    code, _, stderr = inferway("validate", "-", stdin=head + rules)

    place = "warning: <stdin>:8: document 1, GatewayRoute default/a, spec.rules[1].matches[0]: "
    message = "rule 'one' has the same match, and gets the requests: remove one of them"
    assert (code, stderr) == (0, f"{place}{message}\n")


def test_errors_are_sorted_by_file_and_line(folder: Path) -> None:
    pattern = "  - matches: [{path: {type: RegularExpression, value: '('}}]\n    filters: *same\n"
    text = ROUTE.replace("filters: ", "filters: &same ") + pattern
    (folder / "b.yaml").write_text(text.replace("{name: infer}", "{name: b, labels: {a: 1}}") + "    retries: 1\n")
    (folder / "a.yaml").write_text(text.replace("name: infer", "name: a"))

    _, _, stderr = inferway("validate", str(folder / "b.yaml"), str(folder / "a.yaml"))

    places = [line.partition(": ")[0] for line in stderr.splitlines()]
    assert places == [
        f"{folder}/a.yaml:8",
        f"{folder}/b.yaml:3",
        f"{folder}/b.yaml:8",
        f"{folder}/b.yaml:10",
        "4 errors",
    ]
    code, _, on_start = inferway("run", str(folder))
    assert (code, on_start.splitlines()) == (1, stderr.splitlines()[:-1])


def test_validate_prints_errors_on_standard_error(folder: Path) -> None:
    (folder / "route.yaml").write_text(BROKEN)

    code, stdout, stderr = inferway("validate", str(folder))

    assert (code, stdout) == (1, "")
    assert stderr.splitlines()[0].startswith(f"{folder}/route.yaml:8: document 1, GatewayRoute default/infer, ")
    assert stderr.splitlines()[-1] == "1 error"


def test_dash_reads_standard_input() -> None:
    assert inferway("validate", "-", stdin=ROUTE)[0] == 0
    assert inferway("compile", "-", "-", stdin=ROUTE)[0] == 0
    code, _, stderr = inferway("validate", "-", stdin=BROKEN)
    assert code == 1
    assert stderr.startswith("<stdin>:8: document 1, GatewayRoute default/infer, spec.rules[0].timeout: unknown field")


@pytest.mark.parametrize(("arguments", "read"), [((), yaml.safe_load), (("-o", "json"), json.loads)])
def test_compile_prints_config_endpoints_and_conditions(arguments: tuple[str, ...], read: object, folder: Path) -> None:
    code, stdout, stderr = inferway("compile", *arguments, str(folder))

    shown = read(stdout)  # type: ignore[operator]
    assert (code, stderr) == (0, "")
    assert list(shown) == ["revision", "config", "endpoints", "conditions"]
    assert shown["config"]["routes"][0]["rules"][0]["respond"]["body"] == "one"
    assert [condition["type"] for condition in shown["conditions"][0]["conditions"]] == ["Accepted", "ResolvedRefs"]


def test_compile_with_an_unresolved_backend_prints_the_config(folder: Path) -> None:
    (folder / "route.yaml").write_text(UNRESOLVED)

    code, stdout, stderr = inferway("compile", str(folder))

    assert code == 1
    assert "BackendNotFound" in stdout
    assert f"{folder}/route.yaml:9: document 1, GatewayRoute default/infer, spec.rules[1].backendRefs[0]: " in stderr


def test_compile_of_an_invalid_manifest_prints_nothing(folder: Path) -> None:
    (folder / "broken.yaml").write_text(BROKEN.replace("infer}", "other}"))

    assert inferway("compile", str(folder))[:2] == (1, "")


def test_compile_of_a_shadowed_route_prints_a_warning(folder: Path) -> None:
    (folder / "younger.yaml").write_text(ROUTE.replace("infer}", "younger}"))

    code, _, stderr = inferway("compile", str(folder))

    assert code == 0
    assert stderr.startswith(f"warning: {folder}/younger.yaml:1: document 1, GatewayRoute default/younger: ")


def test_crds_prints_both_definitions() -> None:
    code, stdout, _ = inferway("crds")

    assert code == 0
    assert [crd["metadata"]["name"] for crd in yaml.safe_load_all(stdout)] == [
        "gatewayroutes.inferway.dev",
        "ratelimitpolicies.inferway.dev",
    ]


def test_version_flag_prints_the_version() -> None:
    assert inferway("--version") == (0, f"inferway {__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("bogus",),
        ("validate",),
        ("compile", "-o", "toml", "-"),
        ("run",),
        ("run", ".", "--bogus"),
        ("run", ".", "--listen", "here"),
        ("run", ".", "--trusted-proxies", "10.0.0.0/99"),
        ("run", ".", "--idle-timeout", "-1"),
        ("run", ".", "--log-level", "loud"),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(arguments: tuple[str, ...]) -> None:
    code, stdout, stderr = inferway(*arguments)

    assert (code, stdout) == (2, "")
    assert "Error: " in stderr


def test_run_help_lists_every_setting_as_a_flag() -> None:
    _, stdout, _ = inferway("run", "--help")

    for name in Settings.model_fields:
        assert f"--{name.replace('_', '-')}" in stdout
        assert f"INFERWAY_{name.upper()}" in "".join(stdout.split())


@pytest.mark.parametrize(
    ("name", "value"), [("proxy-fields", "NAME"), ("trusted-proxies", "CIDR"), ("tls-cert", "FILE")]
)
def test_run_help_names_what_a_list_consists_of(name: str, value: str) -> None:
    _, stdout, _ = inferway("run", "--help")

    assert re.search(rf"--{name}\s+{value}\s", stdout)


def test_flag_overrides_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERWAY_LISTEN", "127.0.0.1:1")
    monkeypatch.setenv("INFERWAY_ADMIN", "127.0.0.1:2")
    monkeypatch.setenv("INFERWAY_TRUSTED_PROXIES", "10.0.0.0/8,fd00::/8")

    chosen = run_command.settings({"admin": "127.0.0.1:3"})

    assert (chosen.listen, chosen.admin) == ("127.0.0.1:1", "127.0.0.1:3")
    assert chosen.trusted_proxies == ("10.0.0.0/8", "fd00::/8")


def test_invalid_variable_is_reported_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERWAY_DRAIN_DELAY", "soon")

    with pytest.raises(BadParameter, match="--admin: 'x' is not address:port") as raised:
        run_command.settings({"admin": "x"})
    assert "INFERWAY_DRAIN_DELAY: " in raised.value.message


@pytest.mark.outside
def test_validate_does_not_import_the_data_plane() -> None:
    code = "import sys, inferway_cli.main, inferway_cli.commands.validate; print([m for m in sys.modules if 'dataplane' in m])"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


# --- as processes ------------------------------------------------------------------------------------------------------


def shell(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A shell script in which $INFERWAY is the program."""
    program = f'inferway() {{ {sys.executable} -c "from inferway_cli.main import run; run()" "$@"; }}\n'
    return subprocess.run(["bash", "-c", program + script, "-", *arguments], capture_output=True, text=True, timeout=50)


@pytest.mark.outside
@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("inferway validate $1", 0),
        ("inferway validate < /dev/null", 2),
        ("inferway validate - < /dev/null", 1),
        ("inferway validate --strict $1", 0),
        ("inferway validate - <&-", 1),
        ("inferway validate <(cat $1/route.yaml)", 0),
        ("inferway validate $1/gone", 1),
        ("head -c 2097152 /dev/zero | inferway compile -", 1),
        ("head -c 1000 /dev/urandom | inferway compile -", 1),
        ("printf '\\xff' | inferway compile -", 1),
        ("inferway crds | true", 0),
        ("set -o pipefail; inferway crds | head -n 1 > /dev/null; [ $? != 2 ]", 0),
        ("inferway crds > /dev/full", 1),
        ("inferway --version >&-", 0),
        ("LC_ALL=C PYTHONIOENCODING=ascii inferway compile $1", 0),
        ("inferway run $1/gone", 1),
        ("INFERWAY_LISTN=127.0.0.1:1 inferway run $1", 2),
        ("inferway run $1 --listen 127.0.0.1:1 --admin 127.0.0.1:1", 2),
        ("touch $1/broken.yaml; echo '- 1' > $1/broken.yaml; inferway run $1", 1),
        ("inferway run $1 --listen 192.0.2.1:1", 1),
    ],
)
def test_shell_command_exits_with_its_code_and_no_traceback(script: str, code: int, folder: Path) -> None:
    (folder / "route.yaml").write_text(ROUTE.replace('"one"', '"één"'))

    result = shell(script, str(folder))

    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr


@pytest.mark.outside
def test_run_serves_reloads_and_stops(folder: Path) -> None:
    (folder / "route.yaml").write_text(UNRESOLVED)
    flags = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--no-access-log"]
    with Process([*INFERWAY, "run", str(folder), *flags], environment(INFERWAY_DRAIN_TIMEOUT="1")) as process:
        port = process.port()
        assert process.lines[0].startswith(f"warning: {folder}/route.yaml:9: document 1, GatewayRoute ")
        assert ask(port) == (200, b"one")
        (folder / "route.yaml").write_text(ROUTE.replace("one", "two"))
        until(lambda: ask(port) == (200, b"two"), "the change to be served")
        (folder / "route.yaml").write_text(BROKEN)
        errors = until(lambda: [event for event in process.events if event["level"] == "error"], "an error")
        assert errors[0]["error"].startswith(f"{folder}/route.yaml:8: document 1, GatewayRoute default/infer, ")
        assert ask(port) == (200, b"two")
        assert process.stop() == 0


@pytest.mark.outside
def test_run_of_a_file_reloads_at_sighup_and_stays(folder: Path) -> None:
    (folder / "notes.txt").touch()
    path = folder / "route.yaml"
    flags = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--no-access-log"]
    with Process([*INFERWAY, "run", str(path), *flags], environment(INFERWAY_DRAIN_TIMEOUT="1")) as process:
        port = process.port()
        for body in ("two", "three"):
            path.write_text(ROUTE.replace("one", body))
            process.signal(signal.SIGHUP)
            until(lambda body=body: ask(port) == (200, body.encode()), "the change to be served")  # type: ignore[misc]
        assert process.count("reloading all files") == 2
        assert process.stop() == 0


@pytest.mark.outside
def test_run_names_the_files_it_passes_over(folder: Path) -> None:
    for number in range(7):
        (folder / f"{number}.json").touch()
    flags = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--no-access-log"]
    with Process([*INFERWAY, "run", str(folder), *flags], environment()) as process:
        process.port()
        names = ", ".join(f"{folder}/{number}.json" for number in range(5))
        assert process.lines[0] == f"passed over, not *.yaml or *.yml: {names} and 2 more\n"
        process.stop()
