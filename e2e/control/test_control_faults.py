"""K1: what the API server and the network can do to both planes. It converges soon after it is over; traffic sees nothing."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import count
from time import monotonic, sleep

import pytest
from control_planes import direct_response_route, planes
from control_traffic import steady_traffic

from inferway_contract.acknowledgement import LEASE_SECONDS
from inferway_envtest.http_faults import Fault
from inferway_fakes.faulty_tcp import Accepting, FaultyTcp
from inferway_testing.until import until

pytestmark = [pytest.mark.slow, pytest.mark.case("K1"), pytest.mark.timeout(300)]

HEALED = 5.0
"""Seconds within which a change of before the end of a fault has to be everywhere."""
THAWED = 75.0
"""The same for watches that were frozen: nobody can tell one from a quiet one before its time is over."""

NUMBERS = count()


@pytest.fixture
def planes_behind_tcp_proxy(api_server, namespace, tmp_path):
    """Both planes behind one TCP proxy, and the proxy."""
    with FaultyTcp(api_server.port) as tcp, planes(api_server, namespace, tmp_path, api_server.through(tcp)) as made:
        made.apply(direct_response_route("first", "one"))
        made.operator()
        for number in range(2):
            made.pod(f"gateway-{number}")
        made.programmed("first")
        yield made, tcp


@contextmanager
def converging(made, within):
    """Traffic during a fault, and a change in it that has to be everywhere so long after the block: prints how long."""
    body = f"change {next(NUMBERS)}"
    with steady_traffic([pod.port for pod in made.pods]) as traffic:
        yield body
        began = monotonic()
        for pod in made.pods:
            left = within - (monotonic() - began)
            until(lambda pod=pod: pod.serves("/", body.encode()), f"{pod.name} serves it; {made.told()}", left)
        made.programmed("first", within=max(within - (monotonic() - began), 0.1))
        print(f"converged {monotonic() - began:.1f} s after the end")
    assert traffic.failures == []


def test_reset_connections_converge_without_lost_requests(planes_behind_tcp_proxy):
    made, tcp = planes_behind_tcp_proxy
    with converging(made, HEALED) as body:
        for _ in range(5):
            tcp.cut_all()
            sleep(0.2)
        made.apply(direct_response_route("first", body))
        tcp.cut_all()


@pytest.mark.parametrize("accepting", [Accepting.REFUSE, Accepting.SILENT, Accepting.DROP])
def test_outage_of_a_minute_converges_without_lost_requests(planes_behind_tcp_proxy, accepting):
    made, tcp = planes_behind_tcp_proxy
    with converging(made, HEALED) as body:
        tcp.change(accepting=accepting)
        tcp.cut_all()
        made.apply(direct_response_route("first", body))
        sleep(60)  # what is tested is its length
        assert all(pod.process.is_running for pod in made.pods)
        assert all(operator.is_running for operator in made.operators)
        tcp.heal()
        tcp.cut_all()


def test_frozen_watch_converges_without_lost_requests(planes_behind_tcp_proxy):
    """The connections stay open and carry nothing any more, as behind a load balancer that has forgotten them."""
    made, tcp = planes_behind_tcp_proxy
    frozen_at = monotonic()
    with converging(made, THAWED) as body:
        assert tcp.freeze_open() > 0
        made.apply(direct_response_route("first", body))
    print(f"frozen for {monotonic() - frozen_at:.1f} s in all")


def test_operator_after_an_outage_reports_no_pod_as_silent(api_server, namespace, tmp_path):
    """Its watches freeze for longer than a Lease lasts, then it can ask nobody for as long: no pod was ever away."""
    with FaultyTcp(api_server.port) as tcp, planes(api_server, namespace, tmp_path) as made:
        made.apply(direct_response_route("first", "one"))
        made.operator(api_server.through(tcp))
        made.pod("gateway-0")
        made.programmed("first")
        before = made.get("GatewayRoute", "first")
        assert tcp.freeze_open() > 0
        sleep(LEASE_SECONDS + 3)
        tcp.change(accepting=Accepting.REFUSE)
        tcp.cut_all()
        sleep(LEASE_SECONDS + 3)
        tcp.heal()
        sleep(LEASE_SECONDS + 3)
        assert made.operators[0].is_running
        assert made.get("GatewayRoute", "first") == before


@pytest.fixture
def planes_behind_http_proxy(api_server, namespace, tmp_path):
    """Both planes behind a proxy that can answer in the API server's place, and one that can cut connections."""
    everything = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    user = api_server.service_account(namespace, "planes", cluster_rules=everything)
    with (
        api_server.http_faults() as faults,
        FaultyTcp(faults.port) as tcp,
        planes(api_server, namespace, tmp_path, api_server.through(tcp, user)) as made,
    ):
        made.apply(direct_response_route("first", "one"))
        made.operator()
        for number in range(2):
            made.pod(f"gateway-{number}")
        made.programmed("first")
        yield made, faults, tcp


def error_fault(code, **fault):
    """A fault that answers so; 429 with the time after which one may ask again."""
    return Fault(code=code, headers={"Retry-After": "1"} if code == 429 else {}, **fault)


@pytest.mark.parametrize("where", ["configmaps", "status", "leases"])
def test_rejected_writes_converge_without_lost_requests(planes_behind_http_proxy, where):
    made, faults, _ = planes_behind_http_proxy
    for code in (409, 429, 500):
        with converging(made, HEALED) as body:
            fault = faults.add(error_fault(code, method="POST|PATCH|PUT", path=f"/{where}", times=3))
            made.apply(direct_response_route("first", body))
            until(lambda fault=fault: fault.hits == 3, f"three writes to be refused with {code}", 30.0)


def test_rejected_watches_converge_without_lost_requests(planes_behind_http_proxy):
    made, faults, tcp = planes_behind_http_proxy
    for code in (410, 429, 500):
        with converging(made, HEALED) as body:
            fault = faults.add(error_fault(code, method="GET", path="watch=true", times=6, is_event=code == 410))
            tcp.cut_all()
            made.apply(direct_response_route("first", body))
            until(lambda fault=fault: fault.hits >= 4, f"watches to be refused with {code}", 60.0)
            faults.heal()


def test_lost_responses_to_writes_converge(planes_behind_http_proxy):
    """The write is done and its answer is lost: doing it again must change nothing."""
    made, faults, _ = planes_behind_http_proxy
    with converging(made, HEALED) as body:
        fault = faults.add(Fault("POST|PATCH", "/configmaps", code=500, times=3, is_done=True))
        made.apply(direct_response_route("first", body))
        until(lambda: fault.hits == 3, "three answers to be lost", 30.0)
