"""X3: the admin port is separate from the data port, shows no secrets, and clients cannot add metrics series."""

from __future__ import annotations

import json
import random
import socket
import string

import pytest

from inferway_fakes.yaml_builders import direct_response, policy, resources, route, rule, to
from inferway_testing.until import DEADLINE

ADMIN = ["/healthz", "/readyz", "/metrics", "/debug/config", "/debug/backends"]


def series(gateway):
    """Return the names and labels of all samples, without their values."""
    text = gateway.request("/metrics", port=gateway.admin_port).body.decode()
    return {line.rsplit(" ", 1)[0] for line in text.splitlines() if line and not line.startswith("#")}


def ask(connection, head):
    """Send one request on a kept connection; returns its status."""
    connection.sendall(head)
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        assert piece
        received += piece
    answer, _, body = received.partition(b"\r\n\r\n")
    [length] = [int(line[16:]) for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < length:
        body += connection.recv(65536)
    return int(answer[9:12])


@pytest.mark.case("X3")
@pytest.mark.parametrize("path", [*ADMIN, "/", "/debug/"])
def test_admin_paths_are_404_on_the_data_port(serve, upstream, path):
    gateway = serve(route(rule("matches: [{path: {value: /app}}]", to(upstream.port))))
    assert gateway.port != gateway.admin_port
    assert gateway.request(path).code == "no_route"
    # Nor by other fields that name a target.
    admin = f"127.0.0.1:{gateway.admin_port}"
    assert gateway.request(path, host=admin).code == "no_route"
    received = gateway.raw(f"GET http://{admin}{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    assert received.startswith(b"HTTP/1.1 404 ")
    assert not upstream.connections


@pytest.mark.case("X3")
@pytest.mark.parametrize("path", ADMIN)
def test_route_with_an_admin_path_is_served_by_the_data_port(serve, path):
    gateway = serve(route(rule(direct_response("mine"))))
    assert gateway.request(path).body == b"mine"
    assert gateway.request(path, port=gateway.admin_port).body != b"mine"


@pytest.mark.case("X3")
def test_admin_port_serves_no_routes(serve):
    gateway = serve(route(rule(direct_response("mine"))))
    assert gateway.request("/app", port=gateway.admin_port).status == 404
    for path in ADMIN:
        assert gateway.request(path, "POST", port=gateway.admin_port, body=b"x").status == 405


@pytest.mark.case("X3")
def test_client_input_adds_no_metric_series(serve, upstream):
    limit = "name: per-client\nrate: {requests: 100000, per: 1s}\nburst: 100000\nscope: Pod\nkey: [{header: x-tenant}]"
    gateway = serve(
        resources(
            route(
                rule("name: app", "matches: [{path: {value: /app}}]", "cache: {ttl: 60s}", to(upstream.port)),
                rule("name: never", "matches: [{path: {value: /never}}]", direct_response("x")),
            ),
            policy(limit),
        )
    )
    draw = random.Random(7)  # noqa: S311 - not secrecy

    def word():
        return "".join(draw.choices(string.ascii_lowercase, k=12))

    def one(connection, method, path):
        return ask(
            connection,
            f"{method} {path}?{word()}={word()} HTTP/1.1\r\nhost: {word()}.example\r\nx-tenant: {word()}\r\n"
            f"user-agent: {word()}\r\nx-request-id: {word()}\r\n\r\n".encode(),
        )

    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as connection:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"):
            for path in ("/app", "/none"):
                one(connection, method, path)
        assert gateway.raw(b"XYZZY / HTTP/1.1\r\nhost: x\r\n\r\n").startswith(b"HTTP/1.1 501 ")
        before = series(gateway)
        statuses = {one(connection, "GET", f"/{draw.choice(['app', 'none'])}/{word()}") for _ in range(1000)}
        assert statuses == {200, 404}
    for _ in range(100):
        unknown = word().upper()
        assert gateway.raw(f"{unknown} /{word()} HTTP/1.1\r\nhost: x\r\n\r\n".encode()).startswith(b"HTTP/1.1 501 ")
    after = series(gateway)
    assert after == before
    assert not any("/app" in line or "example" in line for line in after)


@pytest.mark.case("X3")
def test_unknown_methods_add_no_metric_series(serve):
    """llhttp knows 34 methods of HTTP and rejects all others earlier."""
    gateway = serve(route(rule(direct_response("ok"))))
    for method in ("PROPFIND", "MKCOL", "REPORT", "PURGE", "M-SEARCH"):
        assert gateway.raw(f"{method} / HTTP/1.1\r\nhost: x\r\n\r\n".encode()).startswith(b"HTTP/1.1 200 ")
    assert len([line for line in series(gateway) if line.startswith("http_requests_total")]) == 5


def test_problem_contains_no_internal_addresses(serve):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        gateway = serve(route(rule(to(reserved.getsockname()[1]))))
        answer = gateway.request()
    document = json.loads(answer.body)
    assert set(document) == {"type", "title", "status", "detail", "code", "requestId"}
    assert document["requestId"] == answer.headers["x-request-id"]
    assert "127.0.0.1" not in answer.body.decode()
