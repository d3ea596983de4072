"""Direct responses of rules."""

from __future__ import annotations

import http.client

import pytest

from inferway_fakes.yaml_builders import direct_response, route, rule


def answering(response):
    """Return a rule with a direct response."""
    return route(rule(f"filters: [{{type: DirectResponse, directResponse: {{{response}}}}}]"))


def test_status_body_and_type_come_from_the_rule(serve):
    gateway = serve(answering('statusCode: 503, contentType: application/json, body: \'{"back": "söön"}\''))
    answer = gateway.request()
    assert (answer.status, answer.headers["content-type"]) == (503, "application/json")
    assert answer.body == '{"back": "söön"}'.encode()
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["x-request-id"]
    assert answer.headers["date"]


def test_content_type_defaults_to_plain_text(serve):
    answer = serve(answering("statusCode: 200, body: hi")).request()
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("status", [204, 304])
def test_bodyless_status_has_no_body(serve, status):
    gateway = serve(answering(f"statusCode: {status}"))
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=5)
    for _ in range(2):  # on one connection: it stays in step
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (status, b"")
        assert answer.headers["content-length"] is None
    connection.close()


def test_head_gets_the_length_without_a_body(serve):
    answer = serve(answering("statusCode: 200, body: hello")).request(method="HEAD")
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "5", b"")


def test_small_request_body_is_read_and_the_connection_kept(serve):
    gateway = serve(route(rule(direct_response("ok"))))
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=5)
    for _ in range(3):
        connection.request("POST", "/", body=b"x" * 1000)
        assert connection.getresponse().read() == b"ok"
        assert connection.sock is not None
    connection.close()


def test_large_request_body_does_not_lose_the_response(serve):
    gateway = serve(route(rule(direct_response("ok"))))
    for _ in range(5):
        assert gateway.request("/", "POST", body=bytes(4 << 20)).body == b"ok"


def test_direct_responses_are_counted(serve):
    gateway = serve(answering("statusCode: 410, body: gone"))
    gateway.request()
    assert gateway.metric("http_requests_total", route="default/demo", rule="rule-0", code="410") == 1
