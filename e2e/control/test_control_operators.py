"""K2: operators that are killed between any two writes, and two operators at once. Never an empty or half document."""

from __future__ import annotations

import json
import signal
from time import monotonic

import pytest
from control_planes import direct_response_route, lease_namespace, limits, planes
from control_traffic import steady_traffic

from inferway_contract.canonical import digest
from inferway_envtest.client import Refused
from inferway_envtest.http_faults import Fault
from inferway_testing.until import until

pytestmark = [pytest.mark.case("K2")]


def route_ids_of(documents):
    """Whether each index names shards that are there, with the bytes it says; returns the ids of the routes."""
    index = json.loads(documents["inferway-config"]["index"])
    routes = []
    for ref in index.get("shards", ()):
        content = documents[ref["name"]]["shard"]
        assert digest(content.encode()) == ref["digest"]
        routes += [route["id"] for route in json.loads(content).get("routes", ())]
    return routes


def forget_leader(api, namespace):
    """Delete the Lease of an operator that was killed, so that the next one need not wait: the test is about writes."""
    try:
        leases = f"/apis/coordination.k8s.io/v1/namespaces/{lease_namespace(namespace)}/leases"
        api.ask("DELETE", f"{leases}/inferway-operator")
    except Refused as refused:
        if refused.code != 404:  # it was killed before it had one
            raise


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_operator_killed_after_any_write_converges(api_server, namespace, tmp_path):
    user = api_server.service_account(
        namespace, "operator", cluster_rules=[{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    )
    with api_server.http_faults() as faults, planes(api_server, namespace, tmp_path) as made:
        kubeconfig = api_server.through(faults, user)
        made.apply(
            direct_response_route("first", "one"),
            direct_response_route("second", "two", "/two"),
            limits("policy", "first"),
        )
        made.operator()
        pod = made.pod("gateway-0")
        made.programmed("second")
        made.operators[0].stop(signal.SIGKILL)
        killed = 0
        with steady_traffic([pod.port]) as traffic:
            for number in range(1, 30):
                body = f"after {number}"
                made.apply(
                    direct_response_route("first", body), direct_response_route("second", f"also {number}", "/two")
                )
                forget_leader(api_server, namespace)
                operator = made.operator(kubeconfig)
                fault = faults.add(
                    Fault(
                        "POST|PATCH|PUT|DELETE",
                        r"/(configmaps|gatewayroutes|ratelimitpolicies|events)",
                        skip=number - 1,
                        is_done=True,
                        call=lambda operator=operator: operator.signal(signal.SIGKILL),
                    )
                )
                ended = until(
                    lambda operator=operator, fault=fault: (
                        not operator.is_running
                        or (
                            made.condition("GatewayRoute", "first").get("status") == "True"
                            and made.condition("GatewayRoute", "second").get("status") == "True"
                            and not fault.hits  # else it is about to be killed, after its last write
                        )
                    ),
                    f"killed or done: {operator.tail()}",
                    30,
                )
                assert ended
                routes = route_ids_of(made.documents())
                assert sorted(routes) == [f"{namespace}/first", f"{namespace}/second"]
                faults.heal()
                if operator.is_running:
                    operator.stop(signal.SIGKILL)
                    break
                killed += fault.hits
                # The next one finishes what this one began.
                forget_leader(api_server, namespace)
                second = made.operator()
                made.programmed("first")
                made.programmed("second")
                assert pod.serves("/", body.encode())
                second.stop(signal.SIGKILL)
        assert killed >= 4  # two documents' worth of writes, at least
        assert traffic.failures == []
        print(f"killed after each of {killed} writes")


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize(("how", "within"), [(signal.SIGKILL, 20.0), (signal.SIGTERM, 5.0), (signal.SIGSTOP, 20.0)])
def test_second_operator_takes_over_from_the_first(api_server, namespace, tmp_path, how, within):
    users = [api_server.user(f"operator-{number}-{namespace}", "system:masters") for number in range(2)]
    with planes(api_server, namespace, tmp_path) as made:
        made.apply(direct_response_route("first", "one"))
        first = made.operator(api_server.kubeconfig(users[0]))
        pod = made.pod("gateway-0")
        made.programmed("first")
        made.operator(api_server.kubeconfig(users[1]))
        mark = api_server.mark()
        for number in range(10):
            made.apply(direct_response_route("first", f"both {number}"))
            made.programmed("first")
        written = {
            one.user for one in api_server.writes(mark) if one.resource == "configmaps" and one.namespace == namespace
        }
        assert written == {users[0].name}
        with steady_traffic([pod.port]) as traffic:
            first.signal(how)
            began = monotonic()
            made.apply(direct_response_route("first", "after"))
            until(lambda: pod.serves("/", b"after"), f"the other one works; {made.told()}", within)
            print(f"{how.name}: taken over after {monotonic() - began:.1f} s")
            made.programmed("first")
        assert traffic.failures == []
        if how is signal.SIGSTOP:
            # It wakes up in the belief that it leads, and must not write.
            mark = api_server.mark()
            first.signal(signal.SIGCONT)
            made.apply(direct_response_route("first", "later"))
            until(lambda: pod.serves("/", b"later"), "the other one goes on")
            late = [one for one in api_server.writes(mark, user=users[0]) if one.resource == "configmaps"]
            assert late == []
