"""Clients that disconnect, or only stop sending: both send a FIN, so an answer that is almost ready is still sent."""

from __future__ import annotations

import json
import socket
import struct
from contextlib import contextmanager
from time import monotonic

import pytest

from inferway_fakes.upstream import Pause
from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import route, rule, to
from inferway_testing.until import DEADLINE, until

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


def read_to_end(connection):
    """Read until the gateway closes, or resets, the connection."""
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


@contextmanager
def hanging_upstream():
    """Open a listener that reads one request and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        yield listener


def accept_request(listener):
    """Accept the gateway's connection and read its request."""
    accepted, _ = listener.accept()
    accepted.settimeout(DEADLINE)
    read = b""
    while b"\r\n\r\n" not in read:
        read += accepted.recv(65536)
    return accepted


def seconds_until_closed(accepted):
    """Return the seconds until the gateway's connection closes."""
    started = monotonic()
    assert read_to_end(accepted) == b""
    return monotonic() - started


@pytest.mark.parametrize("seconds", [0, 0.2], ids=["at once", "a little later"])
def test_response_soon_after_the_fin_of_the_client_arrives(serve, upstream, seconds):
    gateway = serve(route(rule(to(upstream.port))))
    upstream.script = lambda seen: [Pause(seconds), *reply(b"late")]
    received = gateway.raw(REQUEST)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.endswith(b"late")
    assert gateway.metric("connections_cut_total") == 0


def test_request_ends_within_a_second_after_a_fin(serve):
    with hanging_upstream() as listener:
        gateway = serve(route(rule(to(listener.getsockname()[1]))))
        with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as client:
            client.sendall(REQUEST)
            with accept_request(listener) as accepted:
                client.shutdown(socket.SHUT_WR)
                lasted = seconds_until_closed(accepted)
                assert 0.4 <= lasted <= 1.0
                assert read_to_end(client) == b""
        assert gateway.metric("http_requests_total", code="499") == 1
        assert gateway.metric("connections_cut_total", reason="left") == 1
        assert gateway.metric("requests_in_flight") == 0


def test_request_ends_within_a_second_after_a_full_close(serve):
    with hanging_upstream() as listener:
        gateway = serve(route(rule(to(listener.getsockname()[1]))))
        with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as client:
            client.sendall(REQUEST)
            accepted = accept_request(listener)
        with accepted:
            assert seconds_until_closed(accepted) <= 1.0
        until(lambda: gateway.metric("http_requests_total", code="499") == 1, "the request to be counted")


def test_disconnect_mid_body_ends_the_request_at_once(serve):
    with hanging_upstream() as listener:
        gateway = serve(route(rule(to(listener.getsockname()[1]))))
        with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as client:
            client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n")
            with accept_request(listener) as accepted:
                client.shutdown(socket.SHUT_WR)
                assert seconds_until_closed(accepted) <= 0.4


def test_disconnected_client_is_logged_as_499_client_gone(serve, capfd):
    with hanging_upstream() as listener:
        gateway = serve(route(rule(to(listener.getsockname()[1]))), access_log=True)
        with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as client:
            client.sendall(REQUEST)
            with accept_request(listener) as accepted:
                client.shutdown(socket.SHUT_WR)
                seconds_until_closed(accepted)
        logged = []

        def has_line():
            logged.extend(capfd.readouterr().out.splitlines())
            return logged

        until(has_line, "the line of the access log")
    line = json.loads(logged[0])
    assert (line["status"], line["code"], line["bytes"]) == (499, "client_gone", 0)


# --- while the gateway does not read from the client


def in_flight(gateway) -> float:
    return gateway.metric("requests_in_flight")


def test_s2_disconnect_with_pipelined_requests_is_noticed(serve, upstream):
    upstream.script = lambda seen: [Pause(30)]
    gateway = serve(route(rule(to(upstream.port))))
    client = socket.create_connection(("127.0.0.1", gateway.port), DEADLINE)
    client.sendall(REQUEST * 2)
    until(lambda: in_flight(gateway) == 1, "the first request")
    client.close()
    until(lambda: in_flight(gateway) == 0, "the end of it", 3)


def test_s2_reset_with_a_blocked_body_is_noticed(serve):
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # accepts in the kernel, and never reads
        gateway = serve(route(rule(to(deaf.getsockname()[1]))))
        client = socket.create_connection(("127.0.0.1", gateway.port), DEADLINE)
        client.setblocking(False)
        client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n\r\n")

        def is_full() -> bool:
            try:
                while True:
                    client.send(b"x" * 65536)
            except BlockingIOError:
                return True

        until(lambda: is_full() and in_flight(gateway) == 1, "back-pressure")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        until(lambda: in_flight(gateway) == 0, "the end of it", 3)
