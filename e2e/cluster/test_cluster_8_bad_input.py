"""Bad input: whatever is missing or wrong, pods say in one line what it is and how to mend it, what worked goes on, and all
of it recovers by itself once it is mended. Remedies are those of docs/install.md, and so are the words."""

from __future__ import annotations

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
    await_said,
    bare_pod,
    bring_api_server_back,
    ended,
    is_whole,
    kill_container,
    lines,
    mend,
    now,
    overlay_with,
    pod_of,
    restarts,
    restore,
    revive_controllers,
    say,
    take_api_server_away,
    timed,
    warnings,
)
from e2e.cluster.traffic import asking
from inferway_testing.until import until

pytestmark = pytest.mark.timeout(300)

Figures = Callable[[str], None]

RECOVERED = 10.0
"""Seconds from the end of the command that mends something until it is served and told again. Figures have the command too."""
LASTS = 8.0
"""Seconds that something stays broken: both planes try again every two or three of them, and must not tell of each."""


@pytest.fixture(scope="module", autouse=True)
def steady_route(cluster: Cluster) -> Iterator[None]:
    """A route in a namespace of its own that is asked all the time."""
    cluster.kubectl("create", "namespace", PLACE)
    say(cluster, "before")
    await_said(cluster, "before", 10)
    yield
    cluster.kubectl("delete", "namespace", PLACE, "--wait", "--timeout=60s")


@pytest.fixture(autouse=True)
def restored_cluster(cluster: Cluster) -> Iterator[None]:
    """Each test finds the cluster whole, and leaves it so; also one that fails half-way."""
    yield
    if cluster.attempt("get", "--raw", "/readyz", "--request-timeout=2s").returncode or not is_whole(cluster):
        restore(cluster)
        say(cluster, "before")


INSTALL = (ROOT / "docs/install.md").read_text()


def documented(words: str) -> str:
    """They stand in the table of docs/install.md."""
    assert words in INSTALL
    return words


def assert_one_warning(found: list[str], words: str, *more: str) -> None:
    """The one line that a pod complains with: these words of docs/install.md are in it, and more."""
    assert len(found) == 1, found
    print(found[0])
    for said in (documented(words), *more):
        assert said in found[0]


def test_missing_crds_are_reported_and_recovered_from(cluster: Cluster, figures: Figures):
    """With the definitions go all routes; nobody has said that they are to be served no more, so they are. The operator that
    runs tells of it, and so does one that is started meanwhile."""
    since = now()
    operator = pod_of(cluster, OPERATOR, OPERATOR_APP)["metadata"]["name"]
    with asking(cluster.port, "/", HOST, rate=100) as traffic:
        cluster.kubectl("delete", "-k", "crds")
        until(lambda: warnings(cluster, OPERATOR, operator, since), "the operator complains", 35)
        sleep(LASTS)
        assert cluster.ask("/infer?prompt=undefined").status == 200
        assert is_ready(pod_of(cluster, OPERATOR, OPERATOR_APP))
        told = warnings(cluster, OPERATOR, operator, since)
        fresh = _another_operator(cluster, operator, since)
        sleep(LASTS)
        assert _readyz(cluster, fresh).startswith("503 listing: the API server knows no gatewayroutes.inferway.dev")
        also_told = warnings(cluster, OPERATOR, fresh, since)
    for found in (told, also_told):
        assert_one_warning(
            found,
            "the API server does not know our resources: install the definitions in crds/ (kubectl apply -k crds) and apply the"
            " resources again; pods serve what was published last",
        )
    assert not traffic.failures
    with timed() as took:
        mend(cluster)
        say(cluster, "defined again")
        await_said(cluster, "defined again", RECOVERED)
        for kind, name in SAMPLED:
            until(lambda kind=kind, name=name: cluster.is_programmed(kind, DEMO, name), name, RECOVERED)
    figures(f"{traffic}; recovered after {took[0]:.1f} s")
    assert cluster.ask("/infer?prompt=defined").status == 200
    assert restarts(cluster)[fresh] == 0


def test_operator_without_rights_reports_it_and_recovers(cluster: Cluster, figures: Figures):
    """The one that runs, and one that is started meanwhile and cannot become ready."""
    since = now()
    operator = pod_of(cluster, OPERATOR, OPERATOR_APP)["metadata"]["name"]
    with asking(cluster.port, "/", HOST, rate=100) as traffic:
        cluster.kubectl("delete", "clusterrolebinding", "inferway-operator")
        say(cluster, "without rights")  # its status cannot be written
        until(lambda: warnings(cluster, OPERATOR, operator, since), "the operator complains", 35)
        sleep(LASTS)
        told = warnings(cluster, OPERATOR, operator, since)
        fresh = _another_operator(cluster, operator, since)
        sleep(LASTS)
        assert _readyz(cluster, fresh).startswith("503 listing: GET /apis/inferway.dev/")
        also_told = warnings(cluster, OPERATOR, fresh, since)
    for found in (told, also_told):
        assert_one_warning(
            found,
            "the API server forbids what the operator needs: a role or its binding is missing, apply the manifests again"
            " (kubectl apply -k)",
            "system:serviceaccount:inferway-operator:inferway-operator",
        )
    assert not traffic.failures
    with timed() as took:
        mend(cluster)
        until(lambda: is_ready(pod_of(cluster, OPERATOR, OPERATOR_APP)), "the operator is ready", RECOVERED)
        await_said(cluster, "without rights", RECOVERED)
    figures(f"{traffic}; recovered after {took[0]:.1f} s")
    assert restarts(cluster)[fresh] == 0


def _another_operator(cluster: Cluster, operator: str, since: str) -> str:
    """The pod that takes the place of this one, once it complains. It is not ready."""
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
    """Status and body, as the kubelet asks; the pod is not ready by that."""
    assert not is_ready(pod_of(cluster, OPERATOR, OPERATOR_APP))
    return cluster.run_python(OPERATOR, f"pod/{operator}", READYZ)


def _is_started(cluster: Cluster, pod: str) -> bool:
    statuses = cluster.get("pod", pod, "-n", OPERATOR)["status"].get("containerStatuses", ())
    return any("running" in status["state"] for status in statuses)


def test_data_plane_without_rights_keeps_serving_and_recovers(cluster: Cluster, figures: Figures):
    """It serves what it has, and is ready; what it cannot prove, the status does not claim."""
    since, before = now(), restarts(cluster)
    with asking(cluster.port, "/", HOST, rate=100) as traffic:
        cluster.kubectl("-n", GATEWAY, "delete", "rolebinding", "inferway-gateway")
        pods = cluster.gateway_pods()
        for pod in pods:
            until(lambda pod=pod: warnings(cluster, GATEWAY, pod, since), f"{pod} complains", 10)
        silent = until(lambda: _silent_pods_condition(cluster), "the status tells of pods that are not heard of", 30)
        assert cluster.gateway_pods() == pods, "they are ready"
        told = {pod: warnings(cluster, GATEWAY, pod, since) for pod in pods}
    for pod, found in told.items():
        assert 1 <= len(found) <= 2, found  # the Lease at once; the watches when the API server ends them, within 45 s
        for line in found:
            assert (
                documented("its Role or the binding is missing, apply the manifests again (kubectl apply -k)") in line
            )
            assert "system:serviceaccount:inferway-system:inferway-gateway" in line
        assert f'leases.coordination.k8s.io "{pod}" is forbidden' in found[0]
        assert documented("the Lease cannot be renewed, traffic goes on") in found[0]
    assert (silent["reason"], silent["status"]) == ("Pending", "False")
    assert all(pod in silent["message"] for pod in pods)
    assert not traffic.failures
    with timed() as took:
        mend(cluster)
        say(cluster, "with rights again")
        await_said(cluster, "with rights again", RECOVERED)
    figures(f"{traffic}; recovered after {took[0]:.1f} s")
    assert restarts(cluster) == before


def _silent_pods_condition(cluster: Cluster) -> dict[str, str]:
    """The condition, once it says so of every pod; else {}."""
    status = cluster.get("gwr", NAME, "-n", PLACE)["status"]
    laggards = status["dataPlane"].get("laggards", ())
    said = [one for one in laggards if one.get("error") == documented("not heard of for 15 s: its Lease has expired")]
    return cluster.condition("gwr", PLACE, NAME, "Programmed") if len(said) == 2 else {}


SETTINGS = {
    "values that are none": (
        "INFERWAY_OPERATOR_RETRY_PERIOD=soon",
        "inferway-operator: INFERWAY_OPERATOR_RETRY_PERIOD: Input should be a valid number",
        "INFERWAY_LISTEN=8080",
        "inferway-dataplane: INFERWAY_LISTEN: '8080' is not address:port, such as 127.0.0.1:8080 or [::]:8080",
    ),
    "names that are none": (
        "INFERWAY_OPERATOR_NAMESPACS=shop",
        "inferway-operator: INFERWAY_OPERATOR_NAMESPACS is no setting of the operator; the nearest is INFERWAY_OPERATOR_NAM",
        "INFERWAY_DRAIN_TIMOUT=3",
        "inferway-dataplane: INFERWAY_DRAIN_TIMOUT is no setting of the data plane; the nearest is INFERWAY_DRAIN_TIMEOUT",
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
    """New pods end with code 2 and a line, which is also in their status; those before them go on."""
    operator, operator_line, gateway, gateway_line = SETTINGS[name]
    before = restarts(cluster)
    with asking(cluster.port, "/", HOST, rate=100) as traffic:
        cluster.kubectl("apply", "-k", str(overlay_with(tmp_path, operator, gateway)))
        for namespace, app, line in ((OPERATOR, OPERATOR_APP, operator_line), (GATEWAY, GATEWAY_APP, gateway_line)):
            pod, state = until(
                lambda ns=namespace, app=app: _new_terminated_pod(cluster, ns, app, before), "it ends", 40
            )
            assert state["exitCode"] == 2
            [told] = state["message"].splitlines()
            print(told)
            assert told.startswith(line)
            _await_log(cluster, namespace, pod, state["message"])
        say(cluster, name)
        await_said(cluster, name, RECOVERED)
    assert not traffic.failures
    with timed() as took:
        mend(cluster)
        until(lambda: is_whole(cluster), "everything is as it was", RECOVERED)
    figures(f"{traffic}; recovered after {took[0]:.1f} s")
    assert restarts(cluster) == before, "the pods of before are those that serve"


def _new_terminated_pod(
    cluster: Cluster, namespace: str, app: str, known: dict[str, int]
) -> tuple[str, dict[str, str]] | None:
    """Name and last end of a pod that was not there before."""
    for pod in cluster.pods(namespace, app):
        if pod["metadata"]["name"] not in known and (state := ended(pod)):
            return pod["metadata"]["name"], state
    return None


def _await_log(cluster: Cluster, namespace: str, pod: str, text: str) -> None:
    """The log is this and nothing else; while the container starts again there is none."""
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
        "this is no pod with a token (automountServiceAccountToken), and there is no kubeconfig to use",
    ),
}


@pytest.mark.parametrize("plane", IMAGES)
def test_image_without_config_exits_with_a_message(cluster: Cluster, plane: str):
    namespace, app, line = IMAGES[plane]
    image = pod_of(cluster, namespace, app)["spec"]["containers"][0]["image"]
    name = f"bare-{plane.replace(' ', '-')}"
    cluster.apply(bare_pod(name, image, automountServiceAccountToken=False))
    try:
        state = until(lambda: ended(cluster.get("pod", name, "-n", DEMO)), "it ends", 30)
        assert state["exitCode"] == 2
        assert_one_warning(state["message"].splitlines(), line)
    finally:
        cluster.kubectl("delete", "pod", name, "-n", DEMO)


def test_missing_settings_config_map_blocks_new_pods_only(cluster: Cluster, figures: Figures):
    """Pods that run need it no more; the next one waits for it, and says so in its status."""
    settings = pod_of(cluster, GATEWAY, GATEWAY_APP)["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"]
    left, gone = cluster.gateway_pods()
    with asking(cluster.port, "/", HOST, rate=100) as traffic:
        cluster.kubectl("-n", GATEWAY, "delete", "configmap", settings)
        cluster.kubectl("-n", GATEWAY, "delete", "pod", gone, "--wait=false")
        waiting = until(lambda: _waiting(cluster, left), "a pod that waits", 30)
        assert waiting["reason"] == "CreateContainerConfigError"
        assert waiting["message"] == f'configmap "{settings}" not found'
        with timed() as took:
            mend(cluster)
            until(lambda: len(cluster.gateway_pods()) == 2, "two pods are ready", 30)
    assert not traffic.failures
    figures(f"{traffic}; recovered after {took[0]:.1f} s")
    until(lambda: is_whole(cluster), "everything is as it was", 60)


def _waiting(cluster: Cluster, but: str) -> dict[str, str]:
    for pod in cluster.pods(GATEWAY, GATEWAY_APP):
        for status in pod["status"].get("containerStatuses", ()):
            waiting = dict(status["state"].get("waiting", {}))
            if pod["metadata"]["name"] != but and waiting.get("reason") == "CreateContainerConfigError":
                return waiting
    return {}


def test_missing_data_plane_is_reported_in_status_and_log(cluster: Cluster, figures: Figures):
    """Nobody can serve anything: every route says so, and the operator does."""
    since = now()
    operator = pod_of(cluster, OPERATOR, OPERATOR_APP)["metadata"]["name"]
    cluster.kubectl("-n", GATEWAY, "scale", f"deployment/{GATEWAY_APP}", "--replicas=0")
    for namespace, name in ((DEMO, "infer"), (PLACE, NAME)):
        condition = until(lambda ns=namespace, name=name: _unserved(cluster, ns, name), f"{name} says so", 15)
        assert condition["message"] == documented("no pod of the data plane is ready to serve it")
    until(lambda: warnings(cluster, OPERATOR, operator, since), "the operator complains", 15)
    sleep(LASTS)
    assert_one_warning(
        warnings(cluster, OPERATOR, operator, since),
        "there is no data plane: no pod of it is ready, so nobody serves what is published; scale its Deployment up, or see why"
        " its pods are not ready",
        "kubectl -n inferway-system get pods -l inferway.dev/gateway=inferway",
    )
    say(cluster, "served by nobody")
    with timed() as took:
        mend(cluster)
        await_said(cluster, "served by nobody", 30)
    figures(f"recovered after {took[0]:.1f} s")
    said = [line["message"] for line in lines(cluster, OPERATOR, operator, since)]
    assert any("there is a data plane again" in line for line in said)
    until(lambda: is_whole(cluster), "everything is as it was", 60)


def _unserved(cluster: Cluster, namespace: str, name: str) -> dict[str, str]:
    found = cluster.condition("gwr", namespace, name, "Programmed")
    return found if (found.get("status"), found.get("reason")) == ("False", "NoDataPlane") else {}


def test_traffic_continues_while_the_api_server_is_down(cluster: Cluster, figures: Figures):
    """Traffic does not need it, nor does a container that starts meanwhile: it serves the last good copy."""
    since, before = now(), restarts(cluster)
    operator = pod_of(cluster, OPERATOR, OPERATOR_APP)["metadata"]["name"]
    ready = [pod for pod in cluster.pods(GATEWAY, GATEWAY_APP) if is_ready(pod)]
    # One that was killed before, by an earlier run, is started again later and later.
    killed, other = sorted(ready, key=lambda pod: before[pod["metadata"]["name"]])
    readyz = f"http://{killed['status']['podIP']}:9090/readyz"
    body = cluster.ask("/", HOST).body
    with asking(cluster.port, "/", HOST, rate=100) as traffic:
        take_api_server_away(cluster)
        sleep(LASTS)
    assert not traffic.failures
    assert ask_from_node(cluster, readyz) == "ok\n"
    kill_container(cluster, killed["metadata"]["name"], "gateway")
    with timed() as restarted:
        until(lambda: ask_from_node(cluster, readyz).startswith("ok, with the last good copy since "), "its copy", 45)
    address = f"http://{killed['status']['podIP']}:8080/"
    assert ask_from_node(cluster, address, f"host: {HOST}").encode() == body
    with asking(cluster.port, "/", HOST, rate=100) as after:
        bring_api_server_back(cluster)
        say(cluster, "the API server is back")
        with timed() as took:
            await_said(cluster, "the API server is back", RECOVERED)
    assert not after.failures
    figures(
        f"{traffic}; a killed container served its last good copy after {restarted[0]:.1f} s; recovered after {took[0]:.1f} s"
    )
    assert_one_warning(
        warnings(cluster, OPERATOR, operator, since),
        "the API server cannot be reached: pods serve what they have, and the operator goes on as soon as it answers; see that"
        " it runs, and that NetworkPolicies let this pod reach it",
    )
    assert_one_warning(
        warnings(cluster, GATEWAY, other["metadata"]["name"], since),
        "the API server does not answer, what is served goes on",
        "nothing here, it is asked until it answers: see that it runs, and that NetworkPolicies let this pod reach it",
    )
    name = killed["metadata"]["name"]
    wanted = before | {name: before[name] + 1}
    until(lambda: restarts(cluster) == wanted, "the kubelet has told of one restart, and of no other", 30)
    revive_controllers(cluster)
    until(lambda: is_whole(cluster), "everything is as it was", 60)
