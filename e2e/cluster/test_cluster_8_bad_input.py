"""Bad input: pods report each error and its fix in one line, serving continues, and recovery follows the fix.

Fixes and messages are those of docs/install.md."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from time import sleep

import pytest

from e2e.cluster.access import DEMO, GATEWAY, OPERATOR, ROOT, Cluster, is_ready
from e2e.cluster.breaking import (
    GATEWAY_APP,
    HOST,
    NAME,
    OPERATOR_APP,
    PLACE,
    SAMPLED,
    ask_from_node,
    await_route_body,
    bare_pod,
    bring_api_server_back,
    is_healthy,
    kill_container,
    last_termination,
    lines,
    now,
    overlay_with,
    pod_of,
    reinstall,
    restarts,
    restore,
    revive_controllers,
    set_route_body,
    take_api_server_away,
    timed,
    warnings,
)
from e2e.cluster.traffic import steady_traffic
from inferway_testing.until import until

pytestmark = pytest.mark.timeout(300)

Figures = Callable[[str], None]

RECOVERED = 10.0
"""Seconds from the end of the fixing command until changes are served and reported. Figures include the command."""
LASTS = 8.0
"""Seconds that an error lasts: both planes retry every two or three seconds, and must not log each retry."""


@pytest.fixture(scope="module", autouse=True)
def steady_route(cluster: Cluster) -> Iterator[None]:
    """Install a route in a separate namespace and send requests to it continuously."""
    cluster.kubectl("create", "namespace", PLACE)
    set_route_body(cluster, "before")
    await_route_body(cluster, "before", 10)
    yield
    cluster.kubectl("delete", "namespace", PLACE, "--wait", "--timeout=60s")


@pytest.fixture(autouse=True)
def restored_cluster(cluster: Cluster) -> Iterator[None]:
    """Restore the cluster before and after each test, even a failed one."""
    yield
    if cluster.attempt("get", "--raw", "/readyz", "--request-timeout=2s").returncode or not is_healthy(cluster):
        restore(cluster)
        set_route_body(cluster, "before")


INSTALL = (ROOT / "docs/install.md").read_text()


def documented(words: str) -> str:
    """Assert that the words are in the table of docs/install.md."""
    assert words in INSTALL
    return words


def assert_one_warning(messages: list[str], words: str, *more: str) -> None:
    """Assert that a pod logged one warning, with these words of docs/install.md and more."""
    assert len(messages) == 1, messages
    print(messages[0])
    for part in (documented(words), *more):
        assert part in messages[0]


def assert_one_outage(messages: list[str], words: str, *more: str) -> None:
    """Assert that a pod logged an outage once, with these words, and at most one more kind of failure."""
    assert len({message.partition(" | ")[0] for message in messages}) == len(messages) <= 2, messages
    assert_one_warning([message for message in messages if words in message], words, *more)


def test_missing_crds_are_reported_and_recovered_from(cluster: Cluster, figures: Figures):
    """Deleting the definitions deletes all routes; this is not a user's request, so pods keep serving them.

    The running operator and a newly started one report the error.
    """
    since = now()
    operator = pod_of(cluster, OPERATOR, OPERATOR_APP)["metadata"]["name"]
    with steady_traffic(cluster.port, "/", HOST, rate=100) as traffic:
        cluster.kubectl("delete", "-k", "crds")
        until(lambda: warnings(cluster, OPERATOR, operator, since), "the operator complains", 35)
        sleep(LASTS)
        assert cluster.ask("/infer?prompt=undefined").status == 200
        assert is_ready(pod_of(cluster, OPERATOR, OPERATOR_APP))
        old_warnings = warnings(cluster, OPERATOR, operator, since)
        fresh = _another_operator(cluster, operator, since)
        sleep(LASTS)
        assert _readyz(cluster, fresh).startswith(
            "503 listing: the API server does not know a kind that this process needs: "
        )
        fresh_warnings = warnings(cluster, OPERATOR, fresh, since)
    for messages in (old_warnings, fresh_warnings):
        assert_one_warning(
            messages,
            "the API server does not know a kind that this process needs; the live documents stay",
            documented("install the definitions in crds/ (kubectl apply -k crds) and apply the resources again"),
        )
    assert not traffic.failures
    with timed() as took:
        reinstall(cluster)
        set_route_body(cluster, "defined again")
        await_route_body(cluster, "defined again", RECOVERED)
        for kind, name in SAMPLED:
            until(lambda kind=kind, name=name: cluster.is_programmed(kind, DEMO, name), name, RECOVERED)
    figures(f"{traffic}; recovered after {took[0]:.1f} s")
    assert cluster.ask("/infer?prompt=defined").status == 200
    assert restarts(cluster)[fresh] == 0


def test_operator_without_rights_reports_it_and_recovers(cluster: Cluster, figures: Figures):
    """A running operator, and one started meanwhile, which cannot become ready."""
    since = now()
    operator = pod_of(cluster, OPERATOR, OPERATOR_APP)["metadata"]["name"]
    with steady_traffic(cluster.port, "/", HOST, rate=100) as traffic:
        cluster.kubectl("delete", "clusterrolebinding", "inferway-operator")
        set_route_body(cluster, "without rights")  # its status cannot be written
        until(lambda: warnings(cluster, OPERATOR, operator, since), "the operator complains", 35)
        sleep(LASTS)
        old_warnings = warnings(cluster, OPERATOR, operator, since)
        fresh = _another_operator(cluster, operator, since)
        sleep(LASTS)
        assert _readyz(cluster, fresh).startswith(
            "503 listing: the API server refuses a request of this process: GET /api"
        )
        fresh_warnings = warnings(cluster, OPERATOR, fresh, since)
    # The status of the changed route is refused for the same reason, which is a warning of its own.
    old_warnings = [one for one in old_warnings if not one.startswith("status not written, trying again: ")]
    for messages in (old_warnings, fresh_warnings):
        assert_one_warning(
            messages,
            "the API server refuses a request of this process; the live documents stay",
            documented("a role or its binding is missing: apply the manifests again (kubectl apply -k)"),
            "system:serviceaccount:inferway-operator:inferway-operator",
        )
    assert not traffic.failures
    with timed() as took:
        reinstall(cluster)
        until(lambda: is_ready(pod_of(cluster, OPERATOR, OPERATOR_APP)), "the operator is ready", RECOVERED)
        await_route_body(cluster, "without rights", RECOVERED)
    figures(f"{traffic}; recovered after {took[0]:.1f} s")
    assert restarts(cluster)[fresh] == 0


def _another_operator(cluster: Cluster, operator: str, since: str) -> str:
    """Return the pod that replaces this one, once it logs a warning. It is not ready."""
    cluster.kubectl("-n", OPERATOR, "delete", "pod", operator, "--wait=false")
    fresh: str = until(
        lambda: next((pod["metadata"]["name"] for pod in cluster.pods(OPERATOR, OPERATOR_APP)), ""), "another pod", 20
    )
    until(lambda: _is_started(cluster, fresh) and warnings(cluster, OPERATOR, fresh, since), f"{fresh} complains", 30)
    return fresh


READYZ = """
import urllib.error, urllib.request
try:
    answer = urllib.request.urlopen("http://127.0.0.1:9091/readyz", timeout=5)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.read().decode())
"""


def _readyz(cluster: Cluster, operator: str) -> str:
    """Return status and body of the readiness probe, which fails."""
    assert not is_ready(pod_of(cluster, OPERATOR, OPERATOR_APP))
    return cluster.run_python(OPERATOR, f"pod/{operator}", READYZ)


def _is_started(cluster: Cluster, pod: str) -> bool:
    statuses = cluster.get("pod", pod, "-n", OPERATOR)["status"].get("containerStatuses", ())
    return any("running" in status["state"] for status in statuses)


def test_data_plane_without_rights_keeps_serving_and_recovers(cluster: Cluster, figures: Figures):
    """A pod serves its config and is ready; the status does not count it, because it cannot acknowledge."""
    since, before = now(), restarts(cluster)
    with steady_traffic(cluster.port, "/", HOST, rate=100) as traffic:
        cluster.kubectl("-n", GATEWAY, "delete", "rolebinding", "inferway-gateway")
        pods = cluster.gateway_pods()
        for pod in pods:
            until(lambda pod=pod: warnings(cluster, GATEWAY, pod, since), f"{pod} complains", 10)
        silent = until(lambda: _silent_pods_condition(cluster), "the status lists silent pods", 30)
        assert cluster.gateway_pods() == pods, "they are ready"
        warnings_by_pod = {pod: warnings(cluster, GATEWAY, pod, since) for pod in pods}
    for pod, messages in warnings_by_pod.items():
        assert 1 <= len(messages) <= 2, (
            messages
        )  # the Lease at once, the watches when the API server ends them, within 45 s
        for line in messages:
            assert documented("a role or its binding is missing: apply the manifests again (kubectl apply -k)") in line
            assert "system:serviceaccount:inferway-system:inferway-gateway" in line
        # The first call to fail is the Lease's, or the index's where its watch has just ended.
        assert re.search(rf'leases\.coordination\.k8s\.io "{pod}" is forbidden|configmaps.* is forbidden', messages[0])
        assert documented("the Lease cannot be renewed, traffic continues") in messages[0]
    assert (silent["reason"], silent["status"]) == ("Pending", "False")
    assert all(pod in silent["message"] for pod in pods)
    assert not traffic.failures
    with timed() as took:
        reinstall(cluster)
        set_route_body(cluster, "with rights again")
        await_route_body(cluster, "with rights again", RECOVERED)
    figures(f"{traffic}; recovered after {took[0]:.1f} s")
    assert restarts(cluster) == before


def _silent_pods_condition(cluster: Cluster) -> dict[str, str]:
    """Return the condition once it lists every pod as silent; else {}."""
    status = cluster.get("gwr", NAME, "-n", PLACE)["status"]
    laggards = status["dataPlane"].get("laggards", ())
    silent = [one for one in laggards if one.get("error") == documented("Lease expired: not renewed for 15 s")]
    return cluster.condition("gwr", PLACE, NAME, "Programmed") if len(silent) == 2 else {}


SETTINGS = {
    "values that are none": (
        "INFERWAY_OPERATOR_RETRY_PERIOD=soon",
        "inferway-operator: INFERWAY_OPERATOR_RETRY_PERIOD: Input should be a valid number",
        "INFERWAY_LISTEN=8080",
        "inferway-dataplane: INFERWAY_LISTEN: '8080' is not address:port, such as 127.0.0.1:8080 or [::]:8080",
    ),
    "names that are none": (
        "INFERWAY_OPERATOR_NAMESPACS=shop",
        "inferway-operator: unknown setting INFERWAY_OPERATOR_NAMESPACS; did you mean INFERWAY_OPERATOR_NAM",
        "INFERWAY_DRAIN_TIMOUT=3",
        "inferway-dataplane: unknown setting INFERWAY_DRAIN_TIMOUT; did you mean INFERWAY_DRAIN_TIMEOUT",
    ),
    "files that are not there": (
        "INFERWAY_OPERATOR_HOSTNAME_POLICY_FILE=/nowhere.yaml",
        "inferway-operator: INFERWAY_OPERATOR_HOSTNAME_POLICY_FILE: /nowhere.yaml: No such file or directory",
        "INFERWAY_TLS_CERT=/nowhere.crt INFERWAY_TLS_KEY=/nowhere.key",
        "inferway: tls_cert, tls_key: cannot read /nowhere.crt or /nowhere.key: No such file or directory",
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_invalid_settings_stop_new_pods_only(cluster: Cluster, figures: Figures, tmp_path: Path, name: str):
    """New pods exit with code 2 and one line, which is also in their status; earlier pods continue."""
    operator, operator_line, gateway, gateway_line = SETTINGS[name]
    before = restarts(cluster)
    with steady_traffic(cluster.port, "/", HOST, rate=100) as traffic:
        cluster.kubectl("apply", "-k", str(overlay_with(tmp_path, operator, gateway)))
        for namespace, app, line in ((OPERATOR, OPERATOR_APP, operator_line), (GATEWAY, GATEWAY_APP, gateway_line)):
            pod, state = until(
                lambda ns=namespace, app=app: _new_terminated_pod(cluster, ns, app, before), "it ends", 40
            )
            assert state["exitCode"] == 2
            [message] = state["message"].splitlines()
            print(message)
            assert message.startswith(line)
            _await_log(cluster, namespace, pod, state["message"])
        set_route_body(cluster, name)
        await_route_body(cluster, name, RECOVERED)
    assert not traffic.failures
    with timed() as took:
        reinstall(cluster)
        until(lambda: is_healthy(cluster), "everything is as it was", RECOVERED)
    figures(f"{traffic}; recovered after {took[0]:.1f} s")
    assert restarts(cluster) == before, "the pods of before are those that serve"


def _new_terminated_pod(
    cluster: Cluster, namespace: str, app: str, before: dict[str, int]
) -> tuple[str, dict[str, str]] | None:
    """Return name and last termination of a new pod."""
    for pod in cluster.pods(namespace, app):
        if pod["metadata"]["name"] not in before and (state := last_termination(pod)):
            return pod["metadata"]["name"], state
    return None


def _await_log(cluster: Cluster, namespace: str, pod: str, text: str) -> None:
    """Wait until the log is exactly this text; it is empty while the container restarts."""
    until(lambda: cluster.logs(namespace, f"pod/{pod}") == text, f"the log of {pod} is {text}", 20)


IMAGES = {
    "data plane": (
        GATEWAY,
        GATEWAY_APP,
        "in a pod POD_NAME, POD_NAMESPACE and POD_UID come from the downward API: apply the manifests",
    ),
    "operator": (
        OPERATOR,
        OPERATOR_APP,
        "this is not a pod with a token (automountServiceAccountToken)",
    ),
}


@pytest.mark.parametrize("plane", IMAGES)
def test_image_without_config_exits_with_a_message(cluster: Cluster, plane: str):
    namespace, app, line = IMAGES[plane]
    image = pod_of(cluster, namespace, app)["spec"]["containers"][0]["image"]
    name = f"bare-{plane.replace(' ', '-')}"
    cluster.apply(bare_pod(name, image, automountServiceAccountToken=False))
    try:
        state = until(lambda: last_termination(cluster.get("pod", name, "-n", DEMO)), "it ends", 30)
        assert state["exitCode"] == 2
        assert_one_warning(state["message"].splitlines(), line)
    finally:
        cluster.kubectl("delete", "pod", name, "-n", DEMO)


def test_missing_settings_config_map_blocks_new_pods_only(cluster: Cluster, figures: Figures):
    """Running pods do not need the ConfigMap; a new pod waits for it, as its status shows."""
    settings = pod_of(cluster, GATEWAY, GATEWAY_APP)["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"]
    left, gone = cluster.gateway_pods()
    with steady_traffic(cluster.port, "/", HOST, rate=100) as traffic:
        cluster.kubectl("-n", GATEWAY, "delete", "configmap", settings)
        cluster.kubectl("-n", GATEWAY, "delete", "pod", gone, "--wait=false")
        waiting = until(lambda: _waiting(cluster, left), "a pod that waits", 30)
        assert waiting["reason"] == "CreateContainerConfigError"
        assert waiting["message"] == f'configmap "{settings}" not found'
        with timed() as took:
            reinstall(cluster)
            until(lambda: len(cluster.gateway_pods()) == 2, "two pods are ready", 30)
    assert not traffic.failures
    figures(f"{traffic}; recovered after {took[0]:.1f} s")
    until(lambda: is_healthy(cluster), "everything is as it was", 60)


def _waiting(cluster: Cluster, but: str) -> dict[str, str]:
    for pod in cluster.pods(GATEWAY, GATEWAY_APP):
        for status in pod["status"].get("containerStatuses", ()):
            waiting = dict(status["state"].get("waiting", {}))
            if pod["metadata"]["name"] != but and waiting.get("reason") == "CreateContainerConfigError":
                return waiting
    return {}


def test_missing_data_plane_is_reported_in_status_and_log(cluster: Cluster, figures: Figures):
    """Without a data plane, the status of every route and the operator's log report it."""
    since = now()
    operator = pod_of(cluster, OPERATOR, OPERATOR_APP)["metadata"]["name"]
    cluster.kubectl("-n", GATEWAY, "scale", f"deployment/{GATEWAY_APP}", "--replicas=0")
    for namespace, name in ((DEMO, "infer"), (PLACE, NAME)):
        condition = until(lambda ns=namespace, name=name: _unserved(cluster, ns, name), f"{name} says so", 15)
        assert condition["message"] == documented("no ready data-plane pod")
    until(lambda: warnings(cluster, OPERATOR, operator, since), "the operator complains", 15)
    sleep(LASTS)
    assert_one_warning(
        warnings(cluster, OPERATOR, operator, since),
        "no ready data-plane pod: the published config is not served; scale the Deployment up, or check its pods",
        "kubectl -n inferway-system get pods -l inferway.dev/gateway=inferway",
    )
    set_route_body(cluster, "served by nobody")
    with timed() as took:
        reinstall(cluster)
        await_route_body(cluster, "served by nobody", 30)
    figures(f"recovered after {took[0]:.1f} s")
    messages = [line["message"] for line in lines(cluster, OPERATOR, operator, since)]
    assert any("the data plane is ready again" in line for line in messages)
    until(lambda: is_healthy(cluster), "everything is as it was", 60)


def _unserved(cluster: Cluster, namespace: str, name: str) -> dict[str, str]:
    current = cluster.condition("gwr", namespace, name, "Programmed")
    return current if (current.get("status"), current.get("reason")) == ("False", "NoDataPlane") else {}


def test_traffic_continues_while_the_api_server_is_down(cluster: Cluster, figures: Figures):
    """Traffic continues, and a container that starts meanwhile serves the last good copy."""
    since, before = now(), restarts(cluster)
    operator = pod_of(cluster, OPERATOR, OPERATOR_APP)["metadata"]["name"]
    ready = [pod for pod in cluster.pods(GATEWAY, GATEWAY_APP) if is_ready(pod)]
    # The kubelet delays each further restart of a container killed by an earlier run.
    killed, other = sorted(ready, key=lambda pod: before[pod["metadata"]["name"]])
    readyz = f"http://{killed['status']['podIP']}:9090/readyz"
    body = cluster.ask("/", HOST).body
    with steady_traffic(cluster.port, "/", HOST, rate=100) as traffic:
        take_api_server_away(cluster)
        sleep(LASTS)
    assert not traffic.failures
    assert ask_from_node(cluster, readyz) == "ok\n"
    kill_container(cluster, killed["metadata"]["name"], "gateway")
    with timed() as restarted:
        until(lambda: ask_from_node(cluster, readyz).startswith("ok, with the last good copy since "), "its copy", 45)
    address = f"http://{killed['status']['podIP']}:8080/"
    assert ask_from_node(cluster, address, f"host: {HOST}").encode() == body
    with steady_traffic(cluster.port, "/", HOST, rate=100) as after:
        bring_api_server_back(cluster)
        set_route_body(cluster, "the API server is back")
        with timed() as took:
            await_route_body(cluster, "the API server is back", RECOVERED)
    assert not after.failures
    figures(
        f"{traffic}; a killed container served its last good copy after {restarted[0]:.1f} s; recovered after {took[0]:.1f} s"
    )
    assert_one_outage(
        warnings(cluster, OPERATOR, operator, since),
        "the API server cannot be reached; the live documents stay",
        documented("check that the API server runs and that NetworkPolicies let this process reach it"),
    )
    assert_one_outage(
        warnings(cluster, GATEWAY, other["metadata"]["name"], since),
        "the API server cannot be reached; the live documents stay",
        "check that the API server runs and that NetworkPolicies let this process reach it",
    )
    name = killed["metadata"]["name"]
    wanted = before | {name: before[name] + 1}
    until(lambda: restarts(cluster) == wanted, "the kubelet reports one restart, and no other", 30)
    revive_controllers(cluster)
    until(lambda: is_healthy(cluster), "everything is as it was", 60)
