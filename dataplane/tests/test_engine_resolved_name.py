"""Names of upstreams: looked up again while connections stay open, and what happens to connections when they move."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from fake_transport import OK, Transport, Wire, answer, get

from inferway_contract.document import Backend, Rule, Url
from inferway_dataplane.engine.upstream.connection import UpstreamConnection
from inferway_dataplane.engine.upstream.pool import EndpointPool
from inferway_dataplane.engine.upstream.resolved_name import INTERVAL
from inferway_testing.until import until_async

NAME, PORT = "models.test", 8000
OLD, NEW = "192.0.2.1", "192.0.2.2"
RULE = Rule(name="all", backends=(Backend(url=Url(scheme="http", host=NAME, port=PORT)),))


class Names:
    """Answers the loop's look-ups: addresses, an error, or nothing at all."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.addresses: list[str] | None = [OLD]  # None = the name has no address
        self.hangs = False
        self.count = 0

    async def look_up(self, host: str, port: int, **_: Any) -> list[Any]:
        self.count += 1
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        if self.addresses is None:
            raise OSError("no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in self.addresses]


class NamedWire(Wire):
    """A wire whose upstream has a name. Its connections are made without sockets."""

    def __init__(self, names: Names) -> None:
        super().__init__(RULE, idle=0, now=lambda: names.seconds)
        self.names = names
        self.endpoint = self.gateway.pools.endpoint(NAME, PORT, tls=False, is_name=True)
        self.gateway.pools.dial = self._dial

    async def _dial(self, endpoint: EndpointPool, within: float) -> UpstreamConnection:
        address, *_ = await endpoint.addresses()
        connection = UpstreamConnection(endpoint, None, address)
        connection.connection_made(Transport(address))
        self.upstreams.append(connection)
        return connection

    async def ask(self, response: bytes = OK) -> str:
        """Send a request; return the address that it goes to. Without `response` it stays unanswered."""
        self.send(get())
        await turns()
        [used] = [one for one in self.upstreams if one.receiver is not None]
        if response:
            self.answer(response)
            assert answer(self.client_received()).status == 200
        return used.address

    async def pass_seconds(self, seconds: float) -> None:
        """Turn the wheel each second."""
        for _ in range(int(seconds)):
            self.names.seconds += 1
            for connection in self.upstreams:
                connection.deadline += 1  # none is closed because it is unused
            self.pass_time(1)
            await turns()


async def turns() -> None:
    """Let everything that is ready run."""
    for _ in range(30):
        await asyncio.sleep(0)


def run(test: Callable[[NamedWire, Names], Awaitable[None]]) -> None:
    async def main() -> None:
        names = Names()
        asyncio.get_running_loop().getaddrinfo = names.look_up  # type: ignore[method-assign]
        await test(NamedWire(names), names)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    asyncio.run(main())


def test_move_is_followed_within_30_seconds_under_traffic() -> None:
    async def test(wire: NamedWire, names: Names) -> None:
        assert await wire.ask() == OLD
        names.addresses = [NEW]
        seen = []
        for _ in range(30):
            await wire.pass_seconds(1)
            seen.append(await wire.ask())
        assert seen.index(NEW) <= INTERVAL
        assert set(seen[seen.index(NEW) :]) == {NEW}
        assert wire.upstreams[0].transport.is_closed
        assert names.count <= 4

    run(test)


def test_connection_in_use_is_not_used_again_after_a_move() -> None:
    async def test(wire: NamedWire, names: Names) -> None:
        assert await wire.ask(response=b"") == OLD
        names.addresses = [NEW]
        await wire.pass_seconds(INTERVAL + 1)
        wire.answer(OK)  # it ends in peace
        assert answer(wire.client_received()).status == 200
        assert wire.upstreams[0].transport.is_closed
        assert await wire.ask() == NEW

    run(test)


def test_connections_to_addresses_that_stay_are_kept() -> None:
    async def test(wire: NamedWire, names: Names) -> None:
        await wire.ask()
        names.addresses = [NEW, OLD]
        await wire.pass_seconds(2 * INTERVAL)
        assert wire.idle == 1

    run(test)


def test_failed_lookup_keeps_the_last_addresses() -> None:
    async def test(wire: NamedWire, names: Names) -> None:
        await wire.ask()
        names.addresses = None
        await wire.pass_seconds(2 * INTERVAL)
        assert wire.idle == 1
        wire.upstreams[0].close()
        wire.settle()
        await wire.pass_seconds(2 * INTERVAL)
        assert await wire.ask() == OLD

    run(test)


def test_name_without_connections_is_looked_up_when_it_is_used() -> None:
    async def test(wire: NamedWire, names: Names) -> None:
        await wire.ask()
        wire.upstreams[0].close()
        wire.settle()
        await wire.pass_seconds(4 * INTERVAL)
        assert names.count == 1
        names.addresses = [NEW]
        assert await wire.ask() == NEW

    run(test)


def test_hanging_lookup_does_not_hold_a_request_for_long() -> None:
    async def test(wire: NamedWire, names: Names) -> None:
        await wire.ask()
        wire.upstreams[0].close()
        wire.settle()
        await wire.pass_seconds(2 * INTERVAL)
        names.hangs = True
        wire.send(get())
        await until_async(
            lambda: wire.upstreams[-1].receiver is not None, "a connection to the last known address", 5.0
        )
        assert wire.upstreams[-1].address == OLD
        wire.answer(OK)
        assert answer(wire.client_received()).status == 200

    run(test)


def test_connection_made_during_a_move_is_not_kept() -> None:
    async def test(wire: NamedWire, names: Names) -> None:
        await wire.ask()
        assert wire.endpoint.name is not None
        wire.endpoint.name.addresses = [NEW]
        late = UpstreamConnection(wire.endpoint, None, OLD)
        late.connection_made(Transport(OLD))
        assert late.keeper is not None

    run(test)


def test_x1_address_that_a_name_moves_to_is_checked() -> None:
    async def test(wire: NamedWire, names: Names) -> None:
        await wire.ask()
        names.addresses = ["169.254.169.254"]
        await wire.pass_seconds(INTERVAL + 1)
        assert wire.idle == 0
        wire.send(get())
        await turns()
        assert answer(wire.client_received()).status == 502

    run(test)


def test_few_names_are_looked_up_at_once() -> None:
    """The loop has few threads for look-ups, and requests need them too."""

    async def test(wire: NamedWire, names: Names) -> None:
        pools = wire.gateway.pools
        names.hangs = True
        for number in range(5):
            endpoint = pools.endpoint(f"{number}.test", PORT, tls=False, is_name=True)
            UpstreamConnection(endpoint, None, OLD).connection_made(Transport(OLD))
        await wire.pass_seconds(2 * INTERVAL)
        assert names.count == 2

    run(test)
