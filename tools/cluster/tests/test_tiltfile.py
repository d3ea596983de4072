"""All names in the Tiltfile exist: images, manifests, folders, resources, targets of make."""

from pathlib import Path
from typing import Any

import pytest
import starlark
from dockerfiles import instructions, sources
from tiltfile_evaluator import Tiltfile

from inferway_cluster.images import IMAGES, IN_CLUSTER, REGISTRY, ROOT

WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"}


@pytest.fixture(scope="module")
def tiltfile() -> Tiltfile:
    return Tiltfile()


def containers(tiltfile: Tiltfile) -> list[dict[str, Any]]:
    pods = [each["spec"]["template"]["spec"] for each in tiltfile.objects if each["kind"] in WORKLOADS]
    return [container for pod in pods for container in [*pod["containers"], *pod.get("initContainers", [])]]


def selector(each: dict[str, Any]) -> str:
    parts = [each["metadata"]["name"].replace(":", "\\:"), each["kind"].lower(), each["metadata"].get("namespace")]
    return ":".join(part for part in parts if part)


def test_tiltfile_rejects_another_cluster() -> None:
    with pytest.raises(starlark.StarlarkError, match="The current context is production; this is for kind-inferway"):
        Tiltfile(context="production")


def test_tiltfile_builds_every_image_with_its_dockerfile(tiltfile: Tiltfile) -> None:
    built = {call["ref"]: (call["dockerfile"], call["context"]) for call in tiltfile.calls["docker_build"]}
    assert built == {f"{REGISTRY}/{image.name}": (image.dockerfile, image.context) for image in IN_CLUSTER}


def test_every_image_of_a_pod_is_built(tiltfile: Tiltfile) -> None:
    built = {call["ref"] for call in tiltfile.calls["docker_build"]}
    named = {container["image"].rpartition(":")[0] for container in containers(tiltfile)}
    assert named == built


def test_build_context_is_limited_to_the_copied_paths(tiltfile: Tiltfile) -> None:
    by_file = {image.dockerfile: image for image in IMAGES}
    limited = [call for call in tiltfile.calls["docker_build"] if "only" in call]
    assert len(limited) == 3
    for call in limited:
        assert [path for path in call["only"] if not (ROOT / path).exists()] == []
        uncovered = [
            path
            for path in sources(by_file[call["dockerfile"]])
            if not any(Path(path).is_relative_to(only) for only in call["only"])
        ]
        assert uncovered == [], call["ref"]
        if "target" in call:
            assert call["target"] in {each.stage for each in instructions(by_file[call["dockerfile"]])}


def test_live_updates_sync_to_the_code_of_the_image(tiltfile: Tiltfile) -> None:
    live = [call for call in tiltfile.calls["docker_build"] if "live_update" in call]
    assert [call["ref"].rpartition("/")[2] for call in live] == ["operator", "dataplane"]
    for call in live:
        copied = {
            f"COPY {step['local_path']} {step['remote_path']}" for step in call["live_update"] if step["step"] == "sync"
        }
        assert len(copied) == 3
        assert copied <= set((ROOT / call["dockerfile"]).read_text().splitlines())
        assert all((ROOT / step["local_path"]).is_dir() for step in call["live_update"] if step["step"] == "sync")
        assert call["live_update"][-1] == {"step": "run", "cmd": "kill -HUP 1"}


def test_only_live_containers_have_a_writable_root(tiltfile: Tiltfile) -> None:
    for container in containers(tiltfile):
        security = container["securityContext"]
        is_live = container["image"].rpartition(":")[0] in (f"{REGISTRY}/operator", f"{REGISTRY}/dataplane")
        assert security["readOnlyRootFilesystem"] is not is_live
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"]["drop"] == ["ALL"]


def test_every_workload_is_a_resource(tiltfile: Tiltfile) -> None:
    workloads = {each["metadata"]["name"] for each in tiltfile.objects if each["kind"] in WORKLOADS}
    assert workloads == {call["workload"] for call in tiltfile.calls["k8s_resource"] if "workload" in call}


def test_every_other_object_is_in_exactly_one_group(tiltfile: Tiltfile) -> None:
    grouped = [one for call in tiltfile.calls["k8s_resource"] for one in call.get("objects", [])]
    assert sorted(grouped) == sorted(
        selector(each) for each in tiltfile.objects if each["kind"] not in WORKLOADS | {"Service"}
    )


def test_every_resource_has_a_label_and_valid_dependencies(tiltfile: Tiltfile) -> None:
    for name, call in tiltfile.resources.items():
        assert call.get("labels"), name
        assert set(call.get("resource_deps", [])) <= set(tiltfile.resources), name


def test_sample_routes_depend_on_established_crds(tiltfile: Tiltfile) -> None:
    routes = tiltfile.resources["sample-routes"]
    assert "definitions-established" in routes["resource_deps"]
    assert [one.split(":")[1] for one in routes["objects"]].count("gatewayroute") >= 1
    definitions = {one for one in tiltfile.resources["definitions"]["objects"] if ":customresourcedefinition" in one}
    waited = {part for part in tiltfile.resources["definitions-established"]["cmd"] if part.startswith("crd/")}
    assert {f"crd/{one.split(':')[0]}" for one in definitions} == waited


def test_forwarded_ports_exist_in_their_containers(tiltfile: Tiltfile) -> None:
    for call in tiltfile.calls["k8s_resource"]:
        for forward in call.get("port_forwards", []):
            pod = next(
                each["spec"]["template"]["spec"]
                for each in tiltfile.objects
                if each["kind"] == "Deployment" and each["metadata"]["name"] == call["workload"]
            )
            ports = {port["containerPort"] for container in pod["containers"] for port in container["ports"]}
            assert forward["container_port"] in ports, call["workload"]
    local = [forward["local_port"] for forward in tiltfile.calls["port_forward"]]
    assert len(set(local)) == len(local)


def test_links_point_to_reachable_ports(tiltfile: Tiltfile) -> None:
    reachable = {8080, *(forward["local_port"] for forward in tiltfile.calls["port_forward"])}
    assert {int(link["url"].split("/")[2].rpartition(":")[2]) for link in tiltfile.calls["link"]} <= reachable


def test_buttons_run_existing_make_targets(tiltfile: Tiltfile) -> None:
    targets = {line.partition(":")[0] for line in (ROOT / "Makefile").read_text().splitlines() if "## " in line}
    buttons = [call for call in tiltfile.calls["local_resource"] if call.get("trigger_mode") == "manual"]
    assert len(buttons) >= 5
    for call in buttons:
        assert call["auto_init"] is False
        if call["cmd"][0] == "make":
            assert call["cmd"][1] in targets, call["cmd"]
