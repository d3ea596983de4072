"""Rules for every file in .github/workflows. Their syntax is checked by actionlint (`make workflows`)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from workflow_files import FILES, FOLDER, jobs, make_targets, named_paths, steps, targets, text_and_content

from inferway_release.__main__ import ROOT

USES = re.compile(r"^\s*(?:- )?uses: (.*)$", re.MULTILINE)
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
UNTRUSTED = re.compile(r"\$\{\{")
MADE = {"build/chart/", "build/e2e", "dist/", "sbom/"}
"""Files created by a run, by the step that names them or by an earlier command."""

TARGETS_TO_COME: set[str] = set()
PATHS_TO_COME: set[str] = set()
"""Paths of parts that do not exist yet; a test fails when one exists and must be removed here."""


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def workflow(request: pytest.FixtureRequest) -> Path:
    """Return each workflow in turn."""
    return request.param


def test_expected_workflows_exist() -> None:
    assert {file.stem for file in FILES} >= {"ci", "images", "e2e", "load", "release", "deploy-koyeb"}
    assert not list(FOLDER.glob("*.yaml")), "tests look at *.yml"


def test_every_action_is_pinned_by_its_commit(workflow: Path) -> None:
    text, _ = text_and_content(workflow)
    uses = USES.findall(text)
    assert len(uses) == text.count("uses:")
    loose = [one for one in uses if not one.startswith("./") and not PINNED.fullmatch(one)]
    assert not loose
    assert all((ROOT / one).is_file() for one in uses if one.startswith("./"))


def test_one_action_has_one_version() -> None:
    versions = {
        one.strip() for file in FILES for one in USES.findall(text_and_content(file)[0]) if not one.startswith("./")
    }
    assert len({one.split("@")[0] for one in versions}) == len(versions), sorted(versions)


def test_every_job_has_permissions_and_a_timeout(workflow: Path) -> None:
    text, content = text_and_content(workflow)
    assert content["permissions"] == {}, "rights are given to jobs"
    assert content["defaults"] == {"run": {"shell": "bash"}}
    assert "group" in content["concurrency"]
    assert "pull_request_target" not in text
    for name, job in content["jobs"].items():
        assert job["permissions"], name
        assert "uses" in job or 0 < job["timeout-minutes"] <= 90, name


def test_write_permissions_match_the_list() -> None:
    """List the few intended rights beyond reading."""
    permissions = {
        (file.stem, name, right)
        for file in FILES
        for name, job in jobs(file).items()
        for right, level in job["permissions"].items()
        if level != "read"
    }
    assert permissions == {
        ("release", "images", "packages"),
        ("release", "images", "id-token"),
        ("release", "images", "attestations"),
        ("release", "publish", "contents"),
        ("release", "publish", "packages"),
        ("release", "publish", "id-token"),
        ("release", "publish", "attestations"),
        ("release", "pypi", "id-token"),
    }


def test_untrusted_expressions_stay_out_of_shell_commands(workflow: Path) -> None:
    """Reject expressions in `run`, where they become program text; values must be passed by `env`."""
    assert not [step["run"] for step in steps(workflow) if UNTRUSTED.search(step.get("run", ""))]


def test_checkout_does_not_persist_the_token(workflow: Path) -> None:
    checkouts = [step for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_releases_use_no_cache() -> None:
    text, _ = text_and_content(FOLDER / "release.yml")
    assert not re.search(r"\bcache(-from|-to)?:", text)


def test_every_make_target_of_a_workflow_exists(workflow: Path) -> None:
    assert make_targets(workflow) <= targets() | TARGETS_TO_COME


def test_every_path_of_a_workflow_exists(workflow: Path) -> None:
    missing = {path for path in named_paths(workflow) if not (ROOT / path).exists()}
    assert missing <= PATHS_TO_COME | MADE


def test_lists_of_missing_paths_and_targets_are_current() -> None:
    here = {path for path in PATHS_TO_COME if (ROOT / path).exists()} | (TARGETS_TO_COME & targets())
    assert not here, "these have come: take them out of the lists above"


def test_lists_name_only_paths_and_targets_of_workflows() -> None:
    names = set().union(*(named_paths(file) for file in FILES))
    assert names >= PATHS_TO_COME | MADE
    assert set().union(*(make_targets(file) for file in FILES)) >= TARGETS_TO_COME


def test_ci_runs_the_command_of_the_readme() -> None:
    assert [step["run"] for step in steps(FOLDER / "ci.yml") if "run" in step][-1] == ".ci/run"
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert "\nmake test\n" in script
    # Programs that tests start refuse a setting that they do not know.
    assert "export INFERWAY_" not in script
    assert "make test " in (ROOT / "README.md").read_text(encoding="utf-8")


def test_both_workflows_build_the_same_images() -> None:
    built = jobs(FOLDER / "images.yml")["build"]["strategy"]
    assert built == jobs(FOLDER / "release.yml")["images"]["strategy"]
    assert len(built["matrix"]["include"]) == 5


def test_release_contains_the_chart_of_its_commit() -> None:
    release = jobs(FOLDER / "release.yml")
    assert "make chart" in [step.get("run") for step in release["chart"]["steps"]]
    assert "chart" in release["publish"]["needs"]
    [attested] = [step["with"] for step in release["publish"]["steps"] if "attest" in step.get("uses", "")]
    created = [step["run"] for step in release["publish"]["steps"] if "gh release create" in step.get("run", "")]
    assert "chart/*" in attested["subject-path"]
    assert "chart/*" in created[0]


def test_latest_tag_moves_after_all_images_are_pushed() -> None:
    release = jobs(FOLDER / "release.yml")
    assert "latest" not in str(release["images"])
    publish = release["publish"]
    assert "images" in publish["needs"]
    moves = [step for step in publish["steps"] if ":latest" in step.get("run", "")]
    assert len(moves) == 1
    assert moves[0]["if"] == "needs.notes.outputs.prerelease == 'false'"
    looped = re.search(r"for image in (.*); do", moves[0]["run"])
    assert looped
    built = release["images"]["strategy"]["matrix"]["include"]
    assert sorted(looped[1].split()) == sorted(one["image"] for one in built)
    others = str({name: job for name, job in release.items() if name != "publish"})
    assert ":latest" not in others


def test_load_jobs_run_with_the_overlay_that_trusts_them() -> None:
    """Require the overlay; without it all clients of a k6 pod share one limit."""
    loads = [file for file in FILES if "load-job" in make_targets(file)]
    assert loads
    for file in loads:
        for job in jobs(file).values():
            commands = "\n".join(step.get("run", "") for step in job["steps"])
            before, separator, _ = commands.partition("make load-job")
            assert separator
            assert "kubectl apply -k manifests/overlays/load\n" in before
            assert before.index("make cluster") < before.index("manifests/overlays/load")
            assert "rollout status deployment/inferway-gateway" in before.partition("manifests/overlays/load")[2]


def test_compose_tests_run_in_a_workflow() -> None:
    assert any("compose-test" in make_targets(file) for file in FILES)


def test_ci_installs_promtool_before_the_tests() -> None:
    """Require promtool, because without it the tests of rules are skipped unnoticed."""
    commands = [step["run"] for step in steps(FOLDER / "ci.yml") if "run" in step]
    before = "\n".join(commands[: commands.index(".ci/run")])
    assert re.search(r"promtool --version\n.*GITHUB_PATH", before, re.DOTALL)


def test_dependabot_covers_every_pinned_version() -> None:
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text(encoding="utf-8"))["updates"]
    directories = {one["package-ecosystem"]: sorted(one.get("directories") or [one["directory"]]) for one in updates}
    dockerfiles = [*ROOT.glob("*/Dockerfile"), *ROOT.glob("services/*/Dockerfile")]
    assert directories == {
        "github-actions": ["/"],
        "docker": sorted(f"/{file.parent.relative_to(ROOT)}" for file in dockerfiles),
        "pip": ["/requirements"],
        "npm": [f"/{file.parent.relative_to(ROOT)}" for file in ROOT.glob("services/*/package-lock.json")],
    }
