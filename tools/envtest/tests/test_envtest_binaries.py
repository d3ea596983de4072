"""The sources of the programs, and that each is built once, with a fake Go."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from inferway_envtest import archive, binaries, versions
from inferway_envtest import build as envtest_build

NAMES = [program.name for program in versions.PROGRAMS]
GO = """#!/bin/sh
echo "$@" >> {log}
test "$GO_FAILS" = "" || {{ echo no such module; exit 1; }}
while [ "$1" != "-o" ]; do shift; done
echo built > "$2"; chmod +x "$2"
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set PATH to one folder, with links to a few programs of the system."""
    folder = tmp_path / "path"
    folder.mkdir()
    for name in ("nice", "sh", "chmod", "test"):
        (folder / name).symlink_to(f"/usr/bin/{name}" if Path(f"/usr/bin/{name}").exists() else f"/bin/{name}")
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def go(path: Path, tmp_path: Path) -> Path:
    """Install a fake Go that builds at once; returns the log of its calls."""
    log = tmp_path / "go.log"
    log.touch()
    (path / "go").write_text(GO.format(log=log))
    (path / "go").chmod(0o755)
    return log


def folder_with(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("here")
        (folder / name).chmod(0o755)
    return folder


def packed(tmp_path: Path, *names: str) -> str:
    """Return the address of an archive with these programs, and its hash."""
    source = folder_with(tmp_path / "source", *names)
    file = tmp_path / "envtest.tar.gz"
    with tarfile.open(file, "w:gz") as archived:
        archived.add(source, "controller-tools/envtest")
    return f"file://{file}#sha512={hashlib.sha512(file.read_bytes()).hexdigest()}"


def test_binaries_of_the_assets_folder_come_first(tmp_path: Path, go: Path) -> None:
    assets = folder_with(tmp_path / "assets", *NAMES)
    cached = tmp_path / "cache"
    folder_with(binaries.cache({binaries.CACHE: str(cached)}), *NAMES)
    programs = binaries.find({binaries.ASSETS: str(assets), binaries.CACHE: str(cached)})
    assert programs == {name: assets / name for name in NAMES}
    assert go.read_text() == ""


def test_missing_binary_is_built_once_and_cached(tmp_path: Path, go: Path) -> None:
    assets = folder_with(tmp_path / "assets", "etcd", "kube-apiserver", "kubectl")
    environment = {binaries.ASSETS: str(assets), binaries.CACHE: str(tmp_path / "cache")}
    for _ in range(2):
        programs = binaries.find(environment)
        assert programs["kube-apiserver"] == assets / "kube-apiserver"
        assert programs["kube-controller-manager"].parent == binaries.cache(environment)
    assert [line.split()[-1] for line in go.read_text().splitlines()] == [versions.CONTROLLERS.package]


def test_binaries_are_built_with_their_versions(tmp_path: Path, go: Path) -> None:
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    (binaries.cache(environment) / ".build-killed").mkdir(parents=True)
    programs = binaries.find(environment)
    assert sorted(programs) == sorted(NAMES)
    assert {file.parent.parent for file in programs.values()} == {tmp_path / "inferway" / "envtest"}
    assert all("component-base/version.gitVersion=v1.34." in line for line in go.read_text().splitlines())
    assert sorted(file.name for file in programs["etcd"].parent.iterdir()) == sorted(NAMES)  # no partial files are left


def test_concurrent_lookups_build_once(tmp_path: Path, go: Path) -> None:
    environment = {binaries.CACHE: str(tmp_path / "cache")}
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: binaries.find(environment), range(2))
    assert first == second
    assert len(go.read_text().splitlines()) == len(NAMES)


def test_failed_build_is_reported_and_leaves_no_files(
    tmp_path: Path, go: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GO_FAILS", "1")
    environment = {binaries.CACHE: str(tmp_path / "cache")}
    with pytest.raises(envtest_build.BuildError, match="no such module"):
        binaries.find(environment)
    assert list(binaries.cache(environment).iterdir()) == []


def test_missing_go_is_reported_with_remedies(tmp_path: Path, path: Path) -> None:
    with pytest.raises(
        binaries.MissingProgramsError, match=r"etcd, kube-apiserver, kube-controller-manager .* install Go, or set KUBE"
    ):
        binaries.find({binaries.CACHE: str(tmp_path)})


def test_archive_provides_its_binaries(tmp_path: Path, path: Path) -> None:
    assets = folder_with(tmp_path / "assets", "kube-controller-manager")
    environment = {
        binaries.ASSETS: str(assets),
        binaries.CACHE: str(tmp_path / "cache"),
        binaries.ARCHIVE: packed(tmp_path, "etcd", "kube-apiserver", "kubectl"),
    }
    programs = binaries.find(environment)
    assert programs["etcd"].read_text() == "here"
    assert os.access(programs["etcd"], os.X_OK)
    assert sorted(file.name for file in binaries.cache(environment).iterdir()) == ["etcd", "kube-apiserver"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda address: address.partition("#")[0], "needs the hash of its file"),
        (lambda address: address[:-8] + "00000000", "has the sha512"),
    ],
)
def test_archive_without_a_valid_hash_is_rejected(change: object, message: str, tmp_path: Path, path: Path) -> None:
    assert callable(change)
    address = change(packed(tmp_path, *NAMES))
    with pytest.raises(archive.ArchiveError, match=message):
        binaries.find({binaries.CACHE: str(tmp_path / "cache"), binaries.ARCHIVE: address})


def test_unreachable_archive_falls_back_to_a_build(
    tmp_path: Path, go: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Port 1 has no listener.
    address = "http://127.0.0.1:1/envtest.tar.gz#sha512=00"
    assert len(binaries.find({binaries.CACHE: str(tmp_path / "cache"), binaries.ARCHIVE: address})) == len(NAMES)
    assert "no archive from http://127.0.0.1:1/envtest.tar.gz" in capsys.readouterr().err


def test_versions_match_go_mod() -> None:
    assert versions.required("k8s.io/kubernetes").startswith("v1.34.")
    assert versions.required("go.etcd.io/etcd/server/v3").startswith("v3.6.")
    with pytest.raises(LookupError):
        versions.required("k8s.io/nothing")


SKIPPED = """
def test_it(api_server):
    raise AssertionError
def test_other():
    pass
"""


@pytest.mark.parametrize(("variable", "outcome"), [("", "1 passed, 1 skipped"), ("no-hash", "1 passed, 1 error")])
def test_fixture_skips_only_for_missing_binaries(variable: str, outcome: str, tmp_path: Path, path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SKIPPED)
    environment = {
        "PATH": str(path),
        "PYTHONPATH": os.pathsep.join(sys.path),
        binaries.CACHE: str(tmp_path),
        binaries.ARCHIVE: variable,
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "inferway_envtest.fixtures", "-rs", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert outcome in done.stdout.splitlines()[-1], done.stdout
    assert ("install Go, or set KUBEBUILDER_ASSETS" in done.stdout) == ("skipped" in outcome)
