"""The operator alone against faults: lost watch events, foreign changes of its ConfigMaps, leader changes."""

import os
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import pytest
from operator_process import SERVICE, Gateway, gateway

from inferway_contract.sharding import SHARD_KEY
from inferway_envtest import ApiServer
from inferway_envtest.http_faults import Fault, HttpFaults
from inferway_fakes.faulty_tcp import Accepting, FaultyTcp
from inferway_testing.until import until

ROUTE = """
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {name: %s}
spec: {rules: [{matches: [{path: {value: /%s}}], backendRefs: [{name: web, port: 80}]}]}
"""


@pytest.fixture
def prepared_gateway(api_server: ApiServer) -> Iterator[Gateway]:
    """A gateway with two routes, and no operator yet."""
    with gateway(api_server) as found:
        found.apply(SERVICE)
        for name in ("first", "second"):
            found.apply(ROUTE % (name, name))
        yield found


@pytest.fixture
def faults(api_server: ApiServer) -> Iterator[HttpFaults]:
    """A proxy in front of the API server."""
    with api_server.http_faults() as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("left", [0, 1], ids=["none is left", "one is left"])
@pytest.mark.case("K1")
def test_operator_removes_objects_deleted_during_a_relist(
    prepared_gateway: Gateway, faults: HttpFaults, left: int
) -> None:
    with FaultyTcp(faults.port) as tcp:
        prepared_gateway.start(prepared_gateway.api.through(tcp, prepared_gateway.user))
        until(lambda: len(prepared_gateway.routes()) == 2, "both routes", 20)
        down = faults.add(Fault("GET", r"gatewayroutes\?.*watch=true", code=500, times=10_000))
        tcp.cut_all()
        until(lambda: down.hits, "the watch is refused")
        for name in ("first", "second")[: 2 - left]:
            prepared_gateway.delete("GatewayRoute", name)
        faults.heal()
        expired = faults.add(Fault("GET", r"gatewayroutes\?.*watch=true", code=410, is_event=True))
        until(lambda: expired.hits, "the watch is told to list again")
        until(lambda: len(prepared_gateway.routes()) == left, "what was deleted is gone", 5)


OUTAGE = float(os.environ.get("OUTAGE_SECONDS", "20"))
"""Seconds. A longer one costs only more attempts: docs/testing.md."""


@pytest.mark.slow
@pytest.mark.timeout(OUTAGE + 60)
@pytest.mark.case("K1")
def test_operator_converges_after_an_outage_without_a_restart(prepared_gateway: Gateway) -> None:
    with FaultyTcp(prepared_gateway.api.port) as tcp:
        running = prepared_gateway.start(prepared_gateway.api.through(tcp, prepared_gateway.user))
        until(lambda: len(prepared_gateway.routes()) == 2, "both routes", 20)
        lines = len(running.lines)
        tcp.change(accepting=Accepting.REFUSE)
        tcp.cut_all()
        sleep(OUTAGE)  # the subject of the test is its length
        prepared_gateway.delete("GatewayRoute", "first")
        assert len(prepared_gateway.routes()) == 2
        tcp.heal()
        until(lambda: len(prepared_gateway.routes()) == 1, "the deletion is published", 5)
        assert running.count("starting it again") == 0
        logged = running.lines[lines:]
        assert sum("the API server cannot be reached" in line for line in logged) == 1
        assert len(logged) <= 7, logged


FAILING_HANDLER = """
import kopf

@kopf.on.event("gatewayroutes.inferway.dev")
def fail(**_): raise LookupError("a bug in a handler")
"""


def test_error_in_a_handler_is_logged(prepared_gateway: Gateway, tmp_path: Path) -> None:
    """And nothing that kopf has to report of handlers without an error."""
    handler = tmp_path / "failing.py"
    handler.write_text(FAILING_HANDLER, encoding="utf-8")
    running = prepared_gateway.start(None, "--all-namespaces", str(handler))
    until(lambda: running.has_logged("LookupError: a bug in a handler"), "the error is logged", 20)
    until(lambda: len(prepared_gateway.routes()) == 2, "both routes", 20)
    assert running.count("succeeded") == 0


def documents(made: Gateway) -> dict[str, str]:
    """What is published, by the ConfigMap's name."""
    return {name: item["data"].get(SHARD_KEY, item["data"].get("index")) for name, item in made.maps().items()}


def delete_shard(made: Gateway, shard: str) -> None:
    made.delete("ConfigMap", shard, made.namespace)


def replace_shard(made: Gateway, shard: str) -> None:
    labels = made.maps()[shard]["metadata"]["labels"]
    made.delete("ConfigMap", shard, made.namespace)
    other = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": shard, "labels": labels},
        "data": {SHARD_KEY: "{}"},
    }
    made.api.ask("POST", made.path("ConfigMap", "", made.namespace), other)


def change_index(made: Gateway, shard: str) -> None:
    path = made.path("ConfigMap", "inferway-config", made.namespace)
    made.api.ask("PATCH", path, {"data": {"index": "{"}}, "application/merge-patch+json")


def delete_index(made: Gateway, shard: str) -> None:
    made.delete("ConfigMap", "inferway-config", made.namespace)


@pytest.mark.slow
@pytest.mark.case("K4")
def test_operator_restores_config_maps_changed_by_others(prepared_gateway: Gateway) -> None:
    prepared_gateway.start(audit_interval="1")
    until(lambda: len(prepared_gateway.routes()) == 2, "both routes", 20)
    before = documents(prepared_gateway)
    shard = next(name for name, text in before.items() if name != "inferway-config" and '"routes"' in text)
    for harm in (delete_shard, replace_shard, change_index, delete_index):
        harm(prepared_gateway, shard)
        until(lambda: documents(prepared_gateway) == before, f"after {harm.__name__} the documents are as they were")


@pytest.mark.slow
@pytest.mark.case("K2")
def test_operator_publishes_only_after_complete_lists(prepared_gateway: Gateway, faults: HttpFaults) -> None:
    """Services are not listed: a config of routes without backends must not be published."""
    down = faults.add(Fault("GET", r"/services", code=500, times=10_000))
    running = prepared_gateway.start(prepared_gateway.api.through(faults, prepared_gateway.user))
    until(lambda: down.hits > 5, "lists of Services are refused", 20)
    until(lambda: running.has_logged("/services"), "it says so")
    assert prepared_gateway.maps() == {}
    faults.heal()
    until(lambda: len(prepared_gateway.backends()) == 2, "both routes with their backends")
    assert prepared_gateway.endpoints().services[f"{prepared_gateway.team}/web:80"]


@pytest.mark.case("K2")
def test_terminated_leader_hands_over_at_once(prepared_gateway: Gateway) -> None:
    first = prepared_gateway.start()
    until(lambda: len(prepared_gateway.routes()) == 2, "both routes", 20)
    prepared_gateway.start()
    assert first.stop() == 0
    prepared_gateway.apply(ROUTE % ("third", "third"))
    until(lambda: len(prepared_gateway.routes()) == 3, "the other one works", 6)
