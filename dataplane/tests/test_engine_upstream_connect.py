"""What needs a running loop: new connections, resending, and clients that leave while one is made."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fake_transport import OK, Transport, Wire, answer, get, post

from inferway_contract.document import Rule
from inferway_dataplane.core.messages import problems
from inferway_dataplane.engine.upstream.connection import UpstreamConnection
from inferway_dataplane.engine.upstream.pool import ConnectFailed, EndpointPool


class FakeConnector:
    """Makes the connections of a wire's pools: a test decides when one succeeds, or how it fails."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.answers: asyncio.Queue[problems.Problem | None] = asyncio.Queue()
        self.within: list[float] = []
        wire.gateway.pools.dial = self._dial

    async def _dial(self, endpoint: EndpointPool, within: float) -> UpstreamConnection:
        self.within.append(within)
        problem = await self.answers.get()
        if problem is not None:
            raise ConnectFailed(problem)
        connection = UpstreamConnection(endpoint)
        connection.connection_made(Transport())
        self.wire.upstreams.append(connection)
        return connection

    async def succeed(self) -> None:
        await self.end(None)

    async def end(self, problem: problems.Problem | None) -> None:
        self.answers.put_nowait(problem)
        await self.turn()

    async def turn(self) -> None:
        """Let everything that is ready run."""
        for _ in range(10):
            await asyncio.sleep(0)
        self.wire.settle()


def run(test: Callable[[Wire, FakeConnector], Awaitable[None]], **settings: Any) -> None:
    async def main() -> None:
        wire = Wire(**{"idle": 0, **settings})
        await test(wire, FakeConnector(wire))
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not others  # S2: nothing is left behind

    asyncio.run(main())


def test_request_waits_for_its_upstream_connection() -> None:
    async def test(wire: Wire, dialler: FakeConnector) -> None:
        wire.send(get(b"/a"))
        await dialler.turn()
        assert (wire.upstream_received(), wire.client_received()) == (b"", b"")
        await dialler.succeed()
        assert wire.upstream_received().startswith(b"GET /a ")
        wire.answer(OK)
        assert answer(wire.client_received()).status == 200
        assert wire.idle == 1
        assert 0 < dialler.within[0] <= 2.0

    run(test)


def test_request_body_waits_for_the_upstream_connection() -> None:
    async def test(wire: Wire, dialler: FakeConnector) -> None:
        wire.send(post(b"/a", b"hello"), get(b"/b"))
        await dialler.turn()
        await dialler.succeed()
        assert wire.upstream_received().endswith(b"\r\n\r\nhello")
        wire.answer(OK)
        assert wire.upstream_received().startswith(b"GET /b ")

    run(test)


def test_chunked_body_waits_for_the_upstream_connection() -> None:
    async def test(wire: Wire, dialler: FakeConnector) -> None:
        wire.send(get(b"/a", b"Transfer-Encoding: chunked", method=b"POST"), b"5\r\nhello\r\n", b"0\r\n\r\n")
        await dialler.turn()
        await dialler.succeed()
        assert wire.upstream_received().endswith(b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        wire.answer(OK)

    run(test)


def test_large_body_pauses_the_client_until_connected() -> None:
    async def test(wire: Wire, dialler: FakeConnector) -> None:
        wire.send(post(b"/a", b"x" * 100_000)[:-1])
        await dialler.turn()
        assert not wire.client.transport.is_reading
        await dialler.succeed()
        assert wire.client.transport.is_reading
        wire.send(b"x")
        assert len(wire.upstream_received().partition(b"\r\n\r\n")[2]) == 100_000
        wire.answer(OK)

    run(test)


FAILURES = [
    (problems.CONNECT_FAILED, 502),
    (problems.DNS_FAILED, 502),
    (problems.TLS_FAILED, 502),
    (problems.ADDRESS_REFUSED, 502),
    (problems.CONNECT_TIMEOUT, 504),
]


@pytest.mark.parametrize(("problem", "status"), FAILURES, ids=[problem.code for problem, _ in FAILURES])
def test_u1_connect_error_is_answered_with_its_status(problem: problems.Problem, status: int) -> None:
    async def test(wire: Wire, dialler: FakeConnector) -> None:
        wire.send(get(b"/a"))
        await dialler.turn()
        await dialler.end(problem)
        response = answer(wire.client_received())
        assert (response.status, json.loads(response.body)["code"]) == (status, problem.code)
        assert wire.is_open
        assert wire.gateway.stats.of("demo/a", "all").upstream_errors == {problem.code: 1}
        wire.send(get(b"/b"))
        await dialler.turn()
        await dialler.succeed()
        assert wire.upstream_received().startswith(b"GET /b ")
        wire.answer(OK)

    run(test)


def test_s2_disconnected_client_cancels_the_connect() -> None:
    async def test(wire: Wire, dialler: FakeConnector) -> None:
        wire.send(get(b"/a"))
        await dialler.turn()
        wire.leave()
        await dialler.turn()
        assert wire.endpoint.active == 0
        assert not wire.gateway.cap.connections

    run(test)


def test_oversized_body_cancels_the_connect() -> None:
    async def test(wire: Wire, dialler: FakeConnector) -> None:
        wire.send(get(b"/a", b"Transfer-Encoding: chunked", method=b"POST"))
        await dialler.turn()
        too_large = Rule(name="r").max_request_body + 1
        wire.send(b"%x\r\n%b\r\n" % (too_large, b"x" * too_large))
        await dialler.turn()
        assert answer(wire.client_received()).status == 413

    run(test)


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS"])
def test_u3_closed_reused_connection_is_replaced_once(method: bytes) -> None:
    async def test(wire: Wire, dialler: FakeConnector) -> None:
        wire.send(get(b"/a"))
        wire.answer(OK)
        wire.client_received(), wire.upstream_received()
        wire.send(get(b"/b", method=method))
        wire.upstream_closes()
        await dialler.turn()
        assert wire.client_received() == b""
        await dialler.succeed()
        assert wire.upstream_received().count(b"%b /b " % method) == 2
        wire.upstream_closes()
        assert answer(wire.client_received(), to_head=method == b"HEAD").status == 502
        await dialler.turn()

    run(test, idle=1)


@pytest.mark.parametrize("part", [b"H", b"HTTP/1.1 200 OK\r\n"])
def test_u3_request_is_not_resent_after_a_response_byte(part: bytes) -> None:
    async def test(wire: Wire, dialler: FakeConnector) -> None:
        wire.send(get(b"/a"))
        wire.answer(OK)
        wire.client_received(), wire.upstream_received()
        wire.send(get(b"/b"))
        wire.answer(part)
        wire.upstream_closes()
        await dialler.turn()
        assert answer(wire.client_received()).status == 502
        assert not dialler.within

    run(test, idle=1)


@pytest.mark.parametrize("request_", [get(b"/b", method=b"POST"), get(b"/b", method=b"PATCH"), post(b"/b", b"x")])
def test_u3_non_idempotent_request_is_not_resent(request_: bytes) -> None:
    async def test(wire: Wire, dialler: FakeConnector) -> None:
        wire.send(get(b"/a"))
        wire.answer(OK)
        wire.client_received(), wire.upstream_received()
        wire.send(request_)
        wire.upstream_closes()
        await dialler.turn()
        assert answer(wire.client_received()).status == 502
        assert not dialler.within

    run(test, idle=1)


@pytest.mark.outside
def test_x1_connected_address_is_checked() -> None:
    async def main() -> None:
        for host, policy, code in (
            ("169.254.169.254", "Standalone", "address_refused"),
            ("127.0.0.1", "Cluster", "address_refused"),
            ("::ffff:127.0.0.1", "Cluster", "address_refused"),
            ("localhost", "Cluster", "address_refused"),
            ("127.0.0.1", "Standalone", "connect_failed"),
        ):
            wire = Wire(idle=0)
            wire.gateway.pools.address_policy = policy  # type: ignore[assignment]
            endpoint = wire.gateway.pools.endpoint(host, 1, tls=False, is_name=host == "localhost")
            with pytest.raises(ConnectFailed) as caught:
                await endpoint.connect(5.0)
            assert caught.value.problem.code == code, host

    asyncio.run(main())


def test_connection_in_use_closes_when_its_endpoint_is_gone() -> None:
    wire = Wire()
    wire.send(get())
    wire.gateway.pools.keep_only(())
    wire.answer(OK)
    assert answer(wire.client_received()).status == 200
    assert wire.upstream.transport.is_closed
    assert wire.idle == 0


def test_new_connection_to_an_endpoint_that_is_gone_is_used_once() -> None:
    wire = Wire(idle=0)
    wire.gateway.pools.keep_only(())
    wire.upstreams.append(wire.add_upstream())  # for a request that began before
    wire.send(get())
    wire.answer(OK)
    assert answer(wire.client_received()).status == 200
    assert wire.upstream.transport.is_closed


def test_private_connection_closes_when_its_endpoint_is_gone() -> None:
    wire = Wire()
    wire.send(get(b"/", b"Authorization: NTLM TlRM"))
    wire.answer(OK)
    pools = wire.gateway.pools
    assert (pools.private.taken, wire.upstream.transport.is_closed) == (1, False)
    pools.keep_only(())
    wire.settle()
    assert (pools.private.taken, wire.upstream.transport.is_closed) == (0, True)
