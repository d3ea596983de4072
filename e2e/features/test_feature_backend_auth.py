"""`backendRefs[].auth`: the gateway sends its secret to the upstream only."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from inferway_fakes.upstream import Pause
from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import route, rule
from inferway_testing.until import until

SECRET = "s3cr3t-of-the-gateway"  # noqa: S105 - of this test


@pytest.fixture
def secrets(tmp_path):
    """Create a directory with one secret."""
    directory = tmp_path / "secrets"
    directory.mkdir()
    (directory / "key").write_text(SECRET + "\n")
    return directory


def route_with_auth(upstream, auth='{header: Authorization, prefix: "Bearer ", file: key}', *more):
    """Return a route to an upstream with this credential."""
    return route(rule(*more, f'backendRefs: [{{url: "http://127.0.0.1:{upstream.port}", auth: {auth}}}]'))


@pytest.fixture
def gateway(serve, upstream, secrets):
    """Start a gateway that sends its key to the upstream."""
    return serve(route_with_auth(upstream), secrets_directory=str(secrets))


def received_values(upstream, name="authorization"):
    """Return the values of this header that the upstream received."""
    return [value for field, value in upstream.seen[-1].headers if field.lower() == name]


def test_upstream_gets_prefix_and_secret(gateway, upstream):
    assert gateway.request().status == 200
    assert received_values(upstream) == [f"Bearer {SECRET}"]


@pytest.mark.parametrize("name", ["authorization", "Authorization", "AUTHORIZATION"])
def test_credential_header_of_the_client_is_removed(gateway, upstream, name):
    gateway.raw(
        f"GET / HTTP/1.1\r\nhost: x\r\n{name}: Bearer mine\r\n{name}: Basic two\r\nconnection: close\r\n\r\n".encode(),
        half_close=False,
    )
    assert received_values(upstream) == [f"Bearer {SECRET}"]


def test_client_cannot_drop_the_credential_by_connection_field(gateway, upstream):
    gateway.raw(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close, authorization\r\n\r\n", half_close=False)
    assert received_values(upstream) == [f"Bearer {SECRET}"]


def test_custom_header_without_a_prefix_is_sent(serve, upstream, secrets):
    gateway = serve(route_with_auth(upstream, "{header: X-Api-Key, file: key}"), secrets_directory=str(secrets))
    gateway.request(x_api_key="mine", authorization="Bearer mine")
    assert received_values(upstream, "x-api-key") == [SECRET]
    assert received_values(upstream) == ["Bearer mine"]  # the client may send another header


def test_credential_is_sent_to_its_backend_only(serve, upstream, upstreams, secrets):
    [other] = upstreams(1)
    gateway = serve(
        route(
            rule(
                f"""
                backendRefs:
                - {{url: "http://127.0.0.1:{upstream.port}", auth: {{header: authorization, file: key}}}}
                - {{url: "http://127.0.0.1:{other.port}", priority: 1}}
                """,
                "retry: {attempts: 1, backoff: 1ms}",
                "circuitBreaker: {maxEjectedPercent: 0}",
            )
        ),
        secrets_directory=str(secrets),
    )
    upstream.script = lambda seen: reply(b"no", "503 Service Unavailable")
    assert gateway.request(authorization="Bearer mine").status == 200
    assert received_values(upstream) == [SECRET]
    assert received_values(other) == ["Bearer mine"]


def test_changed_secret_is_used_without_a_gap_under_load(gateway, upstream, secrets):
    gateway.request()
    part = secrets / ".part"
    part.write_text("the-new-one")
    part.rename(secrets / "key")

    def new_one():
        assert gateway.request().status == 200
        return received_values(upstream) == ["Bearer the-new-one"]

    until(new_one, "the new secret", 2.5)
    assert {seen.header("authorization") for seen in upstream.seen} == {f"Bearer {SECRET}", "Bearer the-new-one"}


@pytest.mark.parametrize("content", [None, "", "\n", "two\nlines", "a\x00b", "x" * 20_000], ids=lambda c: repr(c)[:12])
def test_unusable_secret_is_answered_500_without_an_upstream(serve, upstream, secrets, content):
    (secrets / "key").unlink()
    if content is not None:
        (secrets / "key").write_text(content)
    gateway = serve(route_with_auth(upstream), secrets_directory=str(secrets))
    answer = gateway.request()
    assert (answer.status, answer.code) == (500, "credential_missing")
    assert b"key" not in answer.body
    assert not upstream.connections
    assert gateway.active_requests() == (0, 0, 0)


def test_missing_secrets_directory_is_answered_500(serve, upstream):
    assert serve(route_with_auth(upstream)).request().code == "credential_missing"
    assert not upstream.connections


def test_removed_secret_is_not_used_until_it_returns(gateway, upstream, secrets):
    assert gateway.request().status == 200
    (secrets / "key").unlink()
    until(lambda: gateway.request().status == 500, "the secret to be gone", 2.5)
    (secrets / "key").write_text("again")
    until(lambda: gateway.request().status == 200, "the secret to be back", 2.5)
    assert received_values(upstream) == ["Bearer again"]


@pytest.mark.parametrize("name", ["../routes.yaml", "a/b", "/etc/passwd", ".hidden", "..", "a\\b", ""])
def test_secret_file_with_a_path_is_rejected_by_the_compiler(tmp_path, name):
    directory = tmp_path / "resources"
    directory.mkdir()
    text = route(rule(f"backendRefs: [{{url: 'http://127.0.0.1:1', auth: {{header: a, file: {json.dumps(name)}}}}}]"))
    (directory / "routes.yaml").write_text(text)
    inferway = str(Path(sys.executable).with_name("inferway"))
    done = subprocess.run(
        [inferway, "validate", str(directory)], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 1
    assert "auth.file" in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "X-Forwarded-For", "connection"])
def test_credential_in_a_gateway_header_is_rejected(gateway, upstream, name):
    gateway.apply(route_with_auth(upstream, f"{{header: {name}, file: key}}"))
    assert "header must not be" in gateway.plane.gateway.live.last_error


@pytest.mark.case("X3")
def test_secret_appears_in_no_output(serve, upstream, secrets, caplog, capfd):
    caplog.set_level("DEBUG")
    gateway = serve(
        route_with_auth(
            upstream, '{header: Authorization, prefix: "Bearer ", file: key}', "timeouts: {backendRequest: 250ms}"
        ),
        secrets_directory=str(secrets),
        access_log=True,
    )
    gateway.request()
    upstream.script = lambda seen: [Pause(30)]
    gateway.request()
    (secrets / "key").write_text("another-s3cr3t")
    until(lambda: "a secret has changed" in caplog.text, "the change to be logged")
    outputs = [
        gateway.request(path, port=gateway.admin_port).body.decode()
        for path in ("/metrics", "/debug/config", "/debug/backends", "/healthz", "/readyz")
    ]
    logged = "".join(str(record.__dict__) for record in caplog.records)
    assert re.search(r'"file": ?"key"', outputs[1])  # the name is
    assert "'file': 'key'" in logged
    printed = []

    def is_logged():
        printed.append(capfd.readouterr().out)
        return '"status":504' in "".join(printed)

    until(is_logged, "the access log")
    for output in (*outputs, logged, caplog.text, "".join(printed)):
        assert "s3cr3t" not in output
