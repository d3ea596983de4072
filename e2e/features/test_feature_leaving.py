"""Clients that leave, or only stop sending: a FIN looks the same, so an answer that is nearly there still goes out."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager
from time import monotonic

import pytest

from inferway_fakes.upstream import Pause
from inferway_fakes.upstream import answer as reply
from inferway_fakes.waiting import DEADLINE, wait_until
from inferway_fakes.yaml_builders import route, rule, to

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


def rest(connection):
    """Read until the gateway closes, in order or not."""
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


@contextmanager
def hanging_upstream():
    """A listener whose one connection is read to the end of a request, and never answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        yield listener


def taken(listener):
    """The gateway's connection, with its request read."""
    accepted, _ = listener.accept()
    accepted.settimeout(DEADLINE)
    read = b""
    while b"\r\n\r\n" not in read:
        read += accepted.recv(65536)
    return accepted


def seconds_until_it_is_gone(accepted):
    """How long the gateway's connection still lasts."""
    started = monotonic()
    assert rest(accepted) == b""
    return monotonic() - started


@pytest.mark.parametrize("seconds", [0, 0.2], ids=["at once", "a little later"])
def test_an_answer_that_is_nearly_there_arrives_after_the_client_s_fin(serve, upstream, seconds):
    gateway = serve(route(rule(to(upstream.port))))
    upstream.script = lambda seen: [Pause(seconds), *reply(b"late")]
    received = gateway.raw(REQUEST)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.endswith(b"late")
    assert gateway.metric("connections_cut_total") == 0


def test_after_a_fin_work_for_somebody_who_has_left_ends_within_a_second(serve):
    with hanging_upstream() as listener:
        gateway = serve(route(rule(to(listener.getsockname()[1]))))
        with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as client:
            client.sendall(REQUEST)
            with taken(listener) as accepted:
                client.shutdown(socket.SHUT_WR)
                lasted = seconds_until_it_is_gone(accepted)
                assert 0.4 <= lasted <= 1.0
                assert rest(client) == b""
        assert gateway.metric("http_requests_total", code="499") == 1
        assert gateway.metric("connections_cut_total", reason="left") == 1
        assert gateway.metric("requests_in_flight") == 0


def test_a_client_that_closes_altogether_is_no_different(serve):
    with hanging_upstream() as listener:
        gateway = serve(route(rule(to(listener.getsockname()[1]))))
        with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as client:
            client.sendall(REQUEST)
            accepted = taken(listener)
        with accepted:
            assert seconds_until_it_is_gone(accepted) <= 1.0
        wait_until(lambda: gateway.metric("http_requests_total", code="499") == 1, "the request to be counted")


def test_a_client_that_leaves_in_the_middle_of_its_body_ends_at_once(serve):
    with hanging_upstream() as listener:
        gateway = serve(route(rule(to(listener.getsockname()[1]))))
        with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as client:
            client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n")
            with taken(listener) as accepted:
                client.shutdown(socket.SHUT_WR)
                assert seconds_until_it_is_gone(accepted) <= 0.4


def test_a_client_that_left_is_logged_as_gone(serve, capfd):
    with hanging_upstream() as listener:
        gateway = serve(route(rule(to(listener.getsockname()[1]))), access_log=True)
        with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as client:
            client.sendall(REQUEST)
            with taken(listener) as accepted:
                client.shutdown(socket.SHUT_WR)
                seconds_until_it_is_gone(accepted)
        logged = []

        def has_line():
            logged.extend(capfd.readouterr().out.splitlines())
            return logged

        wait_until(has_line, "the line of the access log")
    line = json.loads(logged[0])
    assert (line["status"], line["code"], line["bytes"]) == (499, "client_gone", 0)
