"""The race of connections to the addresses of a pod, and what it leaves behind."""

import asyncio
from collections.abc import Coroutine
from time import monotonic
from typing import Any

import pytest
from fake_transport import Wire

from inferway_dataplane.core.messages import problems
from inferway_dataplane.engine.upstream import connection_race
from inferway_dataplane.engine.upstream.pool import ConnectFailed, EndpointPool

REFUSES, ANSWERS, SWALLOWS = "127.0.0.2", "127.0.0.3", "127.0.0.4"


class Connection:
    """A connection that knows whether it was closed."""

    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


class Connector:
    """Connects at the test's command. `asked`: the addresses, in their order."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.results: dict[str, asyncio.Future[Connection]] = {}

    async def connect(self, address: str) -> Connection:
        self.asked.append(address)
        future = self.results.setdefault(address, asyncio.get_running_loop().create_future())
        return await asyncio.shield(future)

    def expect(self, *addresses: str) -> list[asyncio.Future[Connection]]:
        loop = asyncio.get_running_loop()
        return [self.results.setdefault(address, loop.create_future()) for address in addresses]


def run(test: Coroutine[Any, Any, None]) -> None:
    async def main() -> None:
        await test
        for _ in range(3):
            await asyncio.sleep(0)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not others, "nothing is left behind"

    asyncio.run(main())


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def test_second_address_is_tried_at_once_after_a_failure() -> None:
    async def test() -> None:
        connector = Connector()
        first, second = connector.expect("4", "6")
        race = asyncio.ensure_future(connection_race.first_of(["4", "6"], connector.connect))
        await turns()
        assert connector.asked == ["4"]
        first.set_exception(ConnectionRefusedError())
        await turns()
        assert connector.asked == ["4", "6"]
        connection = Connection()
        second.set_result(connection)
        assert await race is connection
        assert not connection.is_closed

    run(test())


def test_second_address_is_tried_after_the_head_start() -> None:

    async def test() -> None:
        connector = Connector()
        _, second = connector.expect("4", "6")
        second.set_result(Connection())
        began = monotonic()
        await connection_race.first_of(["4", "6"], connector.connect, 0.02)
        assert monotonic() - began >= 0.02
        assert connector.asked == ["4", "6"]

    run(test())


@pytest.mark.parametrize("is_first", [True, False])
def test_loser_that_connects_in_the_same_turn_is_closed(is_first: bool) -> None:

    async def test() -> None:
        connector = Connector()
        futures = connector.expect("4", "6")
        race = asyncio.ensure_future(connection_race.first_of(["4", "6"], connector.connect, 0.0))
        await asyncio.sleep(0.01)  # without a head start the second is asked in a later turn
        assert connector.asked == ["4", "6"]
        connections = [Connection(), Connection()]
        for future, connection in zip(futures[:: 1 if is_first else -1], connections, strict=True):
            future.set_result(connection)
        winner = await race
        await turns()
        assert not winner.is_closed
        assert [connection.is_closed for connection in connections if connection is not winner] == [True]

    run(test())


def test_cancelled_race_closes_what_has_connected() -> None:
    async def test() -> None:
        connector = Connector()
        (first,) = connector.expect("4")
        race = asyncio.ensure_future(connection_race.first_of(["4", "6"], connector.connect))
        await turns()
        connection = Connection()
        first.set_result(connection)
        await turns(2)  # the attempt has its result, and the race has not looked at it
        race.cancel()
        with pytest.raises(asyncio.CancelledError):
            await race
        await turns()
        assert connection.is_closed

    run(test())


@pytest.mark.parametrize(
    ("failures", "expected", "asked"),
    [
        ((ConnectionRefusedError("4"), ConnectionResetError("6")), ConnectionResetError, ["4", "6"]),
        ((RuntimeError("a bug"), ConnectionResetError("6")), RuntimeError, ["4"]),
    ],
    ids=["all fail", "a bug"],
)
def test_race_ends_with_the_failure(
    failures: tuple[Exception, ...], expected: type[Exception], asked: list[str]
) -> None:
    async def test() -> None:
        connector = Connector()
        for future, failure in zip(connector.expect("4", "6"), failures, strict=True):
            future.set_exception(failure)
            future.exception()  # retrieved: the second is not looked at where the first is a bug
        with pytest.raises(expected):
            await connection_race.first_of(["4", "6"], connector.connect)
        assert connector.asked == asked

    run(test())


# --- an endpoint with two addresses: sockets on loopback ----------------------------------------------------------------


class SilentLoop(asyncio.SelectorEventLoop):
    """A loop in which one address answers no SYN."""

    def __init__(self) -> None:
        super().__init__()
        self.tried: list[str] = []

    async def create_connection(self, factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        self.tried.append(host)
        if host == SWALLOWS:
            await asyncio.Event().wait()
        return await super().create_connection(factory, host, port, **options)


def connect(*addresses: str, times: int = 1, within: float = 2.0) -> tuple[list[str], list[str], int]:
    """Return the addresses connected to (or the problem's code), those tried, and the permits taken after all is closed."""

    async def main() -> tuple[list[str], list[str], int]:
        server = await asyncio.start_server(lambda reader, writer: writer.close(), ANSWERS, 0)
        wire = Wire(idle=0)
        pools = wire.gateway.pools
        pools.address_policy = "Standalone"
        port = server.sockets[0].getsockname()[1]
        endpoint: EndpointPool = pools.endpoint(addresses[0], port, tls=False, is_name=False, further=addresses[1:])
        ends = []
        for _ in range(times):
            try:
                connection = await endpoint.connect(within)
            except ConnectFailed as failure:
                ends.append(failure.problem.code)
            else:
                ends.append(connection.address)
                assert pools.limiter.taken == 1
                connection.close()
                await turns(10)
                assert connection not in pools.connections
        taken = pools.limiter.taken
        server.close()
        await server.wait_closed()
        await turns()
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
        return ends, asyncio.get_running_loop().tried, taken  # type: ignore[attr-defined]

    with asyncio.Runner(loop_factory=SilentLoop) as runner:
        return runner.run(main())


@pytest.mark.outside
@pytest.mark.parametrize("other", [REFUSES, SWALLOWS])
def test_endpoint_is_reached_by_the_address_that_answers(other: str) -> None:
    ends, tried, taken = connect(other, ANSWERS, times=3)
    assert ends == [ANSWERS] * 3
    assert tried == [other, ANSWERS, ANSWERS, ANSWERS], "the one that answered is tried first from then on"
    assert taken == 0


@pytest.mark.outside
def test_endpoint_that_no_address_reaches_gives_back_permits() -> None:
    assert connect(REFUSES, "127.0.0.6")[::2] == ([problems.CONNECT_FAILED.code], 0)
    assert connect(SWALLOWS, SWALLOWS, within=0.3)[::2] == ([problems.CONNECT_TIMEOUT.code], 0)


@pytest.mark.outside
def test_forbidden_further_address_is_not_tried() -> None:
    assert connect(REFUSES, "169.254.169.254")[:2] == ([problems.CONNECT_FAILED.code], [REFUSES])


def test_endpoints_are_shared_only_with_the_same_addresses() -> None:
    """Another Service may claim the address of a pod, and add an address of its own choice."""
    pools = Wire(idle=0).gateway.pools
    plain = pools.endpoint("10.0.0.1", 80, tls=False, is_name=False)
    dual = pools.endpoint("10.0.0.1", 80, tls=False, is_name=False, further=("2001:db8::1",))
    assert plain is not dual
    assert pools.endpoint("10.0.0.1", 80, tls=False, is_name=False, further=("2001:db8::1",)) is dual
    assert plain.hosts == ("10.0.0.1",)
