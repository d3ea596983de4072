"""`inferway-dataplane` as a process: its settings, and its end before it has begun."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest

from inferway_fakes.faulty_tcp import Accepting, FaultyTcp
from inferway_testing.client import ask
from inferway_testing.process import Process, environment

pytestmark = pytest.mark.outside

POD = {"POD_NAME": "gateway-0", "POD_NAMESPACE": "default", "POD_UID": "0"}
COMMAND = [sys.executable, "-m", "inferway_dataplane"]
LOCAL = {"INFERWAY_LISTEN": "127.0.0.1:0", "INFERWAY_ADMIN": "127.0.0.1:0"}


def run_process(**variables: str) -> Process:
    """Start one with these variables and no others of the gateway."""
    return Process(
        COMMAND, environment("INFERWAY_", "KUBE", "POD_", **{**LOCAL, **variables}), stdout=subprocess.DEVNULL
    )


def kubeconfig(folder: Path, port: int, host: str = "127.0.0.1") -> str:
    """Of an API server on this port, without TLS."""
    file = folder / "kubeconfig"
    cluster = {"name": "x", "cluster": {"server": f"http://{host}:{port}"}}
    context = {"name": "x", "context": {"cluster": "x", "user": "x"}}
    users = [{"name": "x", "user": {}}]
    file.write_text(json.dumps({"clusters": [cluster], "contexts": [context], "users": users, "current-context": "x"}))
    return str(file)


MISTAKES = {
    "nothing": (
        {},
        "neither INFERWAY_NAMESPACE nor POD_NAMESPACE is set; neither INFERWAY_POD_NAME nor POD_NAME is set",
    ),
    "no uid": ({"POD_NAME": "a", "POD_NAMESPACE": "b"}, "neither INFERWAY_POD_UID nor POD_UID is set"),
    "an empty name": ({**POD, "POD_NAME": ""}, "POD_NAME: String should have at least 1 character"),
    "a setting of every data plane": ({**POD, "INFERWAY_LISTEN": "x"}, "INFERWAY_LISTEN: 'x' is not address:port"),
    "an unknown name": (
        {**POD, "INFERWAY_DRAIN_TIMOUT": "3"},
        "unknown setting INFERWAY_DRAIN_TIMOUT; did you mean INFERWAY_DRAIN_TIMEOUT?",
    ),
    "no cluster": (
        POD,
        "this is not a pod with a token (automountServiceAccountToken): Service host/port is not set., and INFERWAY_KUBECONFIG",
    ),
    "no kubeconfig": ({**POD, "INFERWAY_KUBECONFIG": "nowhere"}, "there is no kubeconfig: nowhere does not exist"),
}


@pytest.mark.parametrize(("variables", "told"), MISTAKES.values(), ids=MISTAKES)
def test_invalid_setting_is_one_line_on_stderr_and_exit_code_2(variables: dict[str, str], told: str) -> None:
    with run_process(**variables) as process:
        assert process.exit_code() == 2
        assert len(process.text) == 1
        assert process.text[0].startswith("inferway-dataplane: ")
        assert told in process.text[0]


FILES = {
    "no certificate": (
        {"INFERWAY_TLS_CERT": "/nowhere", "INFERWAY_TLS_KEY": "/nowhere"},
        "inferway: tls_cert, tls_key: cannot read /nowhere or /nowhere: No such file or directory\n",
    ),
    "no authority": (
        {"INFERWAY_UPSTREAM_CA": "/nowhere"},
        "inferway: upstream_ca: cannot read /nowhere: No such file or directory\n",
    ),
}


@pytest.mark.parametrize(("variables", "told"), FILES.values(), ids=FILES)
def test_missing_file_is_one_line_on_stderr_and_exit_code_2(
    tmp_path: Path, variables: dict[str, str], told: str
) -> None:
    with run_process(**POD, **variables, INFERWAY_KUBECONFIG=kubeconfig(tmp_path, 1)) as process:
        assert process.exit_code() == 2
        assert process.text == [told]


@pytest.mark.case("K4")
@pytest.mark.parametrize("accepting", [Accepting.REFUSE, Accepting.SILENT, Accepting.DROP])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_signal_before_the_first_document_ends_the_process(tmp_path: Path, number: int, accepting: Accepting) -> None:
    with FaultyTcp(1) as tcp:
        tcp.change(accepting=accepting)
        with run_process(**POD, INFERWAY_KUBECONFIG=kubeconfig(tmp_path, tcp.port)) as process:
            admin = int(process.event("waiting for the first document")["admin"].rpartition(":")[2])
            assert ask(admin, "/healthz") == (200, b"ok\n")
            status, why = ask(admin, "/readyz")
            assert status == 503
            assert why != b"ok\n"
            began = monotonic()
            process.signal(number)
            assert process.exit_code() == 0
            assert monotonic() - began < 3.0
            assert process.text == []


@pytest.mark.case("K4")
def test_unreachable_api_server_is_logged_and_shown_by_readyz(tmp_path: Path) -> None:
    with FaultyTcp(1) as tcp:
        tcp.change(accepting=Accepting.REFUSE)
        with run_process(**POD, INFERWAY_KUBECONFIG=kubeconfig(tmp_path, tcp.port)) as process:
            event = process.event("the API server cannot be reached; the live documents stay")
            assert "GET /api/v1/namespaces/default/configmaps: " in event["error"] or "PATCH /apis/" in event["error"]
            admin = int(process.event("waiting for the first document")["admin"].rpartition(":")[2])
            assert b"the API server cannot be reached: " in ask(admin, "/readyz")[1]


NAMED = "the API server is known by a name only, so routes may lead to it: set INFERWAY_API_SERVER"


@pytest.mark.case("X1")
def test_api_server_given_by_name_is_logged_as_not_blocked(tmp_path: Path) -> None:
    with FaultyTcp(1) as tcp:
        tcp.change(accepting=Accepting.REFUSE)
        (tmp_path / "named").mkdir()
        named = kubeconfig(tmp_path / "named", tcp.port, "localhost")
        with run_process(**POD, INFERWAY_KUBECONFIG=named) as process:
            assert process.event(NAMED)["server"] == f"http://localhost:{tcp.port}"
        for told in (
            {"INFERWAY_KUBECONFIG": named, "INFERWAY_API_SERVER": "192.0.2.1"},
            {"INFERWAY_KUBECONFIG": kubeconfig(tmp_path, tcp.port)},
        ):
            with run_process(**POD, **told) as process:
                process.event("waiting for the first document")
                assert NAMED not in [event["event"] for event in process.events]
