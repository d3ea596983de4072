"""A run as a Job of the current cluster: replaces the Job, follows it, and returns its result."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import yaml
from rich.console import Console

from inferway_load import progress, runs
from inferway_load.kubectl import Kubectl, KubectlError

PACE = 0.5  # seconds between two reads of a pod or a Job
LAST_LINES = 400  # of the log, which hold the summary
FAILED = 1


class JobError(Exception):
    """The Job did not run; the text has its state."""


def with_parameters(rendered: str, parameters: dict[str, str]) -> tuple[str, str, str]:
    """Put the parameters into the Job's environment; returns manifests, the Job's namespace and name. Pure."""
    documents: list[dict[str, Any]] = list(yaml.safe_load_all(rendered))
    job = next(document for document in documents if document["kind"] == "Job")
    container = job["spec"]["template"]["spec"]["containers"][0]
    kept = [one for one in container["env"] if one["name"] not in parameters]
    container["env"] = kept + [{"name": name, "value": value} for name, value in parameters.items()]
    return yaml.safe_dump_all(documents), job["metadata"]["namespace"], job["metadata"]["name"]


def state(pod: dict[str, Any]) -> tuple[str, str]:
    """Return `waiting`, `running` or `ended` of the pod's one container, and why it waits. Pure."""
    status = pod["status"]
    for container in status.get("containerStatuses", []):
        container_state = container["state"]
        if "terminated" in container_state:
            return "ended", ""
        if "running" in container_state:
            return "running", ""
        waiting = container_state.get("waiting", {})
        return "waiting", f"{waiting.get('reason', '')} {waiting.get('message', '')}".strip()
    if status.get("phase") in ("Failed", "Succeeded"):
        return "ended", status.get("message", "")
    return "waiting", "; ".join(one.get("message", "") for one in status.get("conditions", []) if one.get("message"))


def exit_code(job: dict[str, Any], pods: list[dict[str, Any]]) -> int | None:
    """Return the exit code of a Job: 0, or its container's, or 1 if unknown. None = it has not ended. Pure."""
    ended = {one["type"] for one in job["status"].get("conditions", []) if one["status"] == "True"}
    if "Complete" in ended:
        return 0
    if "Failed" not in ended:
        return None
    for pod in pods:
        for container in pod["status"].get("containerStatuses", []):
            if (terminated := container["state"].get("terminated")) is not None:
                return int(terminated["exitCode"]) or FAILED
    return FAILED


def run(
    name: str, parameters: dict[str, str], kubectl: Kubectl, console: Console, *, start_within: float
) -> tuple[str, int]:
    """Run the Job to its end; returns the end of its log, and the exit code. `start_within` is in seconds."""
    rendered = kubectl.run("kustomize", str(runs.JOBS / name))
    manifests, namespace, job = with_parameters(rendered, parameters)
    # A Job cannot be changed, and the Job of the last run may still exist.
    kubectl.run("delete", "job", job, "-n", namespace, "--ignore-not-found", "--cascade=foreground", "--timeout=50s")
    kubectl.run("apply", "-f", "-", given=manifests)
    pod = _started(kubectl, namespace, job, start_within)
    progress.follow(name, _log(kubectl, namespace, pod, start_within), console)
    code = _ended(kubectl, namespace, job, start_within)
    return kubectl.run("logs", "-n", namespace, pod, f"--tail={LAST_LINES}"), code


def _pods(kubectl: Kubectl, namespace: str, job: str) -> list[dict[str, Any]]:
    pod_list: list[dict[str, Any]] = kubectl.get("pods", "-n", namespace, "-l", f"batch.kubernetes.io/job-name={job}")[
        "items"
    ]
    return pod_list


def _started(kubectl: Kubectl, namespace: str, job: str, within: float) -> str:
    deadline = time.monotonic() + within
    why = "it has no pod"
    while time.monotonic() < deadline:
        for pod in _pods(kubectl, namespace, job):
            where, why = state(pod)
            if where != "waiting":
                return str(pod["metadata"]["name"])
        time.sleep(PACE)
    raise JobError(f"{namespace}/{job} did not start within {within:.0f} s: {why}")


def _log(kubectl: Kubectl, namespace: str, pod: str, away: float) -> Iterator[str]:
    """Yield the log from now until the container ends. A stream that breaks earlier (log rotation) is resumed.

    An outage of the API server of less than `away` seconds does not end the run.
    """
    answered = time.monotonic()
    while True:
        yield from kubectl.lines("logs", "-f", "-n", namespace, pod, "--tail=10")
        try:
            if state(kubectl.get("pod", "-n", namespace, pod))[0] == "ended":
                return
            answered = time.monotonic()
        except KubectlError:
            if time.monotonic() - answered > away:
                raise
        time.sleep(PACE)


def _ended(kubectl: Kubectl, namespace: str, job: str, within: float) -> int:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        code = exit_code(kubectl.get("job", "-n", namespace, job), _pods(kubectl, namespace, job))
        if code is not None:
            return code
        time.sleep(PACE)
    raise JobError(f"{namespace}/{job}: its pod ended, the Job did not within {within:.0f} s")
