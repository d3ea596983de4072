"""Health checks and U5: an unhealthy endpoint gets no requests, and if all are unhealthy, all get them."""

from __future__ import annotations

import json
from contextlib import nullcontext

import pytest

from inferway_fakes.fake_dns import resolving, swallowing
from inferway_fakes.upstream import Close, Pause
from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import resources, route, rule, service
from inferway_testing.until import until

PATH = "/healthz"
SICK = "503 Service Unavailable"


def check(more="", interval="100ms"):
    """Return a check with a short interval and thresholds of one."""
    return f"healthCheck: {{path: {PATH}, interval: {interval}, timeout: 100ms, unhealthyThreshold: 1{more}}}"


def text(endpoints, *parts):
    """Return a route to a Service of these endpoints."""
    by_name = route(rule(*parts, "backendRefs: [{name: model, port: 80}]"))
    return resources(by_name, service("model", *(endpoint.port for endpoint in endpoints)))


def checks_of(upstream):
    """Return the health checks that it received."""
    return [seen for seen in upstream.seen if seen.header("user-agent") == "inferway-health-check"]


def requests_of(upstream):
    """Return the other requests that it received."""
    return [seen for seen in upstream.seen if seen.header("user-agent") != "inferway-health-check"]


def check_script(answer):
    """Return a script with this answer to checks, and 200 to requests."""
    return lambda seen: answer(seen) if seen.target == PATH else reply()


def unhealthy_response(seen):
    return reply(b"", SICK)


def healthy(gateway):
    """Return the number of endpoints that receive requests."""
    return gateway.metric("backend_healthy", route="default/demo")


def wait_for_healthy(gateway, count):
    until(lambda: healthy(gateway) == count, f"{count} healthy endpoints")


def share(gateway, endpoints, count=20):
    """Return how many of `count` requests each endpoint received; asserts that all are served."""
    before = [len(requests_of(endpoint)) for endpoint in endpoints]
    for _ in range(count):
        assert gateway.request("/work").status == 200
    return [len(requests_of(endpoint)) - seen for endpoint, seen in zip(endpoints, before, strict=True)]


@pytest.mark.parametrize(
    "answer",
    [
        unhealthy_response,
        lambda seen: [Pause(30)],
        lambda seen: [Close()],
        lambda seen: [b"garbage\r\n\r\n"],
        lambda seen: reply(status="204 No Content"),
    ],
    ids=["503", "no answer in time", "closes", "garbage", "a status that is not expected"],
)
def test_unhealthy_endpoint_gets_no_requests_until_it_recovers(serve, upstreams, answer):
    endpoints = upstreams(2)
    gateway = serve(text(endpoints, check()))
    endpoints[0].script = check_script(answer)
    wait_for_healthy(gateway, 1)
    assert share(gateway, endpoints) == [0, 20]
    endpoints[0].script = check_script(lambda seen: reply())
    wait_for_healthy(gateway, 2)
    assert all(share(gateway, endpoints))
    assert gateway.metric("panic_routing_total") == 0


def test_consecutive_checks_reach_the_thresholds(serve, upstreams):
    bad, good = upstreams(2)
    bad.script = check_script(
        lambda seen: unhealthy_response(seen) if len(checks_of(bad)) in (2, 4, 5, 6, 8) else reply()
    )
    gateway = serve(
        text([bad, good], check(", healthyThreshold: 2").replace("unhealthyThreshold: 1", "unhealthyThreshold: 3"))
    )
    changes = []

    def stand():
        states = [state(gateway, bad)]
        if states != changes[-1:]:
            changes.extend(states)
        return len(checks_of(bad)) >= 11

    until(stand, "eleven checks")
    # 2 alone and then 4, 5, 6 in a row; 7 alone, because 8 is bad, and then 9 and 10 in a row.
    assert changes == ["available", "unhealthy", "available"]


def state(gateway, upstream):
    [rule, *_] = json.loads(gateway.request("/debug/backends", port=gateway.admin_port).body)
    [entry] = [
        endpoint["state"]
        for backend in rule["backends"]
        for endpoint in backend["endpoints"]
        if endpoint["address"] == f"127.0.0.1:{upstream.port}"
    ]
    return entry


def test_expected_statuses_of_the_rule_are_healthy(serve, upstreams):
    endpoints = upstreams(2)
    endpoints[0].script = check_script(lambda seen: reply(status="418 I'm a Teapot"))
    gateway = serve(text(endpoints, check(", expectedStatuses: [200, 418]")))
    until(lambda: all(len(checks_of(endpoint)) >= 3 for endpoint in endpoints), "some checks")
    assert healthy(gateway) == 2


def test_check_sends_a_plain_get_without_state(serve, upstreams):
    [upstream] = upstreams(1)
    upstream.script = lambda seen: [
        b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\nset-cookie: a=1; Path=/\r\ncontent-length: 0\r\n\r\n"
    ]
    gateway = serve(text([upstream], check(", expectedStatuses: [302]").replace(PATH, "/live?deep=1")))
    until(lambda: len(upstream.seen) >= 3, "some checks")
    assert {(seen.method, seen.target) for seen in upstream.seen} == {("GET", "/live?deep=1")}
    assert {seen.header("host") for seen in upstream.seen} == {f"127.0.0.1:{upstream.port}"}
    assert {seen.header("cookie") for seen in upstream.seen} == {None}
    assert healthy(gateway) == 1
    until(lambda: upstream.open_connections == 0, "every check to close its connection")


def test_new_document_keeps_health_and_running_checks(serve, upstreams):
    endpoints = upstreams(2)
    endpoints[0].script = check_script(unhealthy_response)
    gateway = serve(text(endpoints, check(interval="10s").replace("timeout: 100ms", "timeout: 10s")))
    # The first check is sent at a random moment of its interval; here it is sent before.
    tasks = dict(gateway.plane.gateway.health._tasks)
    gateway.apply(
        text(endpoints, check(interval="10s").replace("timeout: 100ms", "timeout: 10s"), "timeouts: {connect: 1s}")
    )
    assert gateway.plane.gateway.health._tasks == tasks
    assert not any(task.done() for task in tasks.values())


def test_new_document_keeps_an_endpoint_unhealthy(serve, upstreams):
    endpoints = upstreams(2)
    endpoints[0].script = check_script(unhealthy_response)
    gateway = serve(text(endpoints, check()))
    wait_for_healthy(gateway, 1)
    gateway.apply(text(endpoints, check(), "timeouts: {connect: 1s}"))
    assert healthy(gateway) == 1
    assert share(gateway, endpoints) == [0, 20]


def test_removed_health_check_makes_all_endpoints_available(serve, upstreams):
    endpoints = upstreams(2)
    endpoints[0].script = check_script(unhealthy_response)
    gateway = serve(text(endpoints, check()))
    wait_for_healthy(gateway, 1)
    tasks = list(gateway.plane.gateway.health._tasks.values())
    assert len(tasks) == 2
    gateway.apply(text(endpoints))
    until(lambda: all(task.done() for task in tasks), "the checks to end")
    before = len(checks_of(endpoints[0]))
    assert healthy(gateway) == 2
    assert all(share(gateway, endpoints))
    assert len(checks_of(endpoints[0])) == before


def test_added_endpoint_is_checked_and_a_removed_one_not(serve, upstreams):
    first, second = upstreams(2)
    gateway = serve(text([first], check()))
    until(lambda: checks_of(first), "the first to be checked")
    gateway.apply(text([second], check()))
    until(lambda: len(checks_of(second)) >= 3, "the second to be checked")
    before = len(checks_of(first))
    until(lambda: len(checks_of(second)) >= 6, "more checks of the second")
    assert len(checks_of(first)) == before


@pytest.mark.case("U5")
def test_all_unhealthy_uses_every_first_priority_endpoint(serve, upstreams):
    first, second, fallback = endpoints = upstreams(3)
    for endpoint in endpoints:
        endpoint.script = check_script(unhealthy_response)
    backends = f"""
        backendRefs:
        - {{url: "http://127.0.0.1:{first.port}"}}
        - {{url: "http://127.0.0.1:{second.port}"}}
        - {{url: "http://127.0.0.1:{fallback.port}", priority: 1}}
        """
    gateway = serve(route(rule(check(), "loadBalancer: {type: RoundRobin}", backends)))
    wait_for_healthy(gateway, 0)
    assert share(gateway, endpoints) == [10, 10, 0]
    assert gateway.metric("panic_routing_total", route="default/demo") == 20
    assert json.loads(gateway.request("/debug/backends", port=gateway.admin_port).body)[0]["panic"] is True
    # The gateway itself is healthy with any upstream state, because a restart would not help.
    assert gateway.request("/healthz", port=gateway.admin_port).status == 200
    assert gateway.request("/readyz", port=gateway.admin_port).status == 200
    # One is healthy again, so panic mode ends.
    fallback.script = check_script(lambda seen: reply())
    wait_for_healthy(gateway, 1)
    assert share(gateway, endpoints) == [0, 0, 20]
    assert gateway.metric("panic_routing_total") == 20


@pytest.mark.parametrize("first", ["refuses", "swallows"])
def test_check_tries_every_address_of_a_name(serve, upstream, first):
    with resolving() as names, swallowing("127.0.0.2", upstream.port) if first == "swallows" else nullcontext():
        names.resolve("models.test", "127.0.0.2", "127.0.0.1")
        health_check = "healthCheck: {path: /healthz, interval: 500ms, timeout: 500ms, unhealthyThreshold: 1}"
        gateway = serve(route(rule(health_check, f'backendRefs: [{{url: "http://models.test:{upstream.port}"}}]')))
        until(lambda: len(checks_of(upstream)) >= 2, "two checks")
        assert healthy(gateway) == 1
