"""L7: a process without free descriptors continues, logs it, and recovers by itself."""

from __future__ import annotations

import re
import socket
from contextlib import ExitStack

import pytest

from inferway_fakes.yaml_builders import route, rule, to
from inferway_testing.client import ask
from inferway_testing.process import run_gateway
from inferway_testing.until import until

LIMIT = 112
"""Low enough for connections to reach it: 64 are reserved, and half of the others is for clients."""


def metric(port, name):
    """Return one sample without labels."""
    text = ask(port, "/metrics")[1].decode()
    return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE).group(1))


@pytest.mark.case("L7")
def test_client_connections_leave_descriptors_free(tmp_path, upstream):
    with run_gateway(tmp_path, route(rule(to(upstream.port))), descriptors=LIMIT) as process, ExitStack() as stack:
        port, admin = process.port(), process.port("admin")
        for number in range(300):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
            if number % 50 == 0:
                assert ask(port) == (200, b"ok")
                assert ask(admin, "/healthz")[0] == 200
        assert ask(port) == (200, b"ok")
        until(lambda: metric(admin, "connections") <= (LIMIT - 64) // 2, "those that were cut to be gone")
    assert process.text == []


@pytest.mark.slow
@pytest.mark.case("L7")
def test_gateway_recovers_from_exhausted_descriptors(tmp_path, upstream):
    """Connections to the admin port are not capped, so they can use all descriptors."""
    directory = tmp_path / "secrets"
    directory.mkdir()
    secret = directory / "key"
    secret.write_text("old")
    text = route(
        rule(f'backendRefs: [{{url: "http://127.0.0.1:{upstream.port}", auth: {{header: x-key, file: key}}}}]')
    )
    flags = ["--memory-limit", "10000000000", "--secrets-directory", str(directory)]
    with run_gateway(tmp_path, text, *flags, descriptors=LIMIT) as process:
        port, admin = process.port(), process.port("admin")
        assert ask(port) == (200, b"ok")
        with ExitStack() as stack:

            def has_run_out():
                # Some were opened while a request held a descriptor that is free afterwards, so open one more each time.
                stack.enter_context(socket.create_connection(("127.0.0.1", admin), 5))
                return not is_served_soon(port)

            for _ in range(2 * LIMIT):
                stack.enter_context(socket.create_connection(("127.0.0.1", admin), 5))
            until(has_run_out, "it to run out of descriptors")
            secret.write_text("new")
            process.event("reload failed, keeping the previous version")
            assert process.is_running
        until(lambda: is_served(port), "it to serve again")
        assert [ask(port)[0] for _ in range(20)] == [200] * 20
        assert ask(admin, "/readyz")[0] == 200
        # A change made meanwhile is served as soon as the file can be read.
        until(lambda: is_served(port) and upstream.seen[-1].header("x-key") == "new", "the new secret", 3.0)
        assert {seen.header("x-key") for seen in upstream.seen} == {"old", "new"}
        assert metric(admin, "accept_pressure_total") > 0
        assert "the wheel met an error" not in [event["event"] for event in process.events]
        process.signal()
        assert process.exit_code() == 0


def is_served_soon(port):
    """Return whether one request is answered within a second."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            return bool(client.recv(100))
    except (ConnectionError, TimeoutError):
        return False


def is_served(port):
    """Return whether a request is served."""
    try:
        return ask(port) == (200, b"ok")
    except OSError:
        return False
