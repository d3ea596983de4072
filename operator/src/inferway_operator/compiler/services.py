"""Services by name: the endpoints of their ports, and the namespaces that may name them."""

from collections.abc import Mapping
from typing import Final

from inferway_contract import address_policy
from inferway_contract.document import Endpoint
from inferway_operator.compiler import endpoints
from inferway_operator.compiler.endpoints import Selection
from inferway_operator.world.objects import ServiceObject, SliceObject
from inferway_operator.world.stored_slices import StoredSlice
from inferway_operator.world.world import World

API_SERVER: Final = "default/kubernetes"

_OTHER_PROTOCOLS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("https", "tls", "ssl", "wss", "kubernetes.io/wss"), "TLS"),
    **dict.fromkeys(("kubernetes.io/h2c", "h2c", "http2", "grpc", "grpcs"), "HTTP/2"),
}
"""Values of `appProtocol` in lower case for which HTTP/1.1 without TLS is wrong, and what they mean."""


class Services:
    """An index over the Services, EndpointSlices and grants of a world."""

    def __init__(self, world: World) -> None:
        self._services = {service.id: service for service in sorted(world.services, key=lambda service: service.id)}
        self._grants = {(grant.namespace, grant.source, grant.service) for grant in world.grants}
        self._slices: dict[str, list[SliceObject | StoredSlice]] = {}
        for part in world.slices:
            self._slices.setdefault(part.service, []).append(part)
        self._standalone = world.settings.standalone
        self._selections: dict[str, Selection] = {}
        self._unsupported: dict[str, dict[str, str]] = {}
        """By Service and name of the port."""
        api_server = self._services.get(API_SERVER)
        self._api_server_ips = frozenset(map(address_policy.reached, api_server.cluster_ips if api_server else ()))
        self._api_server_places = frozenset(
            (address_policy.reached(endpoint.address), number)
            for part in self._slices_of(API_SERVER)
            for _, number in part.ports
            for endpoint in part.endpoints  # also while it is not ready
        )

    def find(self, service: str) -> ServiceObject | None:
        """Return the Service of this id (`namespace/name`)."""
        return self._services.get(service)

    def names(self, namespace: str) -> list[str]:
        """Return the names of the Services of a namespace."""
        return [service.partition("/")[2] for service in self._services if service.startswith(f"{namespace}/")]

    def may_name(self, source: str, namespace: str, name: str) -> bool:
        """Return whether GatewayRoutes of the namespace `source` may name this Service."""
        if source == namespace:
            return True
        return (namespace, source, None) in self._grants or (namespace, source, name) in self._grants

    def endpoints(self, key: str) -> tuple[Endpoint, ...]:
        """Return the endpoints of a key `namespace/name:port` that get requests, sorted by address."""
        return self.selection(key).endpoints

    def selection(self, key: str) -> Selection:
        """Return the endpoints of a key `namespace/name:port`, and what is left out of them."""
        selection = self._selections.get(key)
        if selection is None:  # cached: many rules name one Service, which may have many endpoints
            selection = self._selections[key] = self._select(key)
        return selection

    def unsupported_protocol(self, service: ServiceObject, port: str) -> str | None:
        """Return the `appProtocol` of a port, by its name, if it is not served: with its meaning."""
        by_port = self._unsupported.get(service.id)
        if by_port is None:  # cached: many rules name one Service, which may have many slices and ports
            by_port = self._unsupported[service.id] = self._unsupported_of(service)
        return by_port.get(port)

    def _slices_of(self, service: str) -> list[SliceObject]:
        parts = (part.content if isinstance(part, StoredSlice) else part for part in self._slices.get(service, ()))
        return [part for part in parts if part is not None]

    def _unsupported_of(self, service: ServiceObject) -> dict[str, str]:
        parts = (service.protocols, *(part.protocols for part in self._slices_of(service.id)))
        by_port: dict[str, str] = {}
        for name, protocol in (item for part in parts for item in part):
            meaning = _OTHER_PROTOCOLS.get(protocol.lower())
            if meaning is not None:
                by_port.setdefault(name, f"{protocol} ({meaning})")
        return by_port

    def objection(self, address: str, port: int) -> str | None:
        """Return why this address and port may not be an upstream, or None."""
        objection = address_policy.objection(address, standalone=self._standalone)
        if objection is None and not self._standalone:
            reached = address_policy.reached(address)
            if reached in self._api_server_ips or (reached, port) in self._api_server_places:
                return address_policy.API_SERVER_OBJECTION
        return objection

    def _select(self, key: str) -> Selection:
        service, _, number = key.rpartition(":")
        target = self._services.get(service)
        name = dict(target.ports).get(int(number)) if target else None
        if target is None or name is None:
            return Selection()
        return endpoints.select(target, name, self._slices_of(service), self.objection)
