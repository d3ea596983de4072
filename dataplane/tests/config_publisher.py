"""Publishes documents as an operator does, and breaks them as it never would."""

from __future__ import annotations

from typing import Any

from inferway_contract.acknowledgement import GATEWAY_LABEL
from inferway_contract.canonical import canonical
from inferway_contract.document import (
    Backend,
    ConfigDocument,
    DirectResponse,
    Endpoint,
    EndpointsDocument,
    Match,
    PathMatch,
    Route,
    Rule,
)
from inferway_contract.sharding import (
    INDEX_KEY,
    SHARD_KEY,
    ConfigIndex,
    EndpointsIndex,
    Layout,
    index_name,
    lay_out_config,
    lay_out_endpoints,
)
from inferway_envtest import ApiServer

GATEWAY = "inferway"


def config_with_bodies(*bodies: str) -> ConfigDocument:
    """A config whose routes answer by themselves: `/0` with the first body, `/1` with the second; `/` with the first."""
    rules = [
        Rule(name="all", respond=DirectResponse(status=200, content_type="text/plain", body=body)) for body in bodies
    ]
    routes = [
        Route(
            id=f"default/route-{place}",
            rules=(rule.model_copy(update={"matches": (Match(path=PathMatch(value=f"/{place}" if place else "/")),)}),),
        )
        for place, rule in enumerate(rules)
    ]
    return ConfigDocument(routes=tuple(routes))


def config_with_backend(service: str, *, name: str = "default/asking") -> ConfigDocument:
    """A config that sends everything to a Service, which may be on loopback."""
    backend = Backend(service=service, weight=1)
    return ConfigDocument(
        address_policy="Standalone", routes=(Route(id=name, rules=(Rule(name="all", backends=(backend,)),)),)
    )


def endpoints(**services: list[int]) -> EndpointsDocument:
    """Services on ports of 127.0.0.1, by their short names: `a=[8080]` is default/a:80."""
    return EndpointsDocument(
        services={
            f"default/{name}:80": tuple(Endpoint(address="127.0.0.1", port=port) for port in ports)
            for name, ports in services.items()
        }
    )


class Publisher:
    """Writes ConfigMaps of one gateway as the admin."""

    def __init__(self, api: ApiServer, namespace: str) -> None:
        self.api = api
        self.folder = f"/api/v1/namespaces/{namespace}/configmaps"

    def publish(self, config: ConfigDocument, found: EndpointsDocument | None = None) -> str:
        """Both, in the operator's order. Returns the config's revision."""
        self.endpoints(found or EndpointsDocument())
        return self.config(config)

    def config(self, config: ConfigDocument) -> str:
        """Shards, then the index. Returns its revision."""
        return self._write(lay_out_config(config, GATEWAY), "config")

    def endpoints(self, found: EndpointsDocument) -> str:
        """As `config`."""
        return self._write(lay_out_endpoints(found, GATEWAY), "endpoints")

    def index(self, part: str, index: ConfigIndex | EndpointsIndex | str) -> None:
        """Only the index."""
        text = index if isinstance(index, str) else canonical(index).decode()
        self.put(f"{GATEWAY}-{part}", {INDEX_KEY: text})

    def shard(self, name: str, content: bytes) -> None:
        """Only a shard."""
        self.put(name, {SHARD_KEY: content.decode()}, immutable=True)

    def put(self, name: str, data: dict[str, str], *, immutable: bool = False) -> None:
        """A ConfigMap by server-side apply."""
        manifest: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "labels": {GATEWAY_LABEL: GATEWAY}},
            "data": data,
        }
        if immutable:
            manifest["immutable"] = True
        self.api.ask(
            "PATCH", f"{self.folder}/{name}?fieldManager=test&force=true", manifest, "application/apply-patch+yaml"
        )

    def delete(self, name: str) -> None:
        """A ConfigMap."""
        self.api.ask("DELETE", f"{self.folder}/{name}")

    def _write(self, layout: Layout[Any], part: Any) -> str:
        for name, content in layout.shards.items():
            self.shard(name, content)
        self.index(index_name("", part).removeprefix("-"), layout.index)
        return layout.revision
