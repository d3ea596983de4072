"""The smallest gateway: a route, an upstream, an answer; and requests without a route."""

from __future__ import annotations

import json


def route(port: int, rule: str = "", *, name: str = "demo") -> str:
    """Return a GatewayRoute with one rule to a local upstream; `rule` is more YAML of the rule, indented by two."""
    lines = "\n".join(f"    {line}" for line in rule.splitlines())
    return f"""
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {{name: {name}}}
spec:
  rules:
  - backendRefs: [{{url: "http://127.0.0.1:{port}"}}]
{lines}
"""


def test_request_is_forwarded_and_the_response_returned(serve, upstream):
    gateway = serve(route(upstream.port))
    answer = gateway.request("/a/b?c=d")
    assert (answer.status, answer.body) == (200, b"ok")
    seen = upstream.seen[0]
    assert (seen.method, seen.target) == ("GET", "/a/b?c=d")
    assert seen.header("x-forwarded-for") == "127.0.0.1"
    assert seen.header("x-forwarded-proto") == "http"
    assert seen.header("via") == "1.1 inferway"
    assert seen.header("x-request-id") == answer.headers["x-request-id"]
    assert seen.header("traceparent").startswith("00-")


def test_unmatched_request_is_answered_404_no_route(serve, upstream):
    gateway = serve(route(upstream.port, "matches: [{path: {value: /only}}]"))
    answer = gateway.request("/other")
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.body)["code"] == "no_route"
    assert not upstream.seen


def test_upstream_connections_are_reused(serve, upstream):
    gateway = serve(route(upstream.port))
    for _ in range(5):
        assert gateway.request().status == 200
    assert upstream.connections == 1


def test_post_body_is_forwarded_whole(serve, upstream):
    gateway = serve(route(upstream.port))
    body = bytes(range(256)) * 4096
    assert gateway.request("/", "POST", body=body).status == 200
    assert upstream.seen[0].body == body


def test_probes_and_metrics_are_on_the_admin_port_only(serve, upstream):
    gateway = serve(route(upstream.port, "matches: [{path: {value: /only}}]"))
    assert gateway.request("/only").status == 200
    for path in ("/healthz", "/readyz", "/metrics", "/debug/config"):
        assert gateway.request(path, port=gateway.admin_port).status == 200
        assert gateway.request(path).status == 404
    assert gateway.metric("http_requests_total", route="default/demo", code="200") == 1
