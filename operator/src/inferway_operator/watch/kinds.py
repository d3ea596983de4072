"""What is watched: the kinds, and what is kept of an object of each. Parsed once for each version of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from inferway_contract.acknowledgement import from_annotations
from inferway_contract.resources import API_GROUP, API_VERSION
from inferway_operator.world import kubernetes_kinds, stored_slices
from inferway_operator.world.kubernetes_kinds import mapping
from inferway_operator.world.pods import LeaseState, PodState
from inferway_operator.world.resources import parse

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CachedObject:
    """One version of one object."""

    namespace: str
    name: str
    uid: str
    version: str
    """Its resourceVersion."""
    generation: int
    value: Any
    """What the kind's `read` made of it. Equal values: nothing relevant has changed."""
    status: Mapping[str, Any] | None = None
    """As it is; of our own resources only."""
    is_deleted: bool = False
    """It has a deletionTimestamp, and only a finalizer keeps it: for users it is gone."""

    @property
    def id(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class WatchedKind:
    """A kind of objects that is watched."""

    id: str
    """Short name."""
    group: str
    versions: tuple[str, ...]
    """The first one that the API server has is used."""
    plural: str
    read: Callable[[Manifest], Any]
    is_ours: bool = False
    """A resource that people write for us: it has a generation and a status."""
    is_optional: bool = False
    """The API server need not know the kind; then there is no object of it."""
    is_global: bool = False
    """Has no namespace."""
    of_gateway: bool = False
    """Only objects in the data plane's namespace, found by labels."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Of the versions' collections, without namespace; the API server's own form."""
        return tuple(f"/apis/{self.group}/{version}" if self.group else f"/api/{version}" for version in self.versions)


def is_newer(version: str, than: str) -> bool:
    """Whether it is newer: versions of a kind are numbers that grow (KEP-5504); of others, any that differs."""
    return int(version) > int(than) if version.isdecimal() and than.isdecimal() else version != than


def cached_object(kind: WatchedKind, manifest: Manifest, before: CachedObject | None) -> CachedObject:
    """The entry of an object as it came from the API server; `before` is the one of its version before."""
    meta = manifest["metadata"]
    generation = meta.get("generation") if type(meta.get("generation")) is int else 0
    status = manifest.get("status")
    # Of our resources only the spec is read, and that is the same in one generation: 2,000 statuses that are written are
    # 2,000 events, and need not be as many parses.
    is_read = kind.is_ours and before is not None and before.generation == generation
    value = before.value if is_read and before else kind.read(manifest)
    if before is not None and not kind.is_ours and value == before.value:
        value = before.value  # with what was read of it
    return CachedObject(
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        uid=meta["uid"],
        version=meta["resourceVersion"],
        generation=generation,
        value=value,
        status=status if kind.is_ours and isinstance(status, Mapping) else None,
        is_deleted=meta.get("deletionTimestamp") is not None,
    )


# Pods may write both kinds, and one object that raises would block its whole list: odd parts count as absent.


def _read_pod(manifest: Manifest) -> PodState:
    meta, status = manifest["metadata"], mapping(manifest.get("status"))
    conditions = status.get("conditions")
    ready = {"type": "Ready", "status": "True"}.items()
    is_ready = isinstance(conditions, list) and any(ready <= mapping(item).items() for item in conditions)
    # An evicted pod stays as a failed one, which never starts again.
    is_ending = meta.get("deletionTimestamp") is not None or status.get("phase") in ("Succeeded", "Failed")
    return PodState(meta["name"], meta["uid"], is_ending, is_ready)


def _read_lease(manifest: Manifest) -> LeaseState:
    meta, spec = manifest["metadata"], mapping(manifest.get("spec"))
    holder = spec.get("holderIdentity")
    return LeaseState(
        name=meta["name"],
        holder=holder if isinstance(holder, str) else "",
        renewed=_seconds(spec.get("renewTime")),
        acknowledgement=from_annotations(mapping(meta.get("annotations"))),
    )


def _seconds(written: object) -> float:
    """Epoch seconds of an RFC 3339 time; 0 (long ago) when it is not one: a Lease without a renewal."""
    try:
        return datetime.fromisoformat(written).timestamp() if isinstance(written, str) else 0.0
    except ValueError:
        return 0.0


ROUTES: Final = WatchedKind("routes", API_GROUP, (API_VERSION,), "gatewayroutes", parse, is_ours=True)
POLICIES: Final = WatchedKind("policies", API_GROUP, (API_VERSION,), "ratelimitpolicies", parse, is_ours=True)
SERVICES: Final = WatchedKind("services", "", ("v1",), "services", kubernetes_kinds.read_service)
SLICES: Final = WatchedKind("slices", "discovery.k8s.io", ("v1",), "endpointslices", stored_slices.store)
GRANTS: Final = WatchedKind(
    "grants",
    "gateway.networking.k8s.io",
    ("v1", "v1beta1"),
    "referencegrants",
    kubernetes_kinds.read_grants,
    is_optional=True,
)
NAMESPACES: Final = WatchedKind(
    "namespaces", "", ("v1",), "namespaces", kubernetes_kinds.read_namespace, is_global=True
)
PODS: Final = WatchedKind("pods", "", ("v1",), "pods", _read_pod, of_gateway=True)
LEASES: Final = WatchedKind("leases", "coordination.k8s.io", ("v1",), "leases", _read_lease, of_gateway=True)

KINDS: Final = (ROUTES, POLICIES, SERVICES, SLICES, GRANTS, NAMESPACES, PODS, LEASES)
