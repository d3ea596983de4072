"""Invalid resources fail closed in a cluster: an invalid rule rejects its traffic, and never passes it to a broader rule."""

from __future__ import annotations

import json

import pytest

from inferway_cli.manifests.compilation import Checked
from inferway_fakes.yaml_builders import direct_response, route, rule, to


@pytest.fixture(autouse=True)
def _as_in_a_cluster(monkeypatch):
    # There every object is published, with its invalid rules. A directory with such a rule is not served.
    monkeypatch.setattr(Checked, "errors", property(lambda checked: list(checked.loaded.errors)))


def outcome_of(gateway, path="/", method="GET", **headers):
    """Return the status, and the problem's code or the text of the rule that answered."""
    answer = gateway.request(path, method, **headers)
    is_problem = answer.headers["content-type"] == "application/problem+json"
    return answer.status, json.loads(answer.body)["code"] if is_problem else answer.body.decode()


BROADER = rule(direct_response("broader"))

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
def test_invalid_rule_answers_500_for_its_own_traffic_only(serve, upstream, what):
    text = BROKEN[what].replace("%d", str(upstream.port))
    gateway = serve(route(rule("matches: [{path: {value: /admin}}]", text), BROADER))
    assert outcome_of(gateway, "/admin") == (500, "invalid_rule")
    assert outcome_of(gateway, "/admin/users", "POST") == (500, "invalid_rule")
    assert outcome_of(gateway, "/") == (200, "broader")
    assert not upstream.seen
    assert gateway.metric("http_requests_total", route="default/demo", rule="rule-0", code="500") == 2


@pytest.mark.parametrize("pattern", ["(", "[z-a]", "(?P<>x)", "a{2000}", "(?=look)"])
def test_invalid_pattern_makes_what_begins_like_it_500(serve, pattern):
    gateway = serve(
        route(
            rule(
                f"matches: [{{path: {{type: RegularExpression, value: '/secret/{pattern}'}}}}, {{path: {{value: /admin}}}}]",
                direct_response("broken"),
            ),
            rule("matches: [{path: {value: /secret}}]", direct_response("prefix")),
            rule(
                "matches: [{path: {type: RegularExpression, value: '/secret/.*/public/of/a/longer/pattern'}}]",
                direct_response("longer"),
            ),
            rule("matches: [{path: {type: Exact, value: /secret/exact}}]", direct_response("exact")),
            BROADER,
        )
    )
    assert outcome_of(gateway, "/admin") == (500, "invalid_rule")
    assert outcome_of(gateway, "/secret/x") == (500, "invalid_rule")
    assert outcome_of(gateway, "/secret/%FF") == (500, "invalid_rule")
    assert outcome_of(gateway, "/secret") == (200, "prefix")
    assert outcome_of(gateway, "/secret/exact") == (200, "exact")
    assert outcome_of(gateway, "/secret/x/public/of/a/longer/pattern") == (200, "longer")
    assert outcome_of(gateway, "/other") == (200, "broader")


@pytest.mark.parametrize(
    "condition",
    [
        "headers: [{type: RegularExpression, name: x-role, value: '(?!root).*'}]",
        "queryParams: [{type: RegularExpression, name: q, value: 'a**'}]",
        "headers: [{name: x-role, value: a}, {name: X-Role, value: b}]",
    ],
)
def test_invalid_condition_makes_the_rest_of_its_match_500(serve, condition):
    gateway = serve(
        route(
            rule(f"matches: [{{path: {{value: /admin}}, method: POST, {condition}}}]", direct_response("broken")),
            rule("matches: [{path: {value: /admin}, method: POST}]", direct_response("less specific")),
            rule("matches: [{path: {value: /admin/open}}]", direct_response("more specific")),
            BROADER,
        )
    )
    assert outcome_of(gateway, "/admin", "POST") == (500, "invalid_rule")
    assert outcome_of(gateway, "/admin/x", "POST", x_role="c") == (500, "invalid_rule")
    assert outcome_of(gateway, "/admin/open", "POST") == (200, "more specific")
    assert outcome_of(gateway, "/admin") == (200, "broader")


def test_invalid_prefix_makes_its_beginning_500_in_its_place(serve):
    gateway = serve(
        route(
            rule("matches: [{path: {value: /admin/%0a/x}}]", direct_response("broken")),
            rule("matches: [{path: {value: /admin/a/longer/prefix}}]", direct_response("longer")),
            rule("matches: [{path: {type: RegularExpression, value: '/admin/p.*'}}]", direct_response("pattern")),
            rule("matches: [{path: {value: /admin}}]", direct_response("prefix")),
            BROADER,
        )
    )
    assert outcome_of(gateway, "/admin/x") == (500, "invalid_rule")
    assert outcome_of(gateway, "/admin/a/longer") == (500, "invalid_rule")
    assert outcome_of(gateway, "/admin/a/longer/prefix/x") == (200, "longer")
    assert outcome_of(gateway, "/admin/pattern") == (200, "pattern")
    assert outcome_of(gateway, "/") == (200, "broader")


def test_rules_that_reject_requests_are_counted_shown_and_logged(serve, caplog):
    keyed = "backendRefs: [{url: 'http://127.0.0.1:1', auth: {header: Authorization, file: key}}]"
    gateway = serve(
        route(
            rule("matches: [{path: {value: /idle}}]"),
            rule("matches: [{path: {value: /gone}}]", "backendRefs: [{name: gone, port: 80}]"),
            rule("matches: [{path: {value: /secret}}]", keyed),
            BROADER,
        )
    )
    shown = json.loads(gateway.request("/debug/config", port=gateway.admin_port).body)["invalidRules"]
    assert [(item["rule"], item["reason"]) for item in shown] == [
        ("rule-0", "invalid_rule"),
        ("rule-1", "backend_not_found"),
        ("rule-2", "credential_missing"),
    ]
    assert shown[2]["detail"] == "secret key: there is no secrets directory (setting secrets_directory)"
    assert gateway.metric("config_invalid_rules") == 3
    logged = [record for record in caplog.records if record.msg == "a rule rejects requests"]
    assert [record.rule for record in logged] == ["rule-0", "rule-1", "rule-2"]


def test_invalid_rule_applies_by_method_header_and_host(serve):
    gateway = serve(
        route(
            rule("matches: [{method: POST, headers: [{name: x-admin, value: '1'}]}]"),
            BROADER,
            hostnames=["app.test"],
        )
    )
    assert outcome_of(gateway, "/", "POST", x_admin="1", host="app.test") == (500, "invalid_rule")
    assert outcome_of(gateway, "/", "POST", host="app.test") == (200, "broader")
    assert outcome_of(gateway, "/", "POST", x_admin="1", host="other.test") == (404, "no_route")


def test_missing_backend_answers_500_instead_of_a_broader_rule(serve, upstream):
    gateway = serve(
        route(
            rule("matches: [{path: {value: /a}}]", "backendRefs: [{name: gone, port: 80}]"),
            rule(to(upstream.port)),
        )
    )
    assert outcome_of(gateway, "/a") == (500, "backend_not_found")
    assert not upstream.seen


@pytest.mark.case("X2")
def test_service_of_another_namespace_requires_a_grant(serve, upstream):
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
    assert outcome_of(gateway) == (200, "ok")
    gateway.apply(text)
    assert outcome_of(gateway) == (500, "backend_not_found")
    assert len(upstream.seen) == 1
