"""`loadBalancer`: the selection of an available endpoint for a request."""

from __future__ import annotations

from collections import Counter

import pytest

from inferway_fakes.gate import Gate
from inferway_fakes.upstream import Pause
from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import resources, route, rule, service
from inferway_testing.concurrent_calls import start_calls
from inferway_testing.until import until


def text(balancer, endpoints):
    """Return a route to a Service of these endpoints with this load balancer."""
    by_name = route(rule(f"loadBalancer: {balancer}", "backendRefs: [{name: model, port: 80}]"))
    return resources(by_name, service("model", *(endpoint.port for endpoint in endpoints)))


@pytest.fixture
def three_endpoints(upstreams):
    """Start three endpoints that answer with their names."""
    endpoints = upstreams(3)
    for number, endpoint in enumerate(endpoints):
        endpoint.script = lambda seen, name=b"%d" % number: reply(name)
    return endpoints


def endpoint_of(gateway, **headers):
    """Return the endpoint that answers."""
    answer = gateway.request(**headers)
    assert answer.status == 200
    return answer.body


# --- RoundRobin -------------------------------------------------------------------------------------------------------------


def test_round_robin_rotates_through_the_endpoints(serve, three_endpoints):
    gateway = serve(text("{type: RoundRobin}", three_endpoints))
    order = [endpoint_of(gateway) for _ in range(12)]
    assert set(order[:3]) == {b"0", b"1", b"2"}
    assert order == order[:3] * 4


def test_round_robin_continues_while_an_endpoint_is_busy(serve, three_endpoints):
    gateway = serve(text("{type: RoundRobin}", three_endpoints))
    gate = Gate()
    three_endpoints[0].script = gate.script()
    with start_calls(3, gateway.request):  # one of them is held
        until(lambda: three_endpoints[0].seen, "a request to be held")
        gate.open()
    assert [len(endpoint.seen) for endpoint in three_endpoints] == [1, 1, 1]


# --- LeastRequest -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("balancer", ["{type: LeastRequest}", "{}"], ids=["named", "by default"])
def test_least_request_avoids_a_busy_endpoint(serve, three_endpoints, balancer):
    busy, idle = three_endpoints[:2]
    gateway = serve(text(balancer, [busy, idle]))
    gate = Gate()
    busy.script = gate.script()
    with start_calls(1, lambda: [gateway.request() for _ in range(10)]):
        until(lambda: busy.seen, "one request to be held")
        before = len(idle.seen)
        assert [endpoint_of(gateway) for _ in range(30)] == [b"1"] * 30
        assert len(idle.seen) - before == 30
        assert len(busy.seen) == 1
        gate.open()


def test_least_request_spreads_concurrent_requests(serve, three_endpoints):
    gateway = serve(text("{type: LeastRequest}", three_endpoints))
    gate = Gate()
    for endpoint in three_endpoints:
        endpoint.script = gate.script()
    with start_calls(30, gateway.request):
        until(lambda: sum(len(endpoint.seen) for endpoint in three_endpoints) == 30, "all to be held")
        assert all(7 <= len(endpoint.seen) <= 13 for endpoint in three_endpoints)
        gate.open()


# --- PeakEWMA ---------------------------------------------------------------------------------------------------------------


def test_peak_ewma_avoids_a_slow_endpoint(serve, three_endpoints):
    slow, fast = three_endpoints[:2]
    gateway = serve(text("{type: PeakEWMA}", [slow, fast]))
    slow.script = lambda seen: [Pause(0.3), *reply(b"0")]
    until(lambda: endpoint_of(gateway) == b"0", "the slow one to be met")
    met = len(slow.seen)
    answers = Counter(endpoint_of(gateway) for _ in range(50))
    assert answers[b"1"] == 50
    assert len(slow.seen) == met


def test_peak_ewma_prefers_busy_and_fast_to_idle_and_slow(serve, three_endpoints):
    slow, fast = three_endpoints[:2]
    gateway = serve(text("{type: PeakEWMA}", [slow, fast]))
    slow.script = lambda seen: [Pause(0.3), *reply(b"0")]
    until(lambda: endpoint_of(gateway) == b"0", "the slow one to be met")
    until(lambda: endpoint_of(gateway) == b"1", "the fast one to be met")
    gate = Gate()
    fast.script = lambda seen: gate.before(reply()) if seen.target == "/held" else reply(b"1")
    with start_calls(1, lambda: gateway.request("/held")):
        until(lambda: fast.seen[-1].target == "/held", "one request to be held")
        assert [endpoint_of(gateway) for _ in range(10)] == [b"1"] * 10
        gate.open()


# --- ConsistentHash -----------------------------------------------------------------------------------------------------------


KEYS = [f"session-{number}" for number in range(60)]


def endpoints_by_key(gateway):
    """Return the endpoint for each key."""
    return {key: endpoint_of(gateway, x_session=key) for key in KEYS}


def test_consistent_hash_keeps_a_header_value_on_its_endpoint(serve, three_endpoints):
    gateway = serve(text("{type: ConsistentHash, hashOn: {header: X-Session}}", three_endpoints))
    first = endpoints_by_key(gateway)
    assert endpoints_by_key(gateway) == first
    assert min(Counter(first.values()).values()) >= 8  # of 20
    assert len(Counter(first.values())) == 3
    # A request without the header goes anywhere.
    assert len({endpoint_of(gateway) for _ in range(60)}) == 3


def test_consistent_hash_moves_only_keys_of_a_removed_endpoint(serve, three_endpoints):
    balancer = "{type: ConsistentHash, hashOn: {header: X-Session}}"
    gateway = serve(text(balancer, three_endpoints))
    before = endpoints_by_key(gateway)
    gateway.apply(text(balancer, three_endpoints[:2]))
    after = endpoints_by_key(gateway)
    assert {key for key in KEYS if before[key] != after[key]} == {key for key in KEYS if before[key] == b"2"}
    assert set(after.values()) == {b"0", b"1"}
    gateway.apply(text(balancer, three_endpoints))
    assert endpoints_by_key(gateway) == before


def test_consistent_hash_is_the_same_in_every_pod(serve, three_endpoints):
    balancer = "{type: ConsistentHash, hashOn: {header: X-Session}}"
    assert endpoints_by_key(serve(text(balancer, three_endpoints))) == endpoints_by_key(
        serve(text(balancer, three_endpoints))
    )


def test_consistent_hash_uses_the_client_address(serve, three_endpoints):
    gateway = serve(
        text("{type: ConsistentHash, hashOn: {clientIP: true}}", three_endpoints), trusted_proxies="127.0.0.0/8"
    )
    clients = [f"203.0.113.{number}" for number in range(40)]
    first = {client: endpoint_of(gateway, x_forwarded_for=client) for client in clients}
    assert {client: endpoint_of(gateway, x_forwarded_for=client) for client in clients} == first
    assert len(set(first.values())) == 3
    # An untrusted part of the chain changes nothing.
    assert {endpoint_of(gateway, x_forwarded_for=f"{number}.0.0.1, 203.0.113.7") for number in range(20)} == {
        first["203.0.113.7"]
    }


def test_consistent_hash_bounds_the_load_of_one_key(serve, three_endpoints):
    gateway = serve(text("{type: ConsistentHash, hashOn: {header: X-Session}}", three_endpoints))
    gate = Gate()
    for endpoint in three_endpoints:
        endpoint.script = gate.script()
    with start_calls(24, lambda: gateway.request(x_session="hot")):
        until(lambda: sum(len(endpoint.seen) for endpoint in three_endpoints) == 24, "all to be held")
        assert max(len(endpoint.seen) for endpoint in three_endpoints) <= 11  # 1.25 times 8, and the new one
        gate.open()


# --- slow start ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["LeastRequest", "RoundRobin", "PeakEWMA"])
def test_slow_start_sends_few_requests_to_a_new_endpoint(serve, three_endpoints, kind):
    old, new = three_endpoints[:2]
    balancer = f"{{type: {kind}, slowStart: 1h}}"
    gateway = serve(text(balancer, [old]))
    gateway.apply(text(balancer, [old, new]))
    # The old endpoint is only as old as the gateway, so the test sets its age to two hours.
    [member] = [
        member
        for member in gateway.plane.gateway.context.runtime.rules[0].backend_set.members
        if member.name == f"127.0.0.1:{old.port}"
    ]
    member.added_at -= 7200
    answers = Counter(endpoint_of(gateway) for _ in range(200))
    # A tenth of the weight: about 18 of 200. With PeakEWMA a single late answer makes it fewer.
    assert (1 if kind == "PeakEWMA" else 3) <= answers[b"1"] <= 45


def test_without_slow_start_a_new_endpoint_gets_its_full_share(serve, three_endpoints):
    gateway = serve(text("{type: RoundRobin}", three_endpoints[:1]))
    gateway.apply(text("{type: RoundRobin}", three_endpoints[:2]))
    answers = Counter(endpoint_of(gateway) for _ in range(40))
    assert abs(answers[b"1"] - 20) <= 1
