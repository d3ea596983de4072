"""What the API server and the network do to a data plane: it converges, and traffic sees nothing (K1, K4)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep

import pytest
from cluster_gateway import ClusterGateway, Pace, cluster_gateway
from config_publisher import config_with_bodies
from test_source_cluster import publisher, user  # noqa: F401 - fixtures, which pytest finds by their names here

from inferway_dataplane.sources.last_good import CONFIG, ENDPOINTS
from inferway_envtest import Fault
from inferway_fakes.faulty_tcp import Accepting, FaultyTcp
from inferway_kube.client import Deadlines
from inferway_testing.until import until

HEALED = 5.0
"""Seconds after the end of a fault within which a change is served."""

pytestmark = pytest.mark.case("K1")


@contextmanager
def steady_requests(gateway: ClusterGateway) -> Iterator[list[object]]:
    """Requests one after the other; what was not answered with 200 is in the list."""
    failures: list[object] = []
    count = 0
    stopping = threading.Event()

    def ask() -> None:
        nonlocal count
        while not stopping.wait(0.005):
            try:
                status, body = gateway.ask()
                if status != 200:
                    failures.append((status, body))
            except OSError as error:
                failures.append(error)
            count += 1

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield failures
    finally:
        stopping.set()
        thread.join()
    assert count > 20


@contextmanager
def assert_converges(gateway: ClusterGateway, within: float = HEALED) -> Iterator[None]:
    """A change during a fault, which the block brings about and ends."""
    with steady_requests(gateway) as failures:
        yield
        began = monotonic()
        gateway.serves("changed", deadline=within)
        print(f"served {monotonic() - began:.2f} s after the fault")
    assert failures == []
    assert gateway.rejected == 0


@pytest.fixture
def gateway_behind_faulty_tcp(api_server, namespace, user, publisher):  # noqa: F811
    """A data plane that serves `first`, through a TCP proxy."""
    publisher.publish(config_with_bodies("first"))
    with FaultyTcp(api_server.port) as tcp, cluster_gateway(api_server.through(tcp, user), namespace) as gateway:
        gateway.serves("first")
        yield gateway, tcp


@pytest.mark.slow
@pytest.mark.parametrize("accepting", [Accepting.REFUSE, Accepting.SILENT, Accepting.DROP])
def test_api_server_outage_of_3_s_converges(gateway_behind_faulty_tcp, publisher, accepting):  # noqa: F811 - the fixture's name is imported
    """One of a minute, with both planes: e2e/control."""
    gateway, tcp = gateway_behind_faulty_tcp
    with assert_converges(gateway):
        tcp.change(accepting=accepting)
        tcp.cut_all()
        publisher.publish(config_with_bodies("changed"))
        sleep(3.0)  # what is tested is its length
        tcp.heal()
        tcp.cut_all()


def test_api_connections_cut_repeatedly_converge(gateway_behind_faulty_tcp, publisher, caplog):  # noqa: F811
    caplog.set_level("INFO", "inferway.cluster")
    gateway, tcp = gateway_behind_faulty_tcp
    with assert_converges(gateway):
        for _ in range(10):
            tcp.cut_all()
            sleep(0.1)  # between two cuts
        publisher.publish(config_with_bodies("changed"))
        tcp.cut_all()

    def told(what: str) -> int:
        return sum(what in record.getMessage() for record in list(caplog.records))

    until(lambda: told("cannot be reached") == told("answers again"), "the end of the outage to be told")
    assert 1 <= told("cannot be reached") <= 11


QUICK = Deadlines(connect=1.0, read=1.0, write=1.0, watch=2, watch_grace=1.0)


@pytest.mark.slow
def test_frozen_watch_is_replaced_at_its_limit(api_server, namespace, user, publisher):  # noqa: F811
    publisher.publish(config_with_bodies("first"))
    with (
        FaultyTcp(api_server.port) as tcp,
        cluster_gateway(api_server.through(tcp, user), namespace, deadlines=QUICK) as gateway,
    ):
        gateway.serves("first")
        with assert_converges(gateway, 8.0):
            assert tcp.freeze_open() > 0
            publisher.publish(config_with_bodies("changed"))


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_frozen_watch_is_replaced_within_a_minute_by_default(gateway_behind_faulty_tcp, publisher):  # noqa: F811
    gateway, tcp = gateway_behind_faulty_tcp
    with assert_converges(gateway, 60.0):
        assert tcp.freeze_open() > 0
        publisher.publish(config_with_bodies("changed"))


@pytest.mark.slow
def test_watch_ended_by_the_server_is_resumed_without_a_list(api_server, namespace, user, publisher):  # noqa: F811
    """They are resumed, not listed again, and no change between two of them is lost."""
    publisher.publish(config_with_bodies("first"))
    deadlines = Deadlines(watch=1, watch_grace=5.0)
    with cluster_gateway(api_server.kubeconfig(user), namespace, deadlines=deadlines) as gateway:
        gateway.serves("first")
        mark = api_server.mark()
        until = monotonic() + 4.0
        number = 0
        while monotonic() < until:
            number += 1
            publisher.config(config_with_bodies(f"change {number}"))
            gateway.serves(f"change {number}")
        verbs = [seen.verb for seen in api_server.requests(mark, user=user, resource="configmaps")]
        assert verbs.count("watch") >= 4
        assert verbs.count("list") == 0


FAULTS = {
    "410 as an answer": Fault("GET", "watch=true", code=410, times=2),
    "410 as an event": Fault("GET", "watch=true", code=410, times=2, is_event=True),
    "500 as an event": Fault("GET", "watch=true", code=500, times=2, is_event=True),
    "429": Fault("GET", "configmaps", code=429, times=3, headers={"Retry-After": "1"}),
    "500": Fault("GET", "configmaps", code=500, times=4),
    "500 for shards": Fault("GET", "/configmaps/inferway-", code=500, times=2),
    "404 for all": Fault("GET", "configmaps", code=404, times=4),
    "404 for shards": Fault("GET", "/configmaps/inferway-", code=404, times=1),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_rejected_api_requests_converge_without_failed_traffic(api_server, namespace, user, publisher, fault):  # noqa: F811
    publisher.publish(config_with_bodies("first"))
    fault.seen = 0
    with (
        api_server.http_faults() as faults,
        FaultyTcp(faults.port) as tcp,
        cluster_gateway(api_server.through(tcp, user), namespace) as gateway,
    ):
        gateway.serves("first")
        faults.add(fault)
        with steady_requests(gateway) as failures:
            tcp.cut_all()
            publisher.publish(config_with_bodies("changed"))
            gateway.serves("changed")
            until(lambda: fault.hits == fault.times, "every fault to be met")
        assert failures == []


@pytest.mark.slow
def test_retry_after_of_the_api_server_is_honoured(api_server, namespace, user, publisher):  # noqa: F811
    publisher.publish(config_with_bodies("first"))
    fault = Fault("GET", "fieldSelector=metadata.name%3Dinferway-config|name=inferway-config", code=429, times=1)
    fault.headers = {"Retry-After": "3"}
    with api_server.http_faults() as faults:
        faults.add(fault)
        began = monotonic()
        with cluster_gateway(api_server.through(faults, user), namespace) as gateway:
            until(lambda: fault.hits == 1, "the first list to be refused")
            until(lambda: "API server" in gateway.why_not(), "it says what it waits for")
            gateway.serves("first")
        assert monotonic() - began >= 3.0


@pytest.mark.slow
@pytest.mark.case("K4")
def test_start_without_the_api_server_serves_the_last_good_copy(api_server, namespace, user, publisher, tmp_path):  # noqa: F811
    publisher.publish(config_with_bodies("kept"))
    state = tmp_path / "state"
    with FaultyTcp(api_server.port) as tcp:
        kubeconfig = api_server.through(tcp, user)
        with cluster_gateway(kubeconfig, namespace, state=state) as gateway:
            gateway.serves("kept")
            until(lambda: (state / CONFIG).exists(), "the copy to be written")
        tcp.change(accepting=Accepting.REFUSE)
        # Without a copy it waits, and reports for what.
        with cluster_gateway(kubeconfig, namespace, state=tmp_path / "empty") as gateway:
            until(lambda: "the API server cannot be reached" in gateway.why_not(), "it says what it waits for")
            with pytest.raises(ConnectionRefusedError):
                gateway.ask()
            tcp.heal()
            gateway.serves("kept")
        # With one it serves the copy, and keeps trying.
        tcp.change(accepting=Accepting.REFUSE)
        publisher.publish(config_with_bodies("changed"))
        with cluster_gateway(kubeconfig, namespace, state=state) as gateway:
            gateway.serves("kept")
            status, text = gateway.ask("/readyz", admin=True)
            assert (status, text.startswith("ok, with the last good copy since 20")) == (200, True)
            assert json.loads(gateway.ask("/debug/config", admin=True)[1])["lastGoodSince"]
            assert {"config_source_connected 0.0", "config_last_good_served 1.0"} <= gateway.samples()
            tcp.heal()
            gateway.serves("changed", deadline=HEALED)
            until(lambda: gateway.why_not() == "ok", "the copy to be served no more")
            until(lambda: "config_last_good_saved 1.0" in gateway.samples(), "the copy to be written")
            revision = json.loads((state / ENDPOINTS).read_bytes().partition(b"\n")[2])["revision"]
            assert {
                "config_last_good_served 0.0",
                f'endpoints_revision_info{{revision="{revision}"}} 1.0',
            } <= gateway.samples()
            # Once the Lease could be written too.
            until(lambda: "config_source_connected 1.0" in gateway.samples(), "everything to be answered", HEALED)


@pytest.mark.case("K4")
def test_last_good_copy_is_confirmed_by_an_equal_document(api_server, namespace, user, publisher, tmp_path):  # noqa: F811
    publisher.publish(config_with_bodies("kept"))
    with FaultyTcp(api_server.port) as tcp:
        kubeconfig = api_server.through(tcp, user)
        with cluster_gateway(kubeconfig, namespace, state=tmp_path) as gateway:
            gateway.serves("kept")
            until(lambda: (tmp_path / CONFIG).exists(), "the copy to be written")
        tcp.change(accepting=Accepting.REFUSE)
        with cluster_gateway(kubeconfig, namespace, state=tmp_path) as gateway:
            until(lambda: "last good copy since" in gateway.why_not(), "the copy to be served")
            tcp.heal()
            until(lambda: gateway.why_not() == "ok", "the copy to be confirmed")


def test_last_good_copy_is_not_used_if_the_document_is_in_time(api_server, namespace, user, publisher, tmp_path):  # noqa: F811
    kubeconfig = api_server.kubeconfig(user)
    publisher.publish(config_with_bodies("kept"))
    with cluster_gateway(kubeconfig, namespace, state=tmp_path) as gateway:
        until(lambda: (tmp_path / CONFIG).exists(), "the copy to be written")
    publisher.publish(config_with_bodies("changed"))
    with cluster_gateway(kubeconfig, namespace, state=tmp_path, pace=Pace(patience=5.0)) as gateway:
        until(lambda: gateway.why_not() == "ok", "it serves")
        assert gateway.says("changed")
