"""K1: faults of the API server and the network. Both planes converge soon after the end; traffic is not affected."""

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
"""Seconds after a fault until each pod must serve a change made during it."""
THAWED = 75.0
"""The same for frozen watches, which look like quiet ones until their timeout."""

NUMBERS = count()


@pytest.fixture
def planes_behind_tcp_proxy(api_server, namespace, tmp_path):
    """Start both planes behind one TCP proxy; returns both."""
    with FaultyTcp(api_server.port) as tcp, planes(api_server, namespace, tmp_path, api_server.through(tcp)) as running:
        running.apply(direct_response_route("first", "one"))
        running.operator()
        for number in range(2):
            running.pod(f"gateway-{number}")
        running.programmed("first")
        yield running, tcp


@contextmanager
def converging(running, within):
    """Send traffic during the block, make a change, require it in each pod `within` seconds after; prints the time."""
    body = f"change {next(NUMBERS)}"
    with steady_traffic([pod.port for pod in running.pods]) as traffic:
        yield body
        began = monotonic()
        for pod in running.pods:
            left = within - (monotonic() - began)
            until(
                lambda pod=pod: pod.serves("/", body.encode()), f"{pod.name} serves it; {running.operator_logs()}", left
            )
        running.programmed("first", within=max(within - (monotonic() - began), 0.1))
        print(f"converged {monotonic() - began:.1f} s after the end")
    assert traffic.failures == []


def test_reset_connections_converge_without_lost_requests(planes_behind_tcp_proxy):
    running, tcp = planes_behind_tcp_proxy
    with converging(running, HEALED) as body:
        for _ in range(5):
            tcp.cut_all()
            sleep(0.2)
        running.apply(direct_response_route("first", body))
        tcp.cut_all()


@pytest.mark.parametrize("accepting", [Accepting.REFUSE, Accepting.SILENT, Accepting.DROP])
def test_outage_of_a_minute_converges_without_lost_requests(planes_behind_tcp_proxy, accepting):
    running, tcp = planes_behind_tcp_proxy
    with converging(running, HEALED) as body:
        tcp.change(accepting=accepting)
        tcp.cut_all()
        running.apply(direct_response_route("first", body))
        sleep(60)  # the length is the subject of the test
        assert all(pod.process.is_running for pod in running.pods)
        assert all(operator.is_running for operator in running.operators)
        tcp.heal()
        tcp.cut_all()


def test_frozen_watch_converges_without_lost_requests(planes_behind_tcp_proxy):
    """The connections stay open without traffic, as behind a load balancer that has dropped their state."""
    running, tcp = planes_behind_tcp_proxy
    frozen_at = monotonic()
    with converging(running, THAWED) as body:
        assert tcp.freeze_open() > 0
        running.apply(direct_response_route("first", body))
    print(f"frozen for {monotonic() - frozen_at:.1f} s in all")


def test_operator_after_an_outage_reports_no_pod_as_silent(api_server, namespace, tmp_path):
    """The operator's watches freeze for longer than a Lease, then the API server is unreachable; all pods stay alive."""
    with FaultyTcp(api_server.port) as tcp, planes(api_server, namespace, tmp_path) as running:
        running.apply(direct_response_route("first", "one"))
        running.operator(api_server.through(tcp))
        running.pod("gateway-0")
        running.programmed("first")
        before = running.get("GatewayRoute", "first")
        assert tcp.freeze_open() > 0
        sleep(LEASE_SECONDS + 3)
        tcp.change(accepting=Accepting.REFUSE)
        tcp.cut_all()
        sleep(LEASE_SECONDS + 3)
        tcp.heal()
        sleep(LEASE_SECONDS + 3)
        assert running.operators[0].is_running
        assert running.get("GatewayRoute", "first") == before


@pytest.fixture
def planes_behind_http_proxy(api_server, namespace, tmp_path):
    """Start both planes behind a proxy that can answer for the API server, and one that can cut connections."""
    everything = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    user = api_server.service_account(namespace, "planes", cluster_rules=everything)
    with (
        api_server.http_faults() as faults,
        FaultyTcp(faults.port) as tcp,
        planes(api_server, namespace, tmp_path, api_server.through(tcp, user)) as running,
    ):
        running.apply(direct_response_route("first", "one"))
        running.operator()
        for number in range(2):
            running.pod(f"gateway-{number}")
        running.programmed("first")
        yield running, faults, tcp


def error_fault(code, **fault):
    """Return a fault with this status; a 429 has a Retry-After."""
    return Fault(code=code, headers={"Retry-After": "1"} if code == 429 else {}, **fault)


@pytest.mark.parametrize("where", ["configmaps", "status", "leases"])
def test_rejected_writes_converge_without_lost_requests(planes_behind_http_proxy, where):
    running, faults, _ = planes_behind_http_proxy
    for code in (409, 429, 500):
        with converging(running, HEALED) as body:
            fault = faults.add(error_fault(code, method="POST|PATCH|PUT", path=f"/{where}", times=3))
            running.apply(direct_response_route("first", body))
            until(lambda fault=fault: fault.hits == 3, f"three writes to be refused with {code}", 30.0)


def test_rejected_watches_converge_without_lost_requests(planes_behind_http_proxy):
    running, faults, tcp = planes_behind_http_proxy
    for code in (410, 429, 500):
        with converging(running, HEALED) as body:
            fault = faults.add(error_fault(code, method="GET", path="watch=true", times=6, is_event=code == 410))
            tcp.cut_all()
            running.apply(direct_response_route("first", body))
            until(lambda fault=fault: fault.hits >= 4, f"watches to be refused with {code}", 60.0)
            faults.heal()


def test_lost_responses_to_writes_converge(planes_behind_http_proxy):
    """The write is done and its answer is lost, so its repetition must change nothing."""
    running, faults, _ = planes_behind_http_proxy
    with converging(running, HEALED) as body:
        fault = faults.add(Fault("POST|PATCH", "/configmaps", code=500, times=3, is_done=True))
        running.apply(direct_response_route("first", body))
        until(lambda: fault.hits == 3, "three answers to be lost", 30.0)
