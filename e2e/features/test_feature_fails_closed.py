"""What is broken still protects: a bad rule costs the rule, and never hands its traffic to a broader one."""

from __future__ import annotations

import json

import pytest

from inferway_fakes.yaml_builders import route, rule, says, to


def asked(gateway, path="/", method="GET", **headers):
    """Status, and the problem's code or the text of the rule that answered."""
    answer = gateway.request(path, method, **headers)
    is_problem = answer.headers["content-type"] == "application/problem+json"
    return answer.status, json.loads(answer.body)["code"] if is_problem else answer.body.decode()


BROADER = rule(says("broader"))

BROKEN = {
    "a rule that does nothing": "",
    "a header set twice": """
        filters:
        - type: RequestHeaderModifier
          requestHeaderModifier: {set: [{name: x-a, value: "1"}, {name: X-A, value: "2"}]}
        backendRefs: [{url: "http://127.0.0.1:%d"}]
    """,
    "a new path with dot segments": """
        filters:
        - {type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /a/../b}}}
        backendRefs: [{url: "http://127.0.0.1:%d"}]
    """,
}


@pytest.mark.parametrize("what", BROKEN)
def test_an_invalid_rule_answers_500_for_its_own_traffic_and_for_no_other(serve, upstream, what):
    text = BROKEN[what].replace("%d", str(upstream.port))
    gateway = serve(route(rule("matches: [{path: {value: /admin}}]", text), BROADER))
    assert asked(gateway, "/admin") == (500, "invalid_rule")
    assert asked(gateway, "/admin/users", "POST") == (500, "invalid_rule")
    assert asked(gateway, "/") == (200, "broader")
    assert not upstream.seen
    assert gateway.metric("http_requests_total", route="default/demo", rule="rule-0", code="500") == 2


@pytest.mark.parametrize("pattern", ["(", "[z-a]", "(?P<>x)", "a{2000}", "(?=look)"])
def test_a_pattern_that_is_none_costs_its_rule_and_the_rule_s_other_matches_refuse(serve, pattern):
    gateway = serve(
        route(
            rule(
                f"matches: [{{path: {{type: RegularExpression, value: '{pattern}'}}}}, {{path: {{value: /admin}}}}]",
                says("broken"),
            ),
            BROADER,
        )
    )
    assert asked(gateway, "/admin") == (500, "invalid_rule")
    assert asked(gateway, "/other") == (200, "broader")


def test_an_invalid_rule_protects_by_method_header_and_host_too(serve):
    gateway = serve(
        route(
            rule("matches: [{method: POST, headers: [{name: x-admin, value: '1'}]}]"),
            BROADER,
            hostnames=["app.test"],
        )
    )
    assert asked(gateway, "/", "POST", x_admin="1", host="app.test") == (500, "invalid_rule")
    assert asked(gateway, "/", "POST", host="app.test") == (200, "broader")
    assert asked(gateway, "/", "POST", x_admin="1", host="other.test") == (404, "no_route")


def test_a_backend_that_is_gone_answers_500_and_the_broader_rule_does_not_step_in(serve, upstream):
    gateway = serve(
        route(
            rule("matches: [{path: {value: /a}}]", "backendRefs: [{name: gone, port: 80}]"),
            rule(to(upstream.port)),
        )
    )
    assert asked(gateway, "/a") == (500, "backend_not_found")
    assert not upstream.seen


@pytest.mark.case("X2")
def test_a_service_of_another_namespace_needs_its_permission(serve, upstream):
    other = f"""
---
apiVersion: v1
kind: Service
metadata: {{name: model, namespace: other}}
spec: {{ports: [{{port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: model-1, namespace: other, labels: {{kubernetes.io/service-name: model}}}}
addressType: IPv4
ports: [{{port: {upstream.port}}}]
endpoints: [{{addresses: [127.0.0.1]}}]
"""
    grant = """
---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: routes, namespace: other}
spec:
  from: [{group: inferway.dev, kind: GatewayRoute, namespace: default}]
  to: [{group: "", kind: Service}]
"""
    text = route(rule("backendRefs: [{name: model, namespace: other, port: 80}]")) + other
    gateway = serve(text + grant)
    assert asked(gateway) == (200, "ok")
    gateway.apply(text)
    assert asked(gateway) == (500, "backend_not_found")
    assert len(upstream.seen) == 1


def test_an_invalid_rule_is_told_with_its_place_and_others_are_served(serve, upstream, caplog):
    gateway = serve(route(rule("matches: [{path: {value: /admin}}]"), BROADER))
    assert asked(gateway, "/admin") == (500, "invalid_rule")
    told = " ".join(str(getattr(record, "manifest", "")) for record in caplog.records)
    assert "routes.yaml:" in told
    assert "rules[0]" in told
