"""Checks of the images without docker: their files exist, and their processes meet the requirements of pods."""

import pytest
from dockerfiles import LABELS, exec_form, instructions, is_let_through, settings_of, sources

from inferway_cluster.images import IMAGES, ROOT, UID, Image
from inferway_dataplane.settings import Settings
from inferway_operator.settings import HttpSettings, OperatorSettings
from service_python.settings import Settings as ServiceSettings

PYTHON = [image for image in IMAGES if image.context == "."]
every = pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
of_python = pytest.mark.parametrize("image", PYTHON, ids=lambda image: image.name)


def test_every_dockerfile_belongs_to_an_image() -> None:
    dockerfiles = {
        path.relative_to(ROOT).as_posix()
        for pattern in ("*/Dockerfile", "services/*/Dockerfile")
        for path in ROOT.glob(pattern)
    }
    assert dockerfiles == {image.dockerfile for image in IMAGES}


@every
def test_user_is_that_of_the_manifests(image: Image) -> None:
    users = [each.rest for each in instructions(image) if each.name == "USER"]
    assert users == [f"{UID}:{UID}"], "by number, or runAsNonRoot refuses the pod"


@every
def test_entrypoint_uses_the_exec_form(image: Image) -> None:
    entrypoints = [each for each in instructions(image) if each.name in ("ENTRYPOINT", "CMD")]
    assert entrypoints
    assert all(exec_form(each.rest) for each in entrypoints)


@every
def test_base_images_have_pinned_tags(image: Image) -> None:
    stages = {each.rest.split()[-1] for each in instructions(image) if each.name == "FROM"}
    bases = {each.rest.split()[0] for each in instructions(image) if each.name == "FROM"} - stages
    assert bases <= {"python:3.12-slim", "node:22-slim"}
    assert bases


@pytest.mark.parametrize(
    "path",
    [
        "/usr/local/lib/node_modules/npm",
        "/usr/local/lib/node_modules/corepack",
        "/opt/yarn-*",
        *(f"/usr/local/bin/{program}" for program in ("npm", "npx", "corepack", "yarn", "yarnpkg")),
    ],
)
def test_node_image_removes_its_package_managers(path: str) -> None:
    """Check the Dockerfile, because a substitute for the official image may lack some of the package managers."""
    (image,) = [image for image in IMAGES if image.name == "service-node"]
    removed = [each.rest.split() for each in instructions(image) if (each.stage, each.name) == ("release", "RUN")]
    assert [path in words for words in removed if words[:2] == ["rm", "-rf"]] == [True]


@of_python
def test_copied_paths_exist_and_pass_dockerignore(image: Image) -> None:
    taken = list(sources(image))
    assert taken
    assert [path for path in taken if not (ROOT / path).exists()] == []
    assert [path for path in taken if not is_let_through(path)] == []


@of_python
def test_packages_are_copied_before_code(image: Image) -> None:
    order = [each for each in instructions(image) if each.stage == "runtime" and each.name == "COPY"]
    assert [each.rest.split()[0] for each in order] == ["--from=packages", "--from=code"]


@of_python
def test_image_has_the_opencontainers_labels(image: Image) -> None:
    (labels,) = [each for each in instructions(image) if each.name == "LABEL"]
    assert labels.stage == "release"
    assert [name for name in LABELS if f"org.opencontainers.image.{name}=" not in labels.rest] == []


@of_python
def test_default_stage_is_the_release(image: Image) -> None:
    assert [each for each in instructions(image) if each.name == "FROM"][-1].rest == "runtime AS release"


@of_python
def test_environment_names_existing_settings(image: Image) -> None:
    names = {f"INFERWAY_{name}".upper() for name in Settings.model_fields}
    names |= {
        f"INFERWAY_OPERATOR_{name}".upper() for name in {**OperatorSettings.model_fields, **HttpSettings.model_fields}
    }
    names |= {f"SERVICE_PYTHON_{name}".upper() for name in ServiceSettings.model_fields}
    ours = {name for name in settings_of(image) if name.startswith(("INFERWAY_", "SERVICE_"))}
    assert ours <= names


@of_python
def test_live_stage_runs_the_same_command(image: Image) -> None:
    by_stage = {each.stage: exec_form(each.rest) for each in instructions(image) if each.name == "ENTRYPOINT"}
    if image.name in ("operator", "dataplane"):
        assert by_stage["live"] == ["python", "-m", "inferway_live", *by_stage["runtime"]]
    else:
        assert set(by_stage) == {"runtime"}
