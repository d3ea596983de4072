"""Endpoints of a port of a Service: which are used, and which addresses belong to one pod. Pure."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from inferway_contract.document import Endpoint
from inferway_operator.world.objects import Readiness, ServiceObject, SliceEndpoint, SliceObject

MAX_ENDPOINTS: Final = 7_500
"""Of one port of a Service: a shard has room for them, 100 bytes each."""

Objection = Callable[[str, int], str | None]
"""Returns why an address and port may not be an endpoint, or None."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The endpoints of a port of a Service, and what is left out of them."""

    endpoints: tuple[Endpoint, ...] = ()
    """Sorted by address."""
    forbidden: tuple[tuple[str, str], ...] = ()
    """Addresses that may not be endpoints, each with the reason; sorted."""
    excess: int = 0
    """Number of endpoints above `MAX_ENDPOINTS`."""


def select(service: ServiceObject, port: str, slices: Iterable[SliceObject], objection: Objection) -> Selection:
    """Select the endpoints of a port, by its name, from the slices of the Service.

    Readiness counts for the whole port: an endpoint of last resort is used only while none is ready.
    """
    listed = [
        (endpoint, number)
        for part in slices
        for name, number in part.ports
        if name == port
        for endpoint in part.endpoints
    ]
    forbidden: dict[str, str] = {}
    usable: dict[Readiness, list[tuple[SliceEndpoint, int]]] = {readiness: [] for readiness in Readiness}
    for endpoint, number in listed:
        reason = objection(endpoint.address, number)
        if reason is not None:
            forbidden[endpoint.address] = reason
        elif service.publishes_unready:
            usable[Readiness.READY].append((endpoint, number))
        else:
            usable[endpoint.readiness].append((endpoint, number))
    endpoints = sorted(
        _joined(usable[Readiness.READY] or usable[Readiness.LAST_RESORT], service.family),
        key=lambda endpoint: (endpoint.address, endpoint.port),
    )
    return Selection(
        tuple(endpoints[:MAX_ENDPOINTS]), tuple(sorted(forbidden.items())), max(len(endpoints) - MAX_ENDPOINTS, 0)
    )


def _joined(listed: list[tuple[SliceEndpoint, int]], family: str) -> Iterator[Endpoint]:
    """Yield one endpoint for each pod: with an address of each family where it has both.

    An owner with several addresses of one family is not a pod as Kubernetes has them: each address counts.
    """
    owned: dict[tuple[str, int], set[str]] = {}
    for endpoint, number in listed:
        if endpoint.owner:
            owned.setdefault((endpoint.owner, number), set()).add(endpoint.address)
    taken: set[tuple[str, int]] = set()
    for (_, number), addresses in sorted(owned.items(), key=lambda item: item[0]):
        pair = sorted(addresses, key=lambda address: _family(address) != family)
        if len(pair) != 2 or _family(pair[0]) == _family(pair[1]):
            continue
        places = {(address, number) for address in pair}
        if places & taken:
            continue  # an address is one endpoint, whatever else claims it
        taken |= places
        yield Endpoint(address=pair[0], port=number, further=(pair[1],))
    for address, number in {(endpoint.address, number) for endpoint, number in listed} - taken:
        yield Endpoint(address=address, port=number)


def _family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"
