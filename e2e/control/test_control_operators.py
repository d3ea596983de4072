"""K2: operators killed between any two writes, and two operators at once. Never an empty or incomplete document."""

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
    """Assert that all shards of each index exist with the right bytes; returns the ids of the routes."""
    index = json.loads(documents["inferway-config"]["index"])
    routes = []
    for ref in index.get("shards", ()):
        content = documents[ref["name"]]["shard"]
        assert digest(content.encode()) == ref["digest"]
        routes += [route["id"] for route in json.loads(content).get("routes", ())]
    return routes


def forget_leader(api, namespace):
    """Delete the Lease of a killed operator, so that the next one need not wait."""
    try:
        leases = f"/apis/coordination.k8s.io/v1/namespaces/{lease_namespace(namespace)}/leases"
        api.ask("DELETE", f"{leases}/inferway-operator")
    except Refused as refused:
        if refused.code != 404:  # it was killed before it acquired one
            raise


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_operator_killed_after_any_write_converges(api_server, namespace, tmp_path):
    user = api_server.service_account(
        namespace, "operator", cluster_rules=[{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    )
    with api_server.http_faults() as faults, planes(api_server, namespace, tmp_path) as running:
        kubeconfig = api_server.through(faults, user)
        running.apply(
            direct_response_route("first", "one"),
            direct_response_route("second", "two", "/two"),
            limits("policy", "first"),
        )
        running.operator()
        pod = running.pod("gateway-0")
        running.programmed("second")
        running.operators[0].stop(signal.SIGKILL)
        killed = 0
        with steady_traffic([pod.port]) as traffic:
            for number in range(1, 30):
                body = f"after {number}"
                running.apply(
                    direct_response_route("first", body), direct_response_route("second", f"also {number}", "/two")
                )
                forget_leader(api_server, namespace)
                operator = running.operator(kubeconfig)
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
                            running.condition("GatewayRoute", "first").get("status") == "True"
                            and running.condition("GatewayRoute", "second").get("status") == "True"
                            and not fault.hits  # otherwise it will be killed, after its last write
                        )
                    ),
                    f"killed or done: {operator.tail()}",
                    30,
                )
                assert ended
                routes = route_ids_of(running.documents())
                assert sorted(routes) == [f"{namespace}/first", f"{namespace}/second"]
                faults.heal()
                if operator.is_running:
                    operator.stop(signal.SIGKILL)
                    break
                killed += fault.hits
                # The next one finishes what this one began.
                forget_leader(api_server, namespace)
                second = running.operator()
                running.programmed("first")
                running.programmed("second")
                assert pod.serves("/", body.encode())
                second.stop(signal.SIGKILL)
        assert killed >= 4  # at least the writes of two documents
        assert traffic.failures == []
        print(f"killed after each of {killed} writes")


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize(("how", "within"), [(signal.SIGKILL, 20.0), (signal.SIGTERM, 5.0), (signal.SIGSTOP, 20.0)])
def test_second_operator_takes_over_from_the_first(api_server, namespace, tmp_path, how, within):
    users = [api_server.user(f"operator-{number}-{namespace}", "system:masters") for number in range(2)]
    with planes(api_server, namespace, tmp_path) as running:
        running.apply(direct_response_route("first", "one"))
        first = running.operator(api_server.kubeconfig(users[0]))
        pod = running.pod("gateway-0")
        running.programmed("first")
        running.operator(api_server.kubeconfig(users[1]))
        mark = api_server.mark()
        for number in range(10):
            running.apply(direct_response_route("first", f"both {number}"))
            running.programmed("first")
        written = {
            one.user for one in api_server.writes(mark) if one.resource == "configmaps" and one.namespace == namespace
        }
        assert written == {users[0].name}
        with steady_traffic([pod.port]) as traffic:
            first.signal(how)
            began = monotonic()
            running.apply(direct_response_route("first", "after"))
            until(lambda: pod.serves("/", b"after"), f"the other one works; {running.operator_logs()}", within)
            print(f"{how.name}: taken over after {monotonic() - began:.1f} s")
            running.programmed("first")
        assert traffic.failures == []
        if how is signal.SIGSTOP:
            # When it resumes it still believes that it leads, and must not write.
            mark = api_server.mark()
            first.signal(signal.SIGCONT)
            running.apply(direct_response_route("first", "later"))
            until(lambda: pod.serves("/", b"later"), "the other one continues")
            late = [one for one in api_server.writes(mark, user=users[0]) if one.resource == "configmaps"]
            assert late == []
