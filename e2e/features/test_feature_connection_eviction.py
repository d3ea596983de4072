"""L5, L6 and the caps: the connections evicted when the gateway is full, and requests rejected for lack of room."""

from __future__ import annotations

import http.client
import socket
from contextlib import ExitStack
from time import monotonic

import pytest

from inferway_dataplane.engine.downstream.eviction import YOUNG
from inferway_fakes.gate import Gate
from inferway_fakes.scripted.server import ScriptedUpstream
from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import direct_response, route, rule, to
from inferway_testing.concurrent_calls import start_calls
from inferway_testing.until import DEADLINE, until

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
HALF = b"GET / HTTP/1.1\r\nhost: x\r\nx-a: "
BODY = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n"


class Clients:
    """Connections that stay open until the end of the test."""

    def __init__(self, gateway, stack):
        self.gateway = gateway
        self._stack = stack

    def connect(self, sent=b"", buffer=0):
        """Open one more connection and send these bytes; returns when the gateway has accepted it."""
        before = len(self.open())
        client = self._stack.enter_context(socket.socket())
        client.settimeout(DEADLINE)
        if buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.connect(("127.0.0.1", self.gateway.port))
        client.sendall(sent)
        until(lambda: len(self.open()) > before, "the gateway to have it")
        return client

    def idle(self):
        """Open a connection that has received an answer and is idle."""
        client = self.connect(GET)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        return client

    def open(self):
        """Return the connections that the gateway holds."""
        return list(self.gateway.plane.gateway.cap.connections)

    def turn(self):
        """Wait for a tick of the gateway's timer wheel."""
        wheel = self.gateway.plane.gateway
        now = wheel.clock.coarse_now
        until(lambda: wheel.clock.coarse_now > now, "a turn of the wheel")

    def age(self):
        """Wait until no connection counts as new (decision 0006)."""
        wheel = self.gateway.plane.gateway
        now = wheel.clock.coarse_now
        until(lambda: wheel.clock.coarse_now > now + YOUNG + 0.25, "all to be older")


@pytest.fixture
def clients(serve, upstream):
    """Return a function: `clients(most=4)` starts a gateway with this cap on connections."""
    with ExitStack() as stack:
        yield lambda most, text=None, **more: Clients(
            serve(text or route(rule(to(upstream.port))), max_connections=most, **more), stack
        )


def is_cut(client):
    """Return whether the gateway has cut this connection, which had nothing more to read."""
    client.settimeout(0.02)
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def next_evicted(clients):
    """Return the connection that is cut first; asserts that the others are not."""
    clients = list(clients)
    gone = []

    def is_seen():
        gone.extend(one for one in clients if is_cut(one))
        return gone

    until(is_seen, "a connection to be cut")
    [one] = gone
    return one


# --- evicted ones -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.case("L6")
def test_eviction_order_is_idle_then_heads_then_slow_bodies(clients, upstream):
    gate = Gate()
    # Slow bodies reach the upstream only when they are complete, so only the GET waits there.
    upstream.script = lambda seen: gate.before(reply()) if seen.target == "/held" else reply()
    here = clients(most=6)
    complete = here.connect(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n")
    until(lambda: upstream.seen, "a complete request")
    slower = here.connect(BODY)
    faster = here.connect(BODY + bytes(900))
    half = here.connect(HALF)
    older = here.idle()
    here.turn()
    younger = here.idle()
    here.age()
    cut = []
    others = [complete, slower, faster, half, older, younger]
    for _ in range(5):
        # Each new connection waits with a complete request, so it stays.
        before = len(upstream.seen)
        client = here._stack.enter_context(socket.create_connection(("127.0.0.1", here.gateway.port), DEADLINE))
        client.sendall(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n")
        until(lambda before=before: len(upstream.seen) > before, "it to be served")
        cut.append(next_evicted(one for one in others if one not in cut))
    names = {id(older): "older", id(younger): "younger", id(half): "half", id(slower): "slower", id(faster): "faster"}
    assert [names[id(one)] for one in cut] == ["older", "younger", "half", "slower", "faster"]
    # All six have a complete request now, so the next connection has no place.
    client = here._stack.enter_context(socket.create_connection(("127.0.0.1", here.gateway.port), DEADLINE))
    until(lambda: is_cut(client), "it to be cut")
    assert not is_cut(complete)
    gateway = here.gateway
    for reason, count in (("evicted_idle", 2), ("evicted_head", 1), ("evicted_body", 2), ("evicted_unread", 0)):
        assert gateway.metric("connections_cut_total", reason=reason) == count, reason
    assert gateway.metric("requests_shed_total", reason="connections") == 1
    gate.open()
    complete.settimeout(DEADLINE)
    assert complete.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.case("L6")
def test_new_connection_waits_while_none_may_be_evicted(clients, upstream):
    """A burst of requests ends soon, and no connection is rejected."""
    gate = Gate()
    upstream.script = gate.script()
    here = clients(most=3)
    for number in range(3):
        here.connect(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n")
        until(lambda number=number: len(upstream.seen) > number, "a complete request")
    late = here._stack.enter_context(socket.create_connection(("127.0.0.1", here.gateway.port), 0.3))
    late.sendall(b"GET /late HTTP/1.1\r\nhost: x\r\n\r\n")
    with pytest.raises(TimeoutError):
        late.recv(65536)
    gate.open()
    late.settimeout(DEADLINE)
    assert late.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert here.gateway.metric("requests_shed_total", reason="connections") == 0


@pytest.mark.case("L6")
def test_silent_new_connection_is_evicted_too(clients):
    here = clients(most=2)
    silent = here.connect()
    here.turn()
    other = here.connect()
    here.age()
    client = here._stack.enter_context(socket.create_connection(("127.0.0.1", here.gateway.port), DEADLINE))
    client.sendall(GET)
    assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert is_cut(silent)
    assert not is_cut(other)
    assert here.gateway.metric("connections_cut_total", reason="evicted_head") == 1


@pytest.mark.case("L6")
def test_unread_response_does_not_protect_from_eviction(clients):
    with ScriptedUpstream() as upstream:
        here = clients(most=1, text=route(rule(to(upstream.port))))
        unread = here.connect(b"GET / HTTP/1.1\r\nhost: x\r\nx-fake-body-size: 60000000\r\n\r\n", buffer=4096)
        [connection] = here.open()
        until(lambda: connection.is_write_paused, "the client not to read")
        wheel = here.gateway.plane.gateway
        began = connection.unread_deadline - wheel.settings.unread_timeout
        until(lambda: wheel.clock.coarse_now - began > YOUNG, "it not to read for long enough")
        assert here.gateway.request().status == 200
        assert here.gateway.metric("connections_cut_total", reason="evicted_unread") == 1
        until(lambda: upstream.stats.aborted == 1, "its upstream to be released", 1.0)
        unread.close()


@pytest.mark.case("L6")
def test_slow_clients_over_the_cap_do_not_block_new_ones(clients):
    most = 50
    here = clients(most=most, head_timeout=30.0)
    sockets = [
        here._stack.enter_context(socket.create_connection(("127.0.0.1", here.gateway.port), DEADLINE))
        for _ in range(2 * most)
    ]
    for number, client in enumerate(sockets):
        try:
            client.sendall([b"", HALF, BODY, BODY + bytes(10)][number % 4])
        except (BrokenPipeError, ConnectionResetError):
            continue  # it was already evicted
    cut = here.gateway.plane.gateway.stats.cut
    until(lambda: len(here.open()) + sum(cut.values()) >= 2 * most, "all to be in, or out again")
    assert (len(here.open()), sum(cut.values())) == (most, most)  # no connection is cut without need
    for _ in range(20):
        started = monotonic()
        assert here.gateway.request().status == 200
        assert monotonic() - started < 1.0
        for path in ("/healthz", "/readyz"):
            started = monotonic()
            assert here.gateway.request(path, port=here.gateway.admin_port).status == 200
            assert monotonic() - started < 1.0
    assert len(here.open()) <= most


# --- L5 -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.case("L5")
def test_half_a_body_is_answered_408_and_releases_the_upstream(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))), body_idle_timeout=0.4)
    started = monotonic()
    received = gateway.raw(BODY + bytes(500), half_close=False)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_too_slow"' in received
    assert monotonic() - started < 3.5  # the client gets some time to read its answer
    until(lambda: upstream.open_connections == 0, "the upstream to be released", 1.0)
    assert gateway.active_requests() == (0, 0, 0)


@pytest.mark.case("L5")
def test_dripping_body_is_answered_408(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))), body_idle_timeout=5.0, body_rate_after=0.5)
    started = monotonic()
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as client:
        client.sendall(BODY)
        client.settimeout(0.1)
        received = b""
        while not received and monotonic() - started < DEADLINE:
            client.sendall(b"a")
            try:
                received = client.recv(65536)
            except TimeoutError:
                continue
    assert received.startswith(b"HTTP/1.1 408 ")
    assert monotonic() - started < 2.0
    until(lambda: upstream.open_connections == 0, "the upstream to be released", 1.0)


@pytest.mark.case("L5")
def test_client_that_never_reads_is_cut_and_releases_upstream(serve):
    with ScriptedUpstream() as upstream:
        gateway = serve(route(rule(to(upstream.port))), unread_timeout=0.5)
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", gateway.port))
            client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nx-fake-body-size: 60000000\r\n\r\n")
            until(lambda: upstream.stats.in_flight == 1, "the answer to begin")
            until(lambda: upstream.stats.aborted == 1, "the upstream to be released", 3.0)
            assert gateway.metric("connections_cut_total", reason="not_reading") == 1
            until(lambda: not gateway.plane.gateway.cap.connections, "the client to be cut")
        assert gateway.active_requests() == (0, 0, 0)


# --- what is refused ------------------------------------------------------------------------------------------------------------


def assert_shed(answer):
    """Assert that the request was rejected for lack of room."""
    assert (answer.status, answer.code) == (503, "shed")
    assert int(answer.headers["retry-after"]) >= 1


def test_requests_beyond_max_in_flight_are_shed(serve, upstream):
    gate = Gate()
    upstream.script = gate.script()
    gateway = serve(route(rule(to(upstream.port))), max_in_flight=3)
    with start_calls(3, gateway.request) as calls:
        until(lambda: len(upstream.seen) == 3, "three requests in flight")
        for _ in range(5):
            started = monotonic()
            assert_shed(gateway.request())
            assert monotonic() - started < 0.1
        assert gateway.request("/healthz", port=gateway.admin_port).status == 200
        assert gateway.metric("requests_shed_total", reason="in_flight") == 5
        gate.open()
    assert [call.result().status for call in calls] == [200] * 3
    assert gateway.request().status == 200
    assert gateway.metric("requests_in_flight") == 0


def test_requests_beyond_the_memory_limit_are_shed(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))), memory_limit=1)
    until(lambda: gateway.plane.gateway.context.max_in_flight == 0, "the shortage to be seen")
    answer = gateway.request()
    assert_shed(answer)
    assert answer.headers["connection"] == "close"
    assert gateway.metric("requests_shed_total", reason="memory") == 1
    for path in ("/healthz", "/readyz", "/metrics", "/debug/config"):
        assert gateway.request(path, port=gateway.admin_port).status == 200
    assert not upstream.connections


def test_memory_pressure_closes_connections_after_responses(serve, monkeypatch):
    share = [0.0]
    monkeypatch.setattr("inferway_dataplane.system.resource_monitor.Memory.share", lambda memory: share[0])
    gateway = serve(route(rule(direct_response("ok"))))
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=DEADLINE)

    def connection_field():
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"ok")
        return answer.headers["connection"]

    assert connection_field() is None
    share[0] = 0.86
    until(lambda: gateway.plane.gateway.context.is_closing, "the shortage to be seen")
    assert connection_field() == "close"
    share[0] = 0.93
    until(lambda: gateway.plane.gateway.context.max_in_flight == 0, "the shortage to be seen")
    assert_shed(gateway.request())
    share[0] = 0.5
    until(lambda: not gateway.plane.gateway.context.is_closing, "the memory to be seen")
    assert connection_field() is None
    assert gateway.request().status == 200
    connection.close()
