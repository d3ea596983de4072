"""Measures the cost of each feature of a rule on the hot path: microseconds per request, without sockets.

`python -m bench.features`: the same requests through the same classes, one rule option at a time, in interleaved rounds.
Prints the median of the rounds, and the difference to a rule without options in the same round.
"""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import Annotated, Any

import rich
import rich.table
import typer

from bench.hotpath import ANSWER, REQUEST, Transport
from inferway_contract.document import (
    Auth,
    Backend,
    Cache,
    CircuitBreaker,
    ConfigDocument,
    Cors,
    EndpointsDocument,
    HeaderEdit,
    HeaderValue,
    HealthCheck,
    KeyPart,
    Limit,
    LoadBalancer,
    Match,
    NewPath,
    PathMatch,
    Policy,
    Retry,
    Rewrite,
    Route,
    Rule,
    Url,
)
from inferway_dataplane.core.steps import Steps, completed
from inferway_dataplane.engine.downstream.connection import ClientConnection
from inferway_dataplane.engine.upstream.connection import UpstreamConnection
from inferway_dataplane.gateway import Gateway
from inferway_dataplane.observability.access_log import AccessLog
from inferway_dataplane.settings import Settings

_LIMITS = Policy(
    id="demo/limits",
    limits=(
        Limit(name="global", requests=10**7, per=1000, burst=10**7),
        Limit(name="per-ip", requests=10**7, per=1000, burst=10**7, key=(KeyPart(type="client_ip"),)),
    ),
)

FEATURES: dict[str, tuple[int, dict[str, Any]]] = {
    "nothing (1 endpoint)": (1, {}),
    "2 limits (1 endpoint)": (1, {"policies": (_LIMITS,)}),
    "retry": (1, {"retry": Retry()}),
    "circuitBreaker": (1, {"circuit_breaker": CircuitBreaker(max_requests=10)}),
    "healthCheck": (1, {"health_check": HealthCheck(path="/")}),
    "request and response headers": (
        1,
        {
            "request_headers": HeaderEdit(set=(HeaderValue(name="x-a", value="1"),)),
            "response_headers": HeaderEdit(set=(HeaderValue(name="x-b", value="1"),)),
        },
    ),
    "rewrite": (1, {"rewrite": Rewrite(path=NewPath(prefix="/v1"))}),
    "CORS": (1, {"cors": Cors(allow_origins=("https://a.example",))}),
    "auth": (1, {"auth": Auth(header="authorization", prefix="Bearer ", file="key")}),
    "cache, a miss each": (1, {"cache": Cache(ttl=0)}),
    "3 endpoints, LeastRequest": (3, {}),
    "3 endpoints, RoundRobin": (3, {"load_balancer": LoadBalancer(type="RoundRobin")}),
    "3 endpoints, PeakEWMA": (3, {"load_balancer": LoadBalancer(type="PeakEWMA")}),
    "3 endpoints, ConsistentHash": (3, {"load_balancer": LoadBalancer(type="ConsistentHash")}),
}


class _Secrets:
    """The secret that `auth` needs, without files: reading them is not measured."""

    def wanting(self, names: set[str]) -> Steps[None]:
        yield from ()

    def get(self, name: str) -> bytes:
        return b"secret"


def connected(endpoints: int, options: dict[str, Any]) -> tuple[ClientConnection, list[UpstreamConnection]]:
    """Return a client connection, and an idle connection to each endpoint of a rule with these options."""
    options = dict(options)
    auth = options.pop("auth", None)
    policies = options.pop("policies", ())
    rule = Rule(
        name="infer",
        matches=(Match(path=PathMatch(value="/infer")),),
        backends=tuple(
            Backend(url=Url(scheme="http", host="127.0.0.1", port=port), auth=auth) for port in range(1, endpoints + 1)
        ),
        **options,
    )
    gateway = Gateway(Settings(), AccessLog(0, enabled=False))
    gateway.context.secrets = _Secrets()
    routes = (Route(id="demo/infer", rules=(rule,)),)
    config = ConfigDocument(address_policy="Standalone", routes=routes, policies=policies)
    completed(gateway.live.accepting(config, EndpointsDocument()))
    upstreams = []
    for port in range(1, endpoints + 1):
        endpoint = gateway.pools.endpoint("127.0.0.1", port, tls=False, is_name=False)
        upstream = UpstreamConnection(endpoint)
        upstream.connection_made(Transport())
        endpoint.idle.append(upstream)
        upstreams.append(upstream)
    client = gateway.client_connection()
    client.connection_made(Transport())
    return client, upstreams


def drive(client: ClientConnection, upstreams: list[UpstreamConnection], count: int) -> float:
    """Return microseconds per request, over `count` requests. Each head differs, because the memo would hide its cost."""
    started = perf_counter()
    for number in range(count):
        client.data_received(REQUEST[:-2] + b"X-Number: %d\r\n\r\n" % number)
        for upstream in upstreams:
            if upstream.receiver is not None:
                upstream.data_received(ANSWER)
    return (perf_counter() - started) / count * 1e6


def main(
    count: Annotated[int, typer.Option(min=100, help="Requests of each measurement.")] = 10_000,
    rounds: Annotated[int, typer.Option(min=1)] = 7,
) -> None:
    """Measure each feature and print a table."""
    lines = {name: connected(endpoints, options) for name, (endpoints, options) in FEATURES.items()}
    for line in lines.values():
        drive(*line, count // 10)
    figures: dict[str, list[float]] = {name: [] for name in lines}
    for _ in range(rounds):
        for name, line in lines.items():
            figures[name].append(drive(*line, count))
    base = figures["nothing (1 endpoint)"]
    table = rich.table.Table(title=f"us a request, median of {rounds} rounds of {count:,}", title_justify="left")
    for heading in ("feature", "us", "more than nothing"):
        table.add_column(heading, justify="left" if heading == "feature" else "right")
    for name, costs in figures.items():
        more = median(cost - plain for cost, plain in zip(costs, base, strict=True))
        table.add_row(name, f"{median(costs):.1f}", f"{more:+.2f}")
    rich.print(table)


if __name__ == "__main__":
    typer.run(main)
