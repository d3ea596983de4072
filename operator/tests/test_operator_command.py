"""`python -m inferway_operator`: an error at startup is one line with the name of the environment variable."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inferway_operator.__main__ import main, scope
from inferway_operator.settings import OperatorSettings
from inferway_testing.process import Process, environment
from inferway_testing.until import until


def run(*flags: str, **environment: str) -> tuple[int, str]:
    """The exit code and standard error, where there is no cluster."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("KUBE", "INFERWAY_"))}
    ended = subprocess.run(
        [sys.executable, "-m", "inferway_operator", *flags], env=clean | {"HOME": "/nonexistent"} | environment,
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return ended.returncode, ended.stderr


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"RETRY_PERIOD": "soon"}, "INFERWAY_OPERATOR_RETRY_PERIOD: Input should be a valid number"),
        ({"RETRY_PERIOD": "20"}, "the times of the Lease must be retry_period * 1.2 < renew_deadline < lease_duration"),
        ({"LEASE_NAMESPACE": "A B"}, "INFERWAY_OPERATOR_LEASE_NAMESPACE: String should match"),
        ({"LISTEN": "9091"}, "INFERWAY_OPERATOR_LISTEN: '9091' is not address:port"),
        ({"NAMESPACS": "a"}, "unknown setting INFERWAY_OPERATOR_NAMESPACS; did you mean "),
        ({"HOSTNAME_POLICY": "{"}, "INFERWAY_OPERATOR_HOSTNAME_POLICY: is neither JSON nor YAML"),
        ({"HOSTNAME_POLICY_FILE": "/nonexistent"}, "INFERWAY_OPERATOR_HOSTNAME_POLICY_FILE: /nonexistent: No such file"),
    ],
)  # fmt: skip
def test_invalid_setting_exits_with_2_and_names_the_variable(
    environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"INFERWAY_OPERATOR_{name}", value)
    assert main() == 2
    assert capsys.readouterr().err.startswith(f"inferway-operator: {message}")


@pytest.mark.outside
def test_process_with_an_invalid_setting_exits_with_2() -> None:
    code, stderr = run(INFERWAY_OPERATOR_LISTEN="9091")
    assert code == 2
    (line,) = stderr.splitlines()
    assert line.startswith("inferway-operator: INFERWAY_OPERATOR_LISTEN: '9091' is not address:port")


@pytest.mark.outside
@pytest.mark.parametrize("kubeconfig", ["", "/nonexistent/config"])
def test_operator_without_a_cluster_exits_with_2(kubeconfig: str) -> None:
    code, stderr = run(**({"KUBECONFIG": kubeconfig} if kubeconfig else {}))
    assert code == 2
    (line,) = stderr.splitlines()
    assert "; there is no kubeconfig: " in line
    assert line.startswith("inferway-operator: this is not a pod with a token (automountServiceAccountToken): ")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A kubeconfig of an API server that does not exist."""
    path = tmp_path / "config"
    path.write_text(
        "{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a, user: a}}],"
        " clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}], users: [{name: a, user: {}}]}"
    )
    return path


@pytest.mark.outside
def test_supervisor_takes_little_memory(config: Path) -> None:
    """It stays next to the operator's process, which alone needs the libraries."""
    variables = environment("KUBE", "INFERWAY_", KUBECONFIG=str(config), INFERWAY_OPERATOR_LISTEN="127.0.0.1:0")
    with Process([sys.executable, "-m", "inferway_operator"], variables, is_supervisor=True) as process:
        until(lambda: Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(), "it starts kopf")
        status = Path(f"/proc/{process.pid}/status").read_text()
        resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
        assert resident < 32 << 10, f"{resident} KiB"


@pytest.mark.outside
def test_kopf_rejects_contradictory_flags(config: Path) -> None:
    code, stderr = run("--no-such-flag", KUBECONFIG=str(config))
    assert code == 2
    assert "No such option" in stderr
    code, stderr = run("-A", "-n", "one", KUBECONFIG=str(config))
    assert "Either --namespace or --all-namespaces can be used, not both" in stderr


def test_scope_is_the_namespaces_whose_resources_count() -> None:
    assert scope(OperatorSettings()) == ("--all-namespaces",)
    assert scope(OperatorSettings(namespaces=("a", "b"), namespace="planes")) == ("--namespace=a", "--namespace=b")
