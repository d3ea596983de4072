"""What the API server refuses, or what others have changed: statuses stay truthful and fair, and the config is healed."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from admission_policies import denied
from operator_process import SERVICE, Gateway, gateway

from inferway_contract.sharding import INDEX_KEY
from inferway_envtest import ApiServer
from inferway_testing.until import until

ROUTE = """
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {name: %s}
spec: {rules: [{matches: [{path: {value: /%s}}], filters: [{type: DirectResponse, directResponse: {statusCode: %d}}]}]}
"""
UNRESOLVED = """
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {name: %s}
spec: {rules: [{matches: [{path: {value: /%s}}], backendRefs: [{name: web, port: 81}]}]}
"""
MERGE = "application/merge-patch+json"


@pytest.fixture(scope="module")
def running(api_server: ApiServer) -> Iterator[Gateway]:
    """A gateway with an operator that has published, and audits each second; one for all, as its start takes seconds."""
    with gateway(api_server) as made:
        made.start(audit_interval="1")
        until(lambda: made.revision, "a first config", 20)
        yield made


def evaluated(made: Gateway, name: str, namespace: str = "") -> bool:
    """Whether a route has a status for its newest generation."""
    found = made.get("GatewayRoute", name, namespace)
    return bool(found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"])


def seconds_until_evaluated(made: Gateway, manifest: str, name: str, namespace: str = "") -> float:
    """Apply a route; the seconds until it has its status."""
    began = time.monotonic()
    made.apply(manifest, namespace)
    until(lambda: evaluated(made, name, namespace), f"{name} has a status", 30)
    return time.monotonic() - began


def patch(made: Gateway, path: str, body: dict[str, Any], query: str = "") -> Any:
    return made.api.ask("PATCH", f"{path}?fieldManager=somebody{query}", body, MERGE)


@pytest.mark.case("K3")
def test_denied_status_of_one_route_delays_no_other(running: Gateway) -> None:
    running.apply("---".join(ROUTE % (name, name, 200) for name in ("denied", "other")))
    until(lambda: evaluated(running, "denied") and evaluated(running, "other"), "both have a status")
    status = f"{running.path('GatewayRoute', 'denied')}/status"

    def attempt() -> None:
        patch(running, status, {"status": {"observedGeneration": 1}}, "&dryRun=All")

    with denied(
        running.api,
        running.team,
        "inferway.dev/gatewayroutes/status",
        "object.metadata.name != 'denied'",
        "no",
        attempt,
    ):
        running.apply(ROUTE % ("denied", "denied", 201))
        until(lambda: running.running[0].has_logged("status not written"), "the refusal is logged")
        waits = [seconds_until_evaluated(running, ROUTE % ("other", "other", 202 + one), "other") for one in range(3)]
        assert max(waits) < 2
        assert not evaluated(running, "denied")
        assert running.running[0].count("status not written") == 1
    until(lambda: evaluated(running, "denied"), "it is tried again", 40)


@pytest.mark.case("K3")
def test_denied_shard_is_reported_to_waiting_objects(running: Gateway) -> None:
    running.apply(ROUTE % ("before", "before", 200))
    running.wait_for("before", "Programmed", "False", "NoDataPlane")
    maps = running.path("ConfigMap", "", running.namespace)

    def attempt() -> None:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "attempt"}}
        running.api.ask("POST", f"{maps}?dryRun=All", body)

    mark = len(running.running[0].lines)
    with denied(running.api, running.namespace, "/configmaps", "oldObject != null", "exceeded quota: q", attempt):
        running.apply(ROUTE % ("waiting", "waiting", 200))
        running.wait_for("waiting", "Programmed", "False", "NotPublished")
        condition = running.condition("GatewayRoute", "waiting", "Programmed")
        assert "an admission policy denies it: ValidatingAdmissionPolicy" in condition["message"]
        assert running.told("waiting", "Ready") == ("False", "NotPublished")
        assert running.told("before", "Programmed") == ("False", "NoDataPlane"), "its part is published"
    running.wait_for("waiting", "Programmed", "False", "NoDataPlane")
    logged = "".join(running.running[0].lines[mark:])
    assert "an admission policy denies a write of this process" in logged
    assert "a role or its binding is missing" not in logged


WORD = "forbidden-by-policy"
TEXT = """
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {name: %s}
spec:
  rules:
  - matches: [{path: {value: /%s}}]
    filters: [{type: DirectResponse, directResponse: {statusCode: 200, body: %s}}]
"""


@contextmanager
def word_denied(made: Gateway, word: str) -> Iterator[None]:
    """No ConfigMap is created whose data contains the word."""

    def attempt() -> None:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "attempt"}, "data": {"text": word}}
        made.api.ask("POST", f"{made.path('ConfigMap', '', made.namespace)}?dryRun=All", body)

    condition = f"oldObject != null || !has(object.data) || object.data.all(key, !object.data[key].contains('{word}'))"
    with denied(made.api, made.namespace, "/configmaps", condition, "the text is forbidden", attempt):
        yield


def bodies(made: Gateway) -> dict[str, str]:
    """The published bodies of direct responses, by route."""
    rules = ((route.id, rule) for route in made.config().routes for rule in route.rules)
    return {id_: rule.respond.body for id_, rule in rules if rule.respond is not None}


@pytest.mark.case("K3")
def test_refused_text_of_one_tenant_delays_no_other(running: Gateway) -> None:
    """Both are in one shard. The tenant keeps what was published, is reported to, and is tried again after its change."""
    running.apply(TEXT % ("tenant", "tenant", "first"))
    running.apply(TEXT % ("neighbour", "neighbour", "first"), running.namespace)
    tenant, neighbour = f"{running.team}/tenant", f"{running.namespace}/neighbour"
    until(lambda: bodies(running).keys() >= {tenant, neighbour}, "both are published")
    with word_denied(running, WORD):
        running.apply(TEXT % ("tenant", "tenant", WORD))
        running.apply(TEXT % ("tenant-new", "tenant-new", "a-new-one"))
        for turn in range(4):
            changed = time.monotonic()
            running.apply(TEXT % ("neighbour", "neighbour", f"turn-{turn}"), running.namespace)
            until(lambda turn=turn: bodies(running)[neighbour] == f"turn-{turn}", "the neighbour is published")
            assert time.monotonic() - changed < 2
        running.wait_for("tenant", "Programmed", "False", "NotPublished")
        running.wait_for("tenant-new", "Programmed", "False", "NotPublished")
        message = running.condition("GatewayRoute", "tenant", "Programmed")["message"]
        assert "an admission policy denies it: ValidatingAdmissionPolicy" in message
        assert "the text is forbidden" in message
        assert bodies(running)[tenant] == "first"
        assert f"{running.team}/tenant-new" not in bodies(running)

        # A restarted operator has no older objects than those in the documents.
        running.running.pop().stop(signal.SIGTERM)
        running.start(audit_interval="1")
        running.apply(TEXT % ("neighbour", "neighbour", "restarted"), running.namespace)
        until(lambda: bodies(running)[neighbour] == "restarted", "it is published after a restart", 20)
        assert bodies(running)[tenant] == "first"

        changed = time.monotonic()
        running.apply(TEXT % ("tenant", "tenant", "second"))
        until(lambda: bodies(running)[tenant] == "second", "its change is tried at once")
        assert time.monotonic() - changed < 2
        running.wait_for("tenant-new", "Programmed", "False", "NoDataPlane")
        running.apply(TEXT % ("tenant", "tenant", WORD))
        running.wait_for("tenant", "Programmed", "False", "NotPublished")
    until(lambda: bodies(running)[tenant] == WORD, "it is tried again without a change", 20)
    running.wait_for("tenant", "Programmed", "False", "NoDataPlane")


@pytest.mark.case("K3")
def test_refused_name_of_a_service_delays_no_other(running: Gateway) -> None:
    """It is in a shard of the endpoints, which is written before the config."""
    running.apply(SERVICE.replace("web", "unwanted"))
    with word_denied(running, "unwanted"):
        running.apply(UNRESOLVED.replace("81", "80").replace("web", "unwanted") % ("to-service", "to-service"))
        running.wait_for("to-service", "Programmed", "False", "NotPublished")
        running.apply(TEXT % ("beside", "beside", "published"), running.namespace)
        until(lambda: f"{running.namespace}/beside" in bodies(running), "the neighbour is published", 2)
        running.delete("GatewayRoute", "to-service")


@pytest.mark.case("K3")
def test_text_refused_after_its_publication_delays_no_other(running: Gateway) -> None:
    """No new shard can have it, so those in its shard wait with it; what they have published stays."""
    running.apply(TEXT % ("late", "late", "refused-later"))
    until(lambda: f"{running.team}/late" in bodies(running), "it is published")
    with word_denied(running, "refused-later"):
        running.apply(TEXT % ("mate", "mate", "waits"))
        running.wait_for("mate", "Programmed", "False", "NotPublished")
        running.wait_for("late", "Programmed", "False", "NoDataPlane")
        running.delete("GatewayRoute", "late")
        until(lambda: f"{running.team}/mate" in bodies(running), "it is published at once")


def make_immutable(made: Gateway, index: str) -> None:
    patch(made, index, {"immutable": True})


def remove_labels(made: Gateway, index: str) -> None:
    patch(made, index, {"metadata": {"labels": None}})


def add_owner(made: Gateway, index: str) -> None:
    owner = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "name": made.namespace,
        "uid": "00000000-0000-0000-0000-000000000000",
    }
    patch(made, index, {"metadata": {"ownerReferences": [owner]}})


def make_immutable_and_fill(made: Gateway, index: str) -> None:
    patch(made, index, {"immutable": True, "data": {"other": "x" * 1000}})


@pytest.mark.parametrize("part", ["config", "endpoints"])
@pytest.mark.parametrize("harm", [make_immutable, remove_labels, add_owner, make_immutable_and_fill])
@pytest.mark.case("K4")
def test_index_that_others_changed_is_healed(running: Gateway, part: str, harm: Any) -> None:
    """By the next audit, also while no route changes."""
    index = running.path("ConfigMap", f"inferway-{part}", running.namespace)
    before = running.api.ask("GET", index)
    harm(running, index)

    def is_healed() -> bool:
        found = running.maps().get(f"inferway-{part}", {"metadata": {"ownerReferences": []}})
        if "immutable" in found or "ownerReferences" in found["metadata"]:
            return False
        # Only the history of a config may differ: it ends with what pods serve.
        is_same = found["data"][INDEX_KEY] == before["data"][INDEX_KEY] and "other" not in found["data"]
        return bool(is_same and found["metadata"]["labels"] == before["metadata"]["labels"])

    until(is_healed, f"after {harm.__name__} it is as it was", 15)


@pytest.mark.case("K4")
def test_change_is_published_into_an_immutable_index(running: Gateway) -> None:
    before = running.revision
    make_immutable(running, running.path("ConfigMap", "inferway-config", running.namespace))
    running.apply(ROUTE % ("immutable", "immutable", 200 + int(time.time()) % 100))
    until(lambda: running.maps() and running.revision != before, "a new config", 15)
    running.wait_for("immutable", "Programmed", "False", "NoDataPlane")


@pytest.mark.case("K4")
def test_index_kept_by_a_finalizer_is_reported(running: Gateway) -> None:
    index = running.path("ConfigMap", "inferway-config", running.namespace)
    patch(running, index, {"immutable": True, "metadata": {"finalizers": ["example.com/keep"]}})
    try:
        running.apply(ROUTE % ("kept", "kept", 200))
        running.wait_for("kept", "Programmed", "False", "NotPublished")
        message = running.condition("GatewayRoute", "kept", "Programmed")["message"]
        assert "ConfigMap inferway-config cannot be replaced: remove its finalizers (example.com/keep)" in message
    finally:
        patch(running, index, {"metadata": {"finalizers": None}})
    running.wait_for("kept", "Programmed", "False", "NoDataPlane")


def of_old(kind: str) -> dict[str, Any]:
    return {
        "type": kind, "status": "True", "reason": kind, "message": "of the old cluster", "observedGeneration": 57,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }  # fmt: skip


@pytest.mark.parametrize("observed", [57, 1])
@pytest.mark.case("K3")
def test_status_restored_from_a_backup_is_replaced(running: Gateway, observed: int) -> None:
    """Also conditions and fields that this operator would not write, which another manager keeps."""
    name = f"restored-{observed}"
    running.apply(ROUTE % (name, name, 200))
    until(lambda: evaluated(running, name), "it has a status")
    theirs = {**of_old("Ready"), "type": "example.com/Audited"}
    types = ("Ready", "Accepted", "ResolvedRefs", "Programmed", "Shadowed")
    block = {"revision": "0123456789", "pods": "3/3", "applied": 3, "total": 3, "laggards": [{"pod": "of old"}]}
    restored = {"observedGeneration": observed, "conditions": [theirs, *map(of_old, types)], "dataPlane": block}
    patch(running, f"{running.path('GatewayRoute', name)}/status", {"status": restored})

    def status() -> Any:
        return running.get("GatewayRoute", name)["status"]

    until(lambda: status()["observedGeneration"] == 1 and running.told(name, "Shadowed") == ("", ""), "it is replaced")
    conditions = {item["type"]: item for item in status()["conditions"]}
    assert conditions.pop("example.com/Audited") == theirs, "that of another controller stays"
    assert "of the old cluster" not in str(conditions)
    assert conditions["Programmed"]["reason"] == "NoDataPlane"
    assert "laggards" not in status()["dataPlane"]
    mark = running.api.mark()
    running.apply(ROUTE % ("after", f"after-{observed}", 200))
    until(lambda: evaluated(running, "after"), "another one is written since")
    assert not [line for line in running.writes(mark) if name in line], "it is as it should be"


@pytest.mark.case("K3")
def test_event_of_a_message_in_many_bytes_is_created(running: Gateway) -> None:
    rule = {"matches": [{"path": {"type": "RegularExpression", "value": "(" + "路" * 60}}]}
    rule |= {"filters": [{"type": "DirectResponse", "directResponse": {"statusCode": 200}}]}
    body = {
        "apiVersion": "inferway.dev/v1alpha1",
        "kind": "GatewayRoute",
        "metadata": {"name": "cjk"},
        "spec": {"rules": [rule] * 12},
    }
    running.api.ask("POST", running.path("GatewayRoute"), body)
    until(lambda: running.events("cjk"), "there is an Event", 5)
    (found,) = running.events("cjk")
    assert 1000 < len(found["note"].encode()) <= 1024


@pytest.mark.case("K3")
def test_changing_tenant_does_not_delay_the_status_of_another(running: Gateway) -> None:
    """The message of each route lists the ports of a Service, so each change of it is a new status of 150 routes."""
    running.apply(SERVICE)
    running.apply("---".join(UNRESOLVED % (f"u{number}", f"u{number}") for number in range(150)))
    until(lambda: running.told("u149", "ResolvedRefs") == ("False", "PortNotFound"), "all have a status", 30)
    service, stop = running.path("Service", "web"), threading.Event()

    def change() -> None:
        port = 1000
        while not stop.wait(0.4):
            port += 1
            patch(running, service, {"spec": {"ports": [{"port": port}]}})

    thread = threading.Thread(target=change)
    thread.start()
    try:
        until(lambda: " 10" in running.condition("GatewayRoute", "u149", "ResolvedRefs")["message"], "they change")
        waits = [
            seconds_until_evaluated(
                running, ROUTE % (f"quiet{one}", f"quiet{one}", 200), f"quiet{one}", running.namespace
            )
            for one in range(2)
        ]
    finally:
        stop.set()
        thread.join()
    assert max(waits) < 5, "the time of a round of compiling and publishing on a busy machine, not of 150 writes"
