"""The Jobs as rendered by kustomize, and as accepted by a real API server."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from inferway_envtest.server import ApiServer
from inferway_load import runs
from inferway_load.kubectl import Kubectl


def rendered(run: str) -> dict[str, dict[str, Any]]:
    """Return the rendered objects by kind; there is one of each."""
    text = Kubectl.find(None).run("kustomize", str(runs.JOBS / run))
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


@pytest.mark.parametrize("run", runs.RUNS)
def test_job_contains_its_script_and_imports(run: str) -> None:
    objects = rendered(run)
    assert set(objects) == {"Namespace", "ConfigMap", "Job"}
    job, scripts = objects["Job"], objects["ConfigMap"]
    pod = job["spec"]["template"]["spec"]
    assert job["metadata"]["name"] == f"load-{run}"
    assert job["metadata"]["namespace"] == scripts["metadata"]["namespace"] == objects["Namespace"]["metadata"]["name"]
    assert job["spec"]["backoffLimit"] == 0
    assert pod["restartPolicy"] == "Never"
    (container,) = pod["containers"]
    assert container["args"] == [f"/load/{runs.RUNS[run]}"]
    (volume,) = (volume["configMap"] for volume in pod["volumes"])
    assert volume["name"] == scripts["metadata"]["name"]
    mounted = {item["path"]: scripts["data"][item["key"]] for item in volume["items"]}
    assert mounted == {str(file.relative_to(runs.SCRIPTS)): file.read_text() for file in runs.SCRIPTS.rglob("*.js")}


def test_image_version_is_that_of_the_tests() -> None:
    pinned = re.search(r"^k6==(\S+)", (runs.ROOT / "requirements" / "dev.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    (container,) = rendered("steady")["Job"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"grafana/k6:{pinned[1]}"


def test_usage_reports_of_k6_are_disabled() -> None:
    (container,) = rendered("steady")["Job"]["spec"]["template"]["spec"]["containers"]
    assert runs.QUIET_K6.items() <= {one["name"]: one["value"] for one in container["env"]}.items()


def test_api_server_accepts_the_jobs_and_their_pods(api_server: ApiServer) -> None:
    """Create a pod of the Job's template, because PodSecurity is enforced for pods only; a privileged one is rejected."""
    kubectl = api_server.kubectl
    objects = rendered("steady")
    namespace = objects["Namespace"]["metadata"]["name"]
    kubectl("apply", "-f", "-", input=yaml.safe_dump(objects["Namespace"]))
    for run in runs.RUNS:
        output = kubectl("apply", "--server-side", "--dry-run=server", "-k", str(runs.JOBS / run))
        assert f"job.batch/load-{run} serverside-applied" in output.stdout
    spec = objects["Job"]["spec"]["template"]["spec"] | {"serviceAccountName": "default"}
    kubectl("create", "serviceaccount", "default", "-n", namespace)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "k6", "namespace": namespace}, "spec": spec}
    kubectl("apply", "--dry-run=server", "-f", "-", input=yaml.safe_dump(pod))
    worse = pod | {"spec": spec | {"securityContext": {}}}
    rejection = kubectl("apply", "--dry-run=server", "-f", "-", input=yaml.safe_dump(worse), check=False)
    assert rejection.code != 0
    assert "violates PodSecurity" in rejection.stderr
