"""Changes of the files while the gateway serves: soon visible, applied completely or not at all, without failed requests."""

from __future__ import annotations

import http.client
import json
import threading
from time import monotonic

import pytest

from inferway_fakes.yaml_builders import direct_response, resources, route, rule, to
from inferway_testing.until import until


def debug(gateway):
    """Return the gateway's /debug/config."""
    return json.loads(gateway.request("/debug/config", port=gateway.admin_port).body)


def test_changed_file_is_served_within_a_second(serve):
    gateway = serve(route(rule(direct_response("one"))))
    revision = debug(gateway)["revision"]
    started = monotonic()
    (gateway.directory / "routes.yaml").write_text(route(rule(direct_response("two"))))
    until(lambda: gateway.request().body == b"two", "the change to be served", 1.0)
    assert monotonic() - started < 1.0
    assert debug(gateway)["revision"] != revision


def test_added_and_removed_files_change_the_routes(serve):
    gateway = serve(route(rule("matches: [{path: {value: /a}}]", direct_response("a"))))
    assert gateway.request("/b").status == 404
    gateway.apply(route(rule("matches: [{path: {value: /b}}]", direct_response("b")), name="second"), "second.yaml")
    assert gateway.request("/a").body == b"a"
    assert gateway.request("/b").body == b"b"
    (gateway.directory / "second.yaml").unlink()
    until(lambda: gateway.request("/b").status == 404, "the route to go", 1.0)
    assert gateway.request("/a").body == b"a"


BROKEN = {
    "no YAML": ("apiVersion: [", "routes.yaml:"),
    "an unknown field": (route(rule(direct_response("two"), "matchez: []")), "routes.yaml:7: "),
    "a wrong type": (route(rule("matches: [{method: 7}]", direct_response("two"))), "routes.yaml:"),
    "the same object twice": (
        resources(route(rule(direct_response("a"))), route(rule(direct_response("b")))),
        "routes.yaml:",
    ),
    "nothing at all": ("", "routes.yaml:1: is empty"),
    "a rule without an action": (route(rule(direct_response("one")), rule("name: idle")), "routes.yaml:"),
    "a pattern that is none": (
        route(rule(direct_response("two"), "matches: [{path: {type: RegularExpression, value: '/('}}]")),
        "routes.yaml:",
    ),
    "a tab": ("a:\n\tb: 1\n", "routes.yaml:2"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_file_is_rejected_and_the_last_good_one_served(serve, what):
    text, place = BROKEN[what]
    gateway = serve(route(rule(direct_response("one"))))
    before = debug(gateway)
    gateway.apply(text)
    after = debug(gateway)
    assert place in after["lastError"]
    assert (after["revision"], after["document"]) == (before["revision"], before["document"])
    assert gateway.metric("config_rejected_total") == 1
    assert gateway.request().body == b"one"
    assert gateway.request("/readyz", port=gateway.admin_port).status == 200


def test_file_with_one_bad_object_is_rejected_whole(serve):
    gateway = serve(route(rule("matches: [{path: {value: /a}}]", direct_response("one"))))
    gateway.apply(
        resources(
            route(rule("matches: [{path: {value: /a}}]", direct_response("two"))), route(rule("typo: 1"), name="bad")
        )
    )
    assert gateway.request("/a").body == b"one"


def test_fixed_file_is_served_and_clears_the_error(serve):
    gateway = serve(route(rule(direct_response("one"))))
    gateway.apply("apiVersion: [")
    assert debug(gateway)["lastError"]
    gateway.apply(route(rule(direct_response("two"))))
    assert gateway.request().body == b"two"
    assert debug(gateway)["lastError"] == ""


def test_reverted_file_clears_the_error(serve):
    gateway = serve(route(rule(direct_response("one"))))
    gateway.apply("apiVersion: [")
    assert debug(gateway)["lastError"]
    gateway.apply(route(rule(direct_response("one"))))  # as it was
    assert debug(gateway)["lastError"] == ""


def test_touched_file_changes_nothing(serve):
    text = route(rule(direct_response("one")))
    gateway = serve(text)
    live = gateway.plane.gateway.context.runtime
    (gateway.directory / "routes.yaml").write_text(text)
    gateway.apply(route(rule("matches: [{path: {value: /b}}]", direct_response("b")), name="b"), "b.yaml")
    # The second change came after the first was detected, and one new document has both.
    assert gateway.plane.gateway.context.runtime is not live
    assert gateway.metric("config_rejected_total") == 0
    assert gateway.request().body == b"one"


def test_request_in_flight_keeps_its_rules_after_a_reload(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    release = threading.Event()

    def script(seen):
        assert release.wait(10)
        return [b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nold"]

    upstream.script = script
    answers = []
    client = threading.Thread(target=lambda: answers.append(gateway.request("/slow")))
    client.start()
    until(lambda: upstream.seen, "the request to be in flight")
    gateway.apply(route(rule(direct_response("new"))))
    assert gateway.request().body == b"new"
    release.set()
    client.join(10)
    assert [answer.body for answer in answers] == [b"old"]


@pytest.mark.slow
def test_hundred_reloads_under_load_lose_no_request(serve, upstream, monkeypatch):
    monkeypatch.setattr("inferway_cli.directory_source._SHARE", 1.0)

    def numbered(number):
        header = f"{{set: [{{name: x-number, value: '{number}'}}]}}"
        return route(
            rule(
                f"filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {header}}}]",
                to(upstream.port),
            )
        )

    gateway = serve(numbered(0))
    ended = threading.Event()
    failures: list[object] = []
    numbers: set[str] = set()

    def load():
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
        try:
            while not ended.is_set():
                connection.request("GET", "/")
                answer = connection.getresponse()
                numbers.add(answer.headers["x-number"])
                if (answer.status, answer.read()) != (200, b"ok"):
                    failures.append(answer.status)
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    clients = [threading.Thread(target=load) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        for number in range(1, 101):
            gateway.apply(numbered(number))
    finally:
        ended.set()
        for client in clients:
            client.join(10)
    assert not failures
    assert len(numbers) > 50  # the load did see the changes
    assert gateway.request().headers["x-number"] == "100"
    assert gateway.metric("http_requests_total", code="200") > 100
    assert gateway.metric("http_requests_total") == gateway.metric("http_requests_total", code="200")
