"""`inferway status` against something that answers like an API server: kubeconfig rules, what goes wrong, exit codes."""

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from test_cli_status_rows import GOOD, lease, resource
from typer.testing import CliRunner

from inferway_cli.commands.status import cluster as status_cluster
from inferway_cli.main import app
from inferway_contract.acknowledgement import Acknowledgement
from inferway_fakes.fake_dns import swallowing
from inferway_fakes.upstream import Answer, Pause, Seen, Upstream, answer
from inferway_kube import login
from inferway_kube.deadlines import Deadlines

ROUTES = "/apis/inferway.dev/v1alpha1/namespaces/{}/gatewayroutes"
POLICIES = "/apis/inferway.dev/v1alpha1/namespaces/{}/ratelimitpolicies"
ALL_ROUTES = "/apis/inferway.dev/v1alpha1/gatewayroutes"
ALL_POLICIES = "/apis/inferway.dev/v1alpha1/ratelimitpolicies"
LEASES = "/apis/coordination.k8s.io/v1/leases"


def inferway(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ("status", *arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def kubeconfig(port: int, *, namespace: str = "", context: str = "here", current: str | None = None) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": context, "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": context, "user": {}}],
            "contexts": [
                {
                    "name": context,
                    "context": {
                        "cluster": context,
                        "user": context,
                        **({"namespace": namespace} if namespace else {}),
                    },
                }
            ],
            **({"current-context": current} if current is not None else {}),
        }
    )


class Api:
    """Lists by path; what is not there is 404."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.lists: dict[str, list[dict[str, Any]]] = {}
        self.refusals: dict[str, tuple[str, str]] = {}
        """By path: status line, message."""
        upstream.script = self._answer

    def holds(self, namespace: str, *routes: dict[str, Any], leases: tuple[dict[str, Any], ...] = ()) -> None:
        self.lists |= {ROUTES.format(namespace): list(routes), POLICIES.format(namespace): [], LEASES: list(leases)}

    @property
    def asked(self) -> list[str]:
        return [seen.target.partition("?")[0] for seen in self.upstream.seen]

    def _answer(self, seen: Seen) -> Answer:
        path = seen.target.partition("?")[0]
        if path in self.refusals:
            line, message = self.refusals[path]
            return _json({"kind": "Status", "message": message}, line)
        if path not in self.lists:
            return _json(
                {"kind": "Status", "message": "the server could not find the requested resource"}, "404 Not Found"
            )
        return _listed(self.lists[path])


def _listed(items: list[dict[str, Any]], more: str = "") -> Answer:
    stored = [{**item, "metadata": {"uid": "1", "resourceVersion": "7", **item["metadata"]}} for item in items]
    return _json({"kind": "List", "metadata": {"resourceVersion": "9", "continue": more}, "items": stored})


def _json(value: object, line: str = "200 OK") -> Answer:
    return answer(json.dumps(value).encode(), line, {"content-type": "application/json"})


@pytest.fixture
def api(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Api:
    """The current context of KUBECONFIG leads to it."""
    (tmp_path / "config").write_text(kubeconfig(upstream.port, current="here"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    return Api(upstream)


def test_healthy_resources_print_a_table_and_exit_with_0(api: Api) -> None:
    api.holds("default", resource(), leases=(lease("pod-a", Acknowledgement(config="b" * 10)),))
    code, stdout, stderr = inferway()
    assert (code, stderr) == (0, "")
    assert re.search(r"^GatewayRoute +demo/shop +True +True +True +True +3/3 ", stdout, re.MULTILINE)
    assert re.search(r"^inferway +gateway/pod-a +bbbbbbbbbb ", stdout, re.MULTILINE)
    assert api.asked == [ROUTES.format("default"), POLICIES.format("default"), LEASES]
    assert api.upstream.seen[-1].target == f"{LEASES}?labelSelector=inferway.dev/gateway&limit=500"


def test_unhealthy_resource_exits_with_1(api: Api) -> None:
    api.holds("default", resource(), resource("other", conditions=GOOD[:2]))
    code, stdout, stderr = inferway()
    assert (code, stderr) == (1, "")
    assert "demo/other" in stdout


def test_empty_namespace_prints_a_note_and_exits_with_0(api: Api) -> None:
    api.holds("default")
    assert inferway() == (0, "", "note: no resources of Inferway in namespace default\n")


def test_json_output_lists_the_resources(api: Api) -> None:
    api.holds("default", resource())
    code, stdout, _ = inferway("-o", "json")
    assert code == 0
    assert [item["name"] for item in json.loads(stdout)["resources"]] == ["shop"]


def test_all_pages_are_read(api: Api) -> None:
    def pages(seen: Seen) -> Answer:
        if "gatewayroutes" not in seen.target:
            return _listed([])
        number = int(seen.target.partition("continue=")[2].partition("&")[0] or 0)
        return _listed([resource(f"r{number}")], str(number + 1) if number < 2 else "")

    api.upstream.script = pages
    code, stdout, _ = inferway("-o", "json")
    assert code == 0
    assert [item["name"] for item in json.loads(stdout)["resources"]] == ["r0", "r1", "r2"]


# --- which namespace, which cluster ----------------------------------------------------------------------------------


def test_namespace_flag_selects_the_namespace(api: Api) -> None:
    api.holds("shop", resource())
    assert inferway("-n", "shop")[0] == 0
    assert api.asked[:2] == [ROUTES.format("shop"), POLICIES.format("shop")]


def test_all_namespaces_flag_lists_every_namespace(api: Api) -> None:
    api.lists = {ALL_ROUTES: [resource()], ALL_POLICIES: [], LEASES: []}
    assert inferway("-A")[0] == 0


def test_namespace_of_the_context_is_the_default(api: Api, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(kubeconfig(api.upstream.port, namespace="team", current="here"))
    api.holds("team", resource())
    assert inferway()[0] == 0


def test_kubeconfig_flag_overrides_the_variable(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").write_text(kubeconfig(api.upstream.port, namespace="other", current="here"))
    (tmp_path / "config").write_text(kubeconfig(1, current="here"))
    api.holds("other", resource())
    assert inferway("--kubeconfig", str(tmp_path / "other"))[0] == 0


def test_context_flag_selects_from_several_kubeconfigs(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "first").write_text(kubeconfig(1, context="first", current="first"))
    (tmp_path / "second").write_text(kubeconfig(api.upstream.port, context="second", namespace="two"))
    monkeypatch.setenv("KUBECONFIG", ":".join(str(tmp_path / name) for name in ("absent", "first", "second")))
    api.holds("two", resource())
    assert inferway("--context", "second")[0] == 0
    assert inferway()[0] == 1, "the current context leads nowhere"


def test_kubeconfig_in_the_home_directory_is_the_default(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".kube").mkdir()
    (tmp_path / "config").rename(tmp_path / ".kube/config")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", "")  # as if it were not set, for kubectl too
    api.holds("default", resource())
    assert inferway()[0] == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


# --- what goes wrong: one line, code 1 -------------------------------------------------------------------------------


def error_of(*arguments: str) -> str:
    code, stdout, stderr = inferway(*arguments)
    assert (code, stdout) == (1, "")
    assert stderr.startswith("inferway: ")
    assert stderr.count("\n") == 1
    return stderr.removeprefix("inferway: ").rstrip("\n")


def test_without_a_kubeconfig_an_error_names_the_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert error_of() == (
        f"there is no kubeconfig: {tmp_path}/.kube/config does not exist; name one with --kubeconfig or KUBECONFIG"
    )


def test_missing_kubeconfig_is_reported(api: Api, tmp_path: Path) -> None:
    assert error_of("--kubeconfig", str(tmp_path / "absent")).startswith(f"there is no kubeconfig: {tmp_path}/absent ")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        ("{", "line 1"),
        ("[]", ""),
        ("7", ""),
        ("{}", ""),
        ("{clusters: 3, users: 4, contexts: 5}", ""),
        (kubeconfig(1), "current-context"),
        (kubeconfig(1, current="gone"), "gone"),
        (kubeconfig(1, current="here").replace('"clusters": [{"name": "here"', '"clusters": [{"name": "x"'), "here"),
        (kubeconfig(1, current="here").replace("http:", "https:").replace('"server"', '"certificate-authority": "gone", "server"'), "gone"),
    ],
)  # fmt: skip
def test_invalid_kubeconfig_is_reported(api: Api, tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "config").write_text(text)
    told = error_of()
    assert told.startswith(f"kubeconfig {tmp_path}/config: ")
    assert why in told


def test_missing_context_is_reported(api: Api) -> None:
    assert "gone" in error_of("--context", "gone")


def test_unreachable_api_server_is_reported(api: Api, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(kubeconfig(1, current="here"))
    error = error_of()
    assert error.startswith("cannot reach the API server http://127.0.0.1:1: Cannot connect to host 127.0.0.1:1 ")


def test_connection_timeout_is_reported(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_cluster, "DEADLINES", Deadlines(connect=0.3))
    port = _free_port()
    (tmp_path / "config").write_text(kubeconfig(port, current="here"))
    with swallowing("127.0.0.1", port):
        assert error_of() == f"cannot reach the API server http://127.0.0.1:{port}: no answer in time"


def test_response_timeout_is_reported(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_cluster, "DEADLINES", Deadlines(read=0.3))
    api.upstream.script = lambda seen: [Pause(30)]
    assert error_of().endswith(": no answer in time")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("401 Unauthorized", "the API server http://127.0.0.1:{} does not know you (401): log in again"),
        ("403 Forbidden", "the API server does not allow it: 403 what it says"),
        (
            "404 Not Found",
            "the API server http://127.0.0.1:{} has no gatewayroutes.inferway.dev/v1alpha1: install the definitions with `inferway crds | kubectl apply -f -`",
        ),
        ("500 Internal Server Error", "the API server http://127.0.0.1:{} answers 500 what it says"),
        ("302 Found", "the API server http://127.0.0.1:{} answers 302 what it says"),
    ],
)
def test_error_response_of_the_api_server_is_reported(api: Api, line: str, told: str) -> None:
    api.refusals[ROUTES.format("default")] = (line, "what\nit says")
    assert error_of() == told.format(api.upstream.port)


@pytest.mark.parametrize("body", ["<html>", "[]", "7", '{"items": 3}', "{}"])
def test_server_other_than_kubernetes_is_reported(api: Api, body: str) -> None:
    api.upstream.script = lambda seen: answer(body.encode(), headers={"content-type": "application/json"})
    assert error_of() == f"what answers at http://127.0.0.1:{api.upstream.port} is not a Kubernetes API server"


def test_status_without_the_right_to_list_leases_omits_pods(api: Api) -> None:
    api.holds("default", resource())
    api.refusals[LEASES] = ("403 Forbidden", "leases.coordination.k8s.io is forbidden")
    code, stdout, stderr = inferway()
    assert code == 0
    assert "demo/shop" in stdout
    assert stderr == (
        "note: the data plane's pods are not shown: the API server does not allow it: 403 leases.coordination.k8s.io is forbidden\n"
    )
    assert json.loads(inferway("-o", "json")[1])["pods"] is None


@pytest.mark.parametrize("arguments", [("-n", "a", "-A"), ("-o", "yaml"), ("extra",), ("--context",)])
def test_wrong_usage_exits_with_2(api: Api, arguments: tuple[str, ...]) -> None:
    assert inferway(*arguments)[0] == 2


def test_status_inside_a_pod_uses_its_service_account(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").unlink()
    (tmp_path / "namespace").write_text("mine\n")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setattr(login, "_POD_NAMESPACE", tmp_path / "namespace")

    def load(client_configuration: Any) -> None:
        client_configuration.host = f"http://127.0.0.1:{api.upstream.port}"

    monkeypatch.setattr(login, "load_incluster_config", load)
    api.holds("mine", resource())
    assert inferway()[0] == 0
    assert "there is no kubeconfig" in error_of("--context", "here"), "who names a context means a kubeconfig"
