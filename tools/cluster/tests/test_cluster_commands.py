"""`make images`, `make cluster`: the calls of docker, kind and kubectl, their order, and the messages on failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inferway_cluster.images import IMAGES, ROOT

# Records its calls, and answers as the real programs do.
PROGRAM = """#!{python} -IS
import os, sys
from pathlib import Path
here = Path({here!r})
name, arguments = Path(sys.argv[0]).name, sys.argv[1:]
with open(here / "calls", "a") as log:
    log.write(" ".join([name, *arguments]) + "\\n")
if any(part in " ".join([name, *arguments]) for part in (here / "broken").read_text().splitlines()):
    sys.exit("it is broken")
if arguments[:2] == ["get", "clusters"]:
    print((here / "clusters").read_text())
if arguments[:2] == ["image", "inspect"]:
    print(123456789)
if "deployments" in arguments:
    print("deployment.apps/one")
"""


class Programs:
    """Fakes of the three programs; PATH has only them and git."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "broken").write_text("")
        (folder / "clusters").write_text("")
        (folder / "bin").mkdir()
        for name in ("docker", "kind", "kubectl"):
            self.path(name).write_text(PROGRAM.format(python=sys.executable, here=str(folder)))
            self.path(name).chmod(0o755)

    def path(self, name: str) -> Path:
        return self.folder / "bin" / name

    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "inferway_cluster", *arguments],
            env={**os.environ, "PATH": str(self.folder / "bin"), "PYTHONPATH": str(ROOT / "tools/cluster/src")},
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


def test_images_builds_each_image_and_prints_a_table(programs: Programs) -> None:
    ended = programs.run("images", "--tag", "v1.2.3")
    assert ended.returncode == 0, ended.stderr
    builds = [line for line in programs.calls() if " build " in line]
    assert len(builds) == len(IMAGES)
    for image, line in zip(IMAGES, builds, strict=True):
        assert f"--file {ROOT / image.dockerfile} --tag ghcr.io/inferway/{image.name}:v1.2.3" in line
        assert "VERSION=1.2.3 " in line
    rows = [line.split() for line in ended.stdout.splitlines()]
    assert rows[0] == ["image", "MB", "seconds"]
    assert [row[:2] for row in rows[1:]] == [[f"ghcr.io/inferway/{image.name}:v1.2.3", "123"] for image in IMAGES]


def test_images_with_an_unknown_name_fails(programs: Programs) -> None:
    ended = programs.run("images", "--only", "operater")
    assert ended.returncode == 1
    assert ended.stderr.startswith("cluster: there is no image operater; there are operator, dataplane")


def test_create_makes_a_cluster_loads_images_and_waits(programs: Programs) -> None:
    ended = programs.run("create")
    assert ended.returncode == 0, ended.stderr
    calls = programs.calls()
    order = [
        "kind create cluster",
        "docker buildx build",
        "kind load docker-image --name inferway ghcr.io/inferway/operator:dev",
        "kubectl --context kind-inferway apply -k",
        "kubectl --context kind-inferway wait --for=condition=Established",
        "kubectl --context kind-inferway -n inferway-system rollout status deployment.apps/one",
        f"kubectl --context kind-inferway apply -k {ROOT}/manifests/samples",
        "kubectl --context kind-inferway -n inferway-demo wait --for=condition=Programmed --all gatewayroutes",
    ]
    at = [next(i for i, line in enumerate(calls) if line.startswith(begin)) for begin in order]
    at[6] = next(i for i, line in enumerate(calls) if line == order[6])
    assert at == sorted(at), calls
    assert not any("rollout restart" in line for line in calls), "pods of a new cluster have the new images"
    assert "http://127.0.0.1:8080" in ended.stdout


def test_create_with_an_existing_cluster_loads_new_images(programs: Programs) -> None:
    (programs.folder / "clusters").write_text("other\ninferway\n")
    assert programs.run("create").returncode == 0
    calls = programs.calls()
    assert not any(line.startswith("kind create") for line in calls)
    restarted = [line for line in calls if "rollout restart" in line]
    assert len(restarted) == 3
    assert calls.index(restarted[0]) > next(i for i, line in enumerate(calls) if line.startswith("kind load"))


def test_load_leaves_out_the_standalone_image(programs: Programs) -> None:
    assert programs.run("load", "--tag", "dev").returncode == 0
    (line,) = [line for line in programs.calls() if line.startswith("kind load")]
    assert "standalone" not in line
    assert line.count("ghcr.io/inferway/") == len(IMAGES) - 1


def test_every_kubectl_call_names_its_context(programs: Programs) -> None:
    assert programs.run("create").returncode == 0
    calls = [line for line in programs.calls() if line.startswith("kubectl")]
    assert calls
    assert [line for line in calls if not line.startswith("kubectl --context kind-inferway ")] == []


def test_missing_program_is_reported_with_its_download_page(programs: Programs) -> None:
    programs.path("kind").unlink()
    ended = programs.run("create")
    assert ended.returncode == 1
    assert (
        ended.stderr == "cluster: kind is not installed: https://kind.sigs.k8s.io/docs/user/quick-start/#installation\n"
    )


def test_stopped_docker_daemon_is_reported(programs: Programs) -> None:
    (programs.folder / "broken").write_text("docker info\n")
    ended = programs.run("images")
    assert ended.returncode == 1
    assert ended.stderr == "cluster: docker does not answer: it is broken\n"


@pytest.mark.parametrize("broken", ["kind create", "buildx build", "kind load", "rollout status"])
def test_create_stops_at_the_first_failed_command(programs: Programs, broken: str) -> None:
    (programs.folder / "broken").write_text(broken + "\n")
    ended = programs.run("create")
    assert ended.returncode == 1
    assert "failed with exit code 1" in ended.stderr.splitlines()[-1]
    assert broken in programs.calls()[-1]
    assert "Traceback" not in ended.stderr
