"""Services by name: the endpoints of their ports, and the namespaces that may name them."""

from typing import Final

from inferway_contract import address_policy
from inferway_contract.document import Endpoint
from inferway_operator.world.objects import ServiceObject
from inferway_operator.world.world import World

API_SERVER: Final = "default/kubernetes"


class Services:
    """An index over the Services, EndpointSlices and grants of a world."""

    def __init__(self, world: World) -> None:
        self._services = {service.id: service for service in sorted(world.services, key=lambda service: service.id)}
        self._grants = {(grant.namespace, grant.source, grant.service) for grant in world.grants}
        self._addresses: dict[tuple[str, str], set[tuple[str, int]]] = {}
        self._endpoints: dict[str, tuple[Endpoint, ...]] = {}
        for part in world.slices:
            usable = [
                address
                for address in part.addresses
                if address_policy.objection(address, standalone=world.settings.standalone) is None
            ]
            for name, number in part.ports:
                # A Service may have many slices, and an address is in two of them while it moves.
                self._addresses.setdefault((part.service, name), set()).update((address, number) for address in usable)

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
        """Return the ready endpoints of a key `namespace/name:port`, sorted by address."""
        endpoints = self._endpoints.get(key)
        if endpoints is None:  # cached: many rules name one Service, which may have many endpoints
            endpoints = self._endpoints[key] = tuple(
                Endpoint(address=address, port=number) for address, number in sorted(self._addresses_of(key))
            )
        return endpoints

    def _addresses_of(self, key: str) -> set[tuple[str, int]]:
        service, _, number = key.rpartition(":")
        target = self._services.get(service)
        name = dict(target.ports).get(int(number)) if target else None
        return set() if name is None else self._addresses.get((service, name), set())
