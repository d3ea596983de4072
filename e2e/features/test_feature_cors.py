"""Cross-origin resource sharing: requests and answers permitted to pages of another origin (the Fetch standard)."""

from __future__ import annotations

import pytest

from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import policy, resources, route, rule, to

APP = "https://app.example.com"


def route_with_cors(port, cors):
    """Return a rule with a CORS filter."""
    return route(rule(f"filters: [{{type: CORS, cors: {{{cors}}}}}]", to(port)))


def preflight(gateway, origin=APP, method="PUT", **headers):
    """Send a browser's preflight request."""
    return gateway.request("/", "OPTIONS", origin=origin, access_control_request_method=method, **headers)


def cors_fields(answer):
    """Return the CORS fields of an answer."""
    return {name.lower() for name in answer.headers if name.lower().startswith("access-control-")}


def test_preflight_is_answered_by_the_gateway(serve, upstream):
    gateway = serve(
        route_with_cors(
            upstream.port,
            f"allowOrigins: ['{APP}'], allowMethods: [PUT, DELETE], allowHeaders: [x-own, content-type], maxAge: 60",
        )
    )
    answer = preflight(gateway, access_control_request_headers="x-own")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == APP
    assert {part.strip() for part in answer.headers["access-control-allow-methods"].split(",")} >= {"PUT", "DELETE"}
    assert answer.headers["access-control-allow-headers"].lower() == "x-own, content-type"
    assert answer.headers["access-control-max-age"] == "60"
    assert answer.headers["access-control-allow-credentials"] is None
    assert answer.headers["vary"].lower() == "origin"
    assert not upstream.seen


def test_preflight_of_a_foreign_origin_gets_no_cors_fields(serve, upstream):
    gateway = serve(route_with_cors(upstream.port, f"allowOrigins: ['{APP}']"))
    assert cors_fields(preflight(gateway, "https://evil.test")) == set()
    assert not upstream.seen


def test_response_to_an_allowed_origin_has_cors_fields(serve, upstream):
    gateway = serve(
        route_with_cors(upstream.port, f"allowOrigins: ['{APP}'], exposeHeaders: [x-own], allowCredentials: true")
    )
    answer = gateway.request(origin=APP)
    assert answer.body == b"ok"
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-expose-headers"] == "x-own"
    assert "origin" in answer.headers["vary"].lower()
    assert upstream.seen[0].header("origin") == APP


def test_response_to_a_foreign_origin_has_only_vary(serve, upstream):
    gateway = serve(route_with_cors(upstream.port, f"allowOrigins: ['{APP}']"))
    for headers in ({"origin": "https://evil.test"}, {}):
        answer = gateway.request(**headers)
        assert answer.status == 200
        assert cors_fields(answer) == set()
        assert answer.headers["vary"].lower() == "origin"


@pytest.mark.parametrize(
    ("allowed", "origin", "is_allowed"),
    [
        ("https://*.example.com", "https://a.example.com", True),
        ("https://*.example.com", "https://a.b.example.com", True),
        ("https://*.example.com", "https://example.com", False),
        ("https://*.example.com", "http://a.example.com", False),
        ("https://*.example.com", "https://a.example.com.evil.test", False),
        ("https://*.example.com", "https://a.example.com:8443", False),
        ("https://app.example.com:8443", "https://app.example.com:8443", True),
        ("https://app.example.com:8443", "https://app.example.com", False),
        ("https://app.example.com", "https://app.example.com.evil.test", False),
        ("https://app.example.com", "null", False),
        ("*", "https://anyone.test", True),
    ],
)
def test_origin_is_compared_as_a_whole(serve, upstream, allowed, origin, is_allowed):
    gateway = serve(route_with_cors(upstream.port, f"allowOrigins: ['{allowed}']"))
    assert ("access-control-allow-origin" in cors_fields(gateway.request(origin=origin))) == is_allowed
    assert ("access-control-allow-origin" in cors_fields(preflight(gateway, origin))) == is_allowed


def test_wildcard_without_credentials_is_sent_as_a_star(serve, upstream):
    gateway = serve(route_with_cors(upstream.port, "allowOrigins: ['*'], allowMethods: ['*'], allowHeaders: ['*']"))
    answer = preflight(gateway, access_control_request_headers="x-a, x-b")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "*"
    assert answer.headers["access-control-allow-headers"] == "*"


def test_wildcard_with_credentials_is_sent_as_requested_names(serve, upstream):
    gateway = serve(
        route_with_cors(
            upstream.port, "allowOrigins: ['*'], allowMethods: ['*'], allowHeaders: ['*'], allowCredentials: true"
        )
    )
    answer = preflight(gateway, access_control_request_headers="x-a, x-b")
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["access-control-allow-methods"] == "PUT"
    assert answer.headers["access-control-allow-headers"] == "x-a, x-b"
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert gateway.request(origin=APP).headers["access-control-allow-origin"] == APP


def test_preflight_is_matched_with_the_method_that_it_announces(serve, upstream):
    gateway = serve(
        resources(
            route(
                rule(
                    "matches: [{method: POST, headers: [{name: x-plan, value: free}]}]",
                    f"filters: [{{type: CORS, cors: {{allowOrigins: ['{APP}'], allowHeaders: [x-plan]}}}}]",
                    to(upstream.port),
                )
            ),
            policy(rule("name: one", "rate: {requests: 1, per: 1h}", "burst: 1", "scope: Pod", "key: []")),
        )
    )
    for _ in range(3):  # free of limits
        answer = preflight(gateway, method="POST", access_control_request_headers="x-plan")
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, APP)
    assert preflight(gateway).status == 404
    assert not upstream.seen
    posts = [gateway.request("/", "POST", origin=APP, x_plan="free") for _ in range(2)]
    assert [(post.status, post.headers["access-control-allow-origin"]) for post in posts] == [(200, APP), (429, APP)]


def test_options_without_a_preflight_is_forwarded(serve, upstream):
    gateway = serve(route_with_cors(upstream.port, f"allowOrigins: ['{APP}']"))
    assert gateway.request(method="OPTIONS", origin=APP).status == 200
    assert [seen.method for seen in upstream.seen] == ["OPTIONS"]


def test_cors_fields_of_the_upstream_are_replaced(serve, upstream):
    gateway = serve(route_with_cors(upstream.port, f"allowOrigins: ['{APP}']"))
    upstream.script = lambda seen: reply(headers={"access-control-allow-origin": "*", "vary": "accept"})
    answer = gateway.request(origin=APP)
    assert answer.headers.get_all("access-control-allow-origin") == [APP]
    assert {part.strip().lower() for part in ", ".join(answer.headers.get_all("vary")).split(",")} == {
        "accept",
        "origin",
    }


def test_local_reply_has_cors_fields(serve, upstream):
    gateway = serve(
        route(
            rule(
                f"filters: [{{type: CORS, cors: {{allowOrigins: ['{APP}']}}}}]",
                "backendRefs: [{name: nobody, port: 80}]",
            )
        )
    )
    answer = gateway.request(origin=APP)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (500, APP)


def test_cache_hit_has_the_cors_fields_of_its_origin(serve, upstream):
    gateway = serve(
        route(
            rule(
                f"filters: [{{type: CORS, cors: {{allowOrigins: ['{APP}', 'https://two.test']}}}}]",
                "cache: {ttl: 1h}",
                to(upstream.port),
            )
        )
    )
    for _ in range(2):
        for origin in (APP, "https://two.test"):
            assert gateway.request(origin=origin).headers.get_all("access-control-allow-origin") == [origin]
        assert cors_fields(gateway.request(origin="https://evil.test")) == set()
        assert cors_fields(gateway.request()) == set()
