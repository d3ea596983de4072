"""The hot path without sockets: requests and answers as bytes, fed to the real connection classes.

`python -m bench.hotpath` prints microseconds per request, with `--profile` the time by function. Under
`valgrind --tool=callgrind` it gives instruction counts, which other programs on the machine cannot disturb.
"""

from __future__ import annotations

import cProfile
import pstats
from time import perf_counter
from typing import Annotated, Any

import typer

from inferway_contract.document import (
    Backend,
    Cache,
    ConfigDocument,
    EndpointsDocument,
    KeyPart,
    Limit,
    Match,
    PathMatch,
    Policy,
    Route,
    Rule,
    Target,
    Url,
)
from inferway_dataplane.core.steps import completed
from inferway_dataplane.engine.downstream.connection import ClientConnection
from inferway_dataplane.engine.upstream.connection import UpstreamConnection
from inferway_dataplane.gateway import Gateway
from inferway_dataplane.observability.access_log import AccessLog
from inferway_dataplane.settings import Settings

REQUEST = (
    b"GET /infer?prompt=hello HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: bench\r\nAccept: application/json\r\n\r\n"
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: 707\r\nConnection: keep-alive\r\n\r\n" + b"x" * 707
)


class Transport:
    """Counts the bytes written, and sends none."""

    def __init__(self) -> None:
        self.written = 0
        self.protocol: Any = None

    def write(self, data: bytes) -> None:
        self.written += len(data)

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else None

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    resume_reading = close = abort = pause_reading


def connected(*, cached: bool) -> tuple[ClientConnection, UpstreamConnection]:
    """Return a client connection and the one idle upstream connection behind it."""
    backend = Backend(url=Url(scheme="http", host="127.0.0.1", port=1))
    limits = (
        Limit(name="global", requests=10**7, per=1000, burst=10**7),
        Limit(name="per-ip", requests=10**7, per=1000, burst=10**7, key=(KeyPart(type="client_ip"),)),
    )
    others = tuple(
        Rule(name=f"r{n}", matches=(Match(path=PathMatch(value=f"/r{n}")),), backends=(backend,)) for n in range(9)
    )
    rule = Rule(
        name="infer",
        matches=(Match(path=PathMatch(value="/infer")),),
        backends=(backend,),
        cache=Cache(ttl=3_600_000) if cached else None,
    )
    config = ConfigDocument(
        address_policy="Standalone",
        routes=(Route(id="demo/infer", rules=(*others, rule)),),
        policies=(Policy(id="demo/limits", targets=(Target(route="infer", rule="infer"),), limits=limits),),
    )
    gateway = Gateway(Settings(), AccessLog(0, enabled=False))
    completed(gateway.live.accepting(config, EndpointsDocument()))
    endpoint = gateway.pools.endpoint("127.0.0.1", 1, tls=False, is_name=False)
    upstream = UpstreamConnection(endpoint)
    upstream.connection_made(Transport())
    endpoint.idle.append(upstream)
    client = gateway.client_connection()
    client.connection_made(Transport())
    return client, upstream


def drive(client: ClientConnection, upstream: UpstreamConnection, count: int, *, unique: bool = False) -> None:
    """Send `count` requests, one after the other. `unique`: each head differs, in both directions."""
    for number in range(count):
        if unique:
            client.data_received(REQUEST[:-2] + b"X-Number: %d\r\n\r\n" % number)
            if upstream.receiver is not None:
                upstream.data_received(b"HTTP/1.1 200 OK\r\nX-Number: %d\r\n" % number + ANSWER[17:])
        else:
            client.data_received(REQUEST)
            if upstream.receiver is not None:
                upstream.data_received(ANSWER)


def main(
    count: Annotated[int, typer.Option(help="Requests.")] = 100_000,
    cached: Annotated[bool, typer.Option(help="Answer from the cache.")] = False,
    unique: Annotated[bool, typer.Option(help="Each head differs, so the memo never hits.")] = False,
    profile: Annotated[bool, typer.Option(help="Print where the time goes.")] = False,
) -> None:
    """Drive the hot path and print its cost."""
    client, upstream = connected(cached=cached)
    drive(client, upstream, 2_000, unique=unique)
    profiler = cProfile.Profile()
    started = perf_counter()
    if profile:
        profiler.runcall(drive, client, upstream, count, unique=unique)
        pstats.Stats(profiler).sort_stats("tottime").print_stats(30)
    else:
        drive(client, upstream, count, unique=unique)
    print(f"{(perf_counter() - started) / count * 1e6:.2f} us a request, {client.transport.written} bytes written")


if __name__ == "__main__":
    typer.run(main)
