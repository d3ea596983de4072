"""Names with several addresses, and unexpected errors of connecting. Sockets on loopback; no name is looked up."""

import asyncio
import json
import logging
import socket
from collections.abc import Coroutine, Iterable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, TypeVar

import pytest
from fake_transport import OK, Transport, Wire, answer, get

from inferway_dataplane.core.messages import problems
from inferway_dataplane.engine.clock import NEVER
from inferway_dataplane.engine.upstream.connection import UpstreamConnection
from inferway_dataplane.engine.upstream.pool import ConnectFailed, EndpointPool

pytestmark = pytest.mark.outside

NAME = "sim.example"
Result = TypeVar("Result")
REFUSES, ANSWERS, SWALLOWS, SWALLOWS_TOO = "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"


class FakeNames:
    """The addresses of the name, and addresses that never answer a SYN, for the event loop of `run`."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.tried: list[str] = []

    async def look_up(self, port: int) -> Any:
        """Return the addresses as `getaddrinfo` does."""
        return as_infos(self.addresses, port)

    def run(self, main: Coroutine[Any, Any, Result]) -> Result:
        """Run `main` in a loop that knows the name."""
        with asyncio.Runner(loop_factory=lambda: FakeNamesLoop(self)) as runner:
            return runner.run(main)


class FakeNamesLoop(asyncio.SelectorEventLoop):
    """An event loop that takes names from `FakeNames`."""

    def __init__(self, names: FakeNames) -> None:
        super().__init__()
        self.names = names

    async def create_connection(self, factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        self.names.tried.append(host)
        if host in (SWALLOWS, SWALLOWS_TOO):
            await asyncio.Event().wait()
        return await super().create_connection(factory, host, port, **options)

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        assert host == NAME
        return await self.names.look_up(port)


def as_infos(addresses: Iterable[str], port: int) -> list[Any]:
    """Return the addresses in the shape of `getaddrinfo`."""
    return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)) for address in addresses]


class HangingNames(FakeNames):
    """Each look-up waits until the test completes its future."""

    def __init__(self) -> None:
        super().__init__()
        self.lookups: list[asyncio.Future[Any]] = []

    async def look_up(self, port: int) -> Any:
        self.lookups.append(asyncio.get_running_loop().create_future())
        return await self.lookups[-1]


@pytest.fixture
def names() -> FakeNames:
    return FakeNames()


@asynccontextmanager
async def endpoint_of(names: FakeNames, *addresses: str, policy: str = "Standalone") -> Any:
    """An endpoint of the name, on a port where only one address listens."""
    names.addresses = list(addresses)
    server = await asyncio.start_server(lambda reader, writer: writer.close(), ANSWERS, 0)
    wire = Wire(idle=0)
    wire.gateway.pools.address_policy = policy  # type: ignore[assignment]
    port = server.sockets[0].getsockname()[1]
    try:
        yield wire.gateway.pools.endpoint(NAME, port, tls=False, is_name=True)
    finally:
        wire.gateway.pools.close()
        await asyncio.sleep(0)
        server.close()
        await server.wait_closed()


def connect_to(names: FakeNames, *addresses: str, within: float = 2.0, policy: str = "Standalone") -> tuple[str, float]:
    """The address that is connected to, and how long that took."""

    async def main() -> tuple[str, float]:
        async with endpoint_of(names, *addresses, policy=policy) as endpoint:
            started = monotonic()
            connection = await endpoint.connect(within)
            return connection.transport.get_extra_info("peername")[0], monotonic() - started

    return names.run(main())


def connect_error_code(names: FakeNames, *addresses: str, within: float = 2.0, policy: str = "Standalone") -> str:
    """The code of the problem that connecting ends with."""

    async def main() -> str:
        async with endpoint_of(names, *addresses, policy=policy) as endpoint:
            with pytest.raises(ConnectFailed) as caught:
                await endpoint.connect(within)
            return caught.value.problem.code

    return names.run(main())


def test_second_address_is_used_if_the_first_refuses(names: FakeNames) -> None:
    address, _ = connect_to(names, REFUSES, ANSWERS)
    assert address == ANSWERS
    assert names.tried == [REFUSES, ANSWERS]


def test_second_address_is_used_in_time_if_the_first_is_silent(names: FakeNames) -> None:
    address, took = connect_to(names, SWALLOWS, ANSWERS, within=0.6)
    assert address == ANSWERS
    assert 0.25 <= took < 0.6


def test_last_address_has_time_left_after_silent_ones(names: FakeNames) -> None:
    address, took = connect_to(names, SWALLOWS, REFUSES, SWALLOWS_TOO, ANSWERS, within=0.8)
    assert address == ANSWERS
    assert took < 0.8
    assert names.tried == [SWALLOWS, REFUSES, SWALLOWS_TOO, ANSWERS]


def test_silent_address_is_bounded_without_a_connect_timeout(names: FakeNames) -> None:
    async def main() -> str:
        async with endpoint_of(names, SWALLOWS, ANSWERS) as endpoint, asyncio.timeout(5):
            endpoint.pools.address_timeout = 0.1
            connection = await endpoint.connect(NEVER)
            return str(connection.transport.get_extra_info("peername")[0])

    assert names.run(main()) == ANSWERS


def test_first_address_that_answers_is_used(names: FakeNames) -> None:
    connect_to(names, ANSWERS, REFUSES)
    assert names.tried == [ANSWERS]


def test_address_listed_twice_is_tried_once(names: FakeNames) -> None:
    assert connect_error_code(names, REFUSES, REFUSES) == "connect_failed"
    assert names.tried == [REFUSES]


def test_name_lookup_is_shared_by_all_waiting_requests() -> None:
    """The loop has few threads for look-ups: a name without an answer must not take them all."""
    names = HangingNames()

    async def main() -> None:
        async with endpoint_of(names) as endpoint:
            with pytest.raises(ConnectFailed) as caught:
                await endpoint.connect(0.05)
            assert caught.value.problem is problems.CONNECT_TIMEOUT
            others = [asyncio.ensure_future(endpoint.connect(5.0)) for _ in range(3)]
            await asyncio.sleep(0)
            assert len(names.lookups) == 1
            names.lookups[0].set_result(as_infos([ANSWERS], endpoint.port))
            peers = [connection.transport.get_extra_info("peername")[0] for connection in await asyncio.gather(*others)]
            assert peers == [ANSWERS] * 3

    names.run(main())


def test_failed_name_lookup_reaches_all_waiting_requests() -> None:
    names = HangingNames()

    async def main() -> None:
        async with endpoint_of(names) as endpoint:
            waiting = [asyncio.ensure_future(endpoint.connect(5.0)) for _ in range(3)]
            for _ in range(5):
                await asyncio.sleep(0)
            names.lookups[0].set_exception(OSError("no such name"))
            failures = await asyncio.gather(*waiting, return_exceptions=True)
            problems_ = [one.problem for one in failures if isinstance(one, ConnectFailed)]
            assert (problems_, len(names.lookups)) == ([problems.DNS_FAILED] * 3, 1)

    names.run(main())


def test_connect_fails_if_all_addresses_refuse(names: FakeNames) -> None:
    assert connect_error_code(names, REFUSES, "127.0.0.6") == "connect_failed"


def test_connect_times_out_if_all_addresses_are_silent(names: FakeNames) -> None:
    assert connect_error_code(names, SWALLOWS, SWALLOWS_TOO, within=0.2) == "connect_timeout"


@pytest.mark.parametrize(
    ("addresses", "policy"),
    [
        (("169.254.169.254",), "Standalone"),
        (("169.254.169.254", "fe80::1", "::ffff:169.254.169.254"), "Standalone"),
        ((ANSWERS, REFUSES, "::1"), "Cluster"),
    ],
)
def test_x1_no_address_is_tried_if_none_is_allowed(names: FakeNames, addresses: tuple[str, ...], policy: str) -> None:
    assert connect_error_code(names, *addresses, policy=policy) == "address_refused"
    assert names.tried == []


def test_x1_forbidden_addresses_are_skipped(names: FakeNames) -> None:
    address, _ = connect_to(names, "169.254.169.254", ANSWERS)
    assert address == ANSWERS
    assert names.tried == [ANSWERS]


# --- unexpected errors ------------------------------------------------------------------------------------------------------------


async def run_ready_tasks(wire: Wire) -> None:
    """Let everything that is ready run."""
    for _ in range(10):
        await asyncio.sleep(0)
    wire.settle()


def test_unexpected_connect_error_is_logged_and_fails_request(caplog: pytest.LogCaptureFixture) -> None:
    async def connect(endpoint: EndpointPool, within: float) -> UpstreamConnection:
        if len(caplog.records) == 0:
            raise RuntimeError("a mistake")
        connection = UpstreamConnection(endpoint)
        connection.connection_made(Transport())
        wire.upstreams.append(connection)
        return connection

    async def main() -> None:
        other = wire.connect()
        wire.send(get(b"/a"))
        await run_ready_tasks(wire)
        response = answer(wire.client_received())
        assert (response.status, json.loads(response.body)["code"]) == (500, "internal_error")
        assert "a mistake" not in response.body.decode()
        assert wire.endpoint.active == 0
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert record.exc_info is not None
        assert str(record.exc_info[1]) == "a mistake"
        # Other clients are not affected.
        wire.send(get(b"/b"), client=other)
        await run_ready_tasks(wire)
        wire.answer(OK)
        assert answer(wire.client_received(other)).status == 200

    wire = Wire(idle=0)
    wire.gateway.pools.dial = connect
    asyncio.run(main())


def test_unexpected_connect_error_is_logged_after_a_disconnect(caplog: pytest.LogCaptureFixture) -> None:
    async def connect(endpoint: EndpointPool, within: float) -> UpstreamConnection:
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("a mistake while it is cancelled")

    async def main() -> None:
        wire.send(get(b"/a"))
        await run_ready_tasks(wire)
        wire.leave()
        await run_ready_tasks(wire)
        assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == [
            "a mistake while it is cancelled"
        ]
        assert wire.client_received() == b""
        assert wire.gateway.stats.of("demo/a", "all").by_method[b"GET"][499] == 1
        assert len([task for task in asyncio.all_tasks() if task is not asyncio.current_task()]) == 0

    wire = Wire(idle=0)
    wire.gateway.pools.dial = connect
    asyncio.run(main())
