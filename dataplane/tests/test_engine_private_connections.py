"""Upstream connections that NTLM or Negotiate may have authenticated: one client's alone, counted and bounded."""

import pytest
from fake_transport import BACKEND, OK, Wire, answer, get, post

from inferway_contract.document import Cache, Rule
from inferway_dataplane.engine.clock import Clock
from inferway_dataplane.engine.downstream.connection import ClientConnection
from inferway_dataplane.engine.http1.head_cache import HeadCache
from inferway_dataplane.engine.upstream.pool import Pools
from inferway_dataplane.settings import Settings

CHALLENGE = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM TlRM\r\nContent-Length: 0\r\n\r\n"
LOG_IN = get(b"/", b"Authorization: NTLM TlRM")
RULE = Rule(name="all", backends=(BACKEND,))


def ask(wire: Wire, request: bytes, response: bytes = OK, client: ClientConnection | None = None) -> int:
    """Send a request and answer it; return the number of the upstream connection that got it."""
    wire.send(request, client=client)
    [used] = [number for number, one in enumerate(wire.upstreams) if one.receiver is not None]
    wire.answer(response)
    assert answer(wire.client_received(client)).is_whole
    return used


def private(wire: Wire) -> int:
    return wire.gateway.pools.private.taken


@pytest.mark.parametrize(
    ("request_", "response"),
    [
        (get(), CHALLENGE),
        (get(), CHALLENGE.replace(b"WWW-", b"Proxy-").replace(b"401", b"407")),
        (LOG_IN, OK),
        (get(b"/", b"Authorization: Negotiate YII"), OK),
        (get(b"/", b"authorization: negotiate\tYII"), CHALLENGE),
        (post(b"/", b"x", b"Authorization: NTLM x"), OK),
        (LOG_IN, b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"),
    ],
)
def test_connection_after_a_login_serves_its_client_alone(request_: bytes, response: bytes) -> None:
    wire = Wire(RULE, idle=2)
    first = ask(wire, request_, response)
    other = wire.connect("203.0.113.10")
    assert ask(wire, get(), client=other) != first
    assert ask(wire, get()) == first
    assert ask(wire, get(), client=other) != first
    assert private(wire) == 1


def test_ordinary_login_binds_no_connection() -> None:
    wire = Wire(RULE)
    ask(wire, get(b"/", b"Authorization: Bearer x"))
    ask(wire, get(), CHALLENGE.replace(b"NTLM TlRM", b"Basic"))
    assert (private(wire), wire.idle) == (0, 1)


def test_private_connection_closes_with_its_client() -> None:
    wire = Wire(RULE)
    ask(wire, LOG_IN)
    wire.leave()
    assert wire.upstreams[0].transport.is_closed
    assert (private(wire), wire.idle, wire.gateway.pools.private.idle) == (0, 0, {})


def test_private_connection_in_use_is_cut_when_its_client_leaves() -> None:
    wire = Wire(RULE)
    ask(wire, LOG_IN)
    wire.send(get())
    wire.leave()
    assert wire.upstreams[0].transport.is_aborted
    assert (private(wire), wire.endpoint.active) == (0, 0)


def test_closed_private_connection_is_given_back() -> None:
    wire = Wire(RULE)
    ask(wire, LOG_IN)
    wire.upstream_closes()
    assert (private(wire), wire.gateway.pools.private.idle) == (0, {})
    wire.upstreams.append(wire.add_upstream())
    assert ask(wire, get()) == 1  # of the pool: nothing is authenticated any more
    assert private(wire) == 0


def test_login_on_a_connection_that_closes_is_given_back() -> None:
    wire = Wire(RULE)
    ask(wire, LOG_IN, OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert (private(wire), wire.idle) == (0, 0)


def test_private_connections_are_bounded() -> None:
    wire = Wire(RULE, idle=3)
    wire.gateway.pools.private.most = 1
    ask(wire, LOG_IN)
    other = wire.connect("203.0.113.10")
    number = ask(wire, LOG_IN, client=other)
    assert wire.upstreams[number].transport.is_closed
    assert (private(wire), wire.gateway.pools.private.refused) == (1, 1)


@pytest.mark.parametrize(("connections", "most"), [(1, 1), (2, 1), (100, 50)])
def test_at_most_half_of_all_connections_can_be_private(connections: int, most: int) -> None:
    pools = Pools(Clock(), HeadCache(), Settings(), connections, lambda: None)
    assert pools.private.most == most


def test_full_pool_leaves_private_connections_open() -> None:
    wire = Wire(RULE)
    wire.gateway.pools.idle_connections = 0
    ask(wire, LOG_IN, CHALLENGE)
    assert ask(wire, get()) == 0
    assert private(wire) == 1


def test_unused_private_connection_makes_way_for_others() -> None:
    wire = Wire(RULE)
    ask(wire, LOG_IN)
    wire.gateway.pools._make_way()
    wire.settle()
    assert private(wire) == 0


def test_authenticated_client_bypasses_the_cache() -> None:
    """Its requests carry no credentials, so their responses would be stored for everyone."""
    wire = Wire(Rule(name="all", backends=(BACKEND,), cache=Cache(ttl=60_000)), idle=2)
    ask(wire, LOG_IN, CHALLENGE)
    own = OK.replace(b"ok", b"me")
    ask(wire, get(b"/me"), own)
    other = wire.connect("203.0.113.10")
    ask(wire, get(b"/me"), OK, client=other)  # goes to the upstream: nothing is stored
    wire.send(get(b"/me"))
    assert wire.client_received() == b""  # nor is the other's response the user's
    wire.answer(own)
    assert answer(wire.client_received()).body == b"me"
