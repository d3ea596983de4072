"""Rows of `inferway status`, read from objects of the API server. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from inferway_contract import acknowledgement
from inferway_contract.acknowledgement import GATEWAY_LABEL, Acknowledgement
from inferway_contract.conditions import ConditionType, Reason
from inferway_contract.field_errors import printable


@dataclass(frozen=True, slots=True)
class ConditionState:
    status: str
    reason: str
    message: str


NOT_EVALUATED = ConditionState("Unknown", "", "not evaluated yet: the operator has not processed this generation")


@dataclass(frozen=True, slots=True)
class Laggard:
    """A pod that does not serve the resource, as listed in its status."""

    pod: str
    revision: str
    error: str


@dataclass(frozen=True, slots=True)
class Row:
    """A GatewayRoute or a RateLimitPolicy."""

    kind: str
    namespace: str
    name: str
    created: str
    conditions: Mapping[ConditionType, ConditionState]
    """Empty until the operator has evaluated the newest generation."""
    pods: str = ""
    revision: str = ""
    laggards: tuple[Laggard, ...] = ()

    def state(self, *types: ConditionType) -> ConditionState:
        """Return the condition of the first of these types that the resource has."""
        return next((self.conditions[kind] for kind in types if kind in self.conditions), NOT_EVALUATED)

    @property
    def ready(self) -> ConditionState:
        """Return `Ready`; an operator of an older version does not write it: without a reason then."""
        if ConditionType.READY in self.conditions or not self.conditions:
            return self.state(ConditionType.READY)
        required = (
            self.state(ConditionType.ACCEPTED),
            self.state(ConditionType.RESOLVED_REFS, ConditionType.TARGETS_RESOLVED),
            self.state(ConditionType.PROGRAMMED),
        )
        is_ready = all(one.status == "True" and one.reason != Reason.PARTIALLY_INVALID for one in required)
        return ConditionState(str(is_ready), "", "")

    @property
    def is_good(self) -> bool:
        """Whether it is ready: valid, resolved, and every pod serves its newest generation."""
        return self.ready.status == "True"

    @property
    def notable(self) -> tuple[tuple[str, ConditionState], ...]:
        """Conditions that need attention."""
        if not self.conditions:
            return (("Accepted", NOT_EVALUATED),)
        return tuple((kind.value, state) for kind, state in self.conditions.items() if _is_notable(kind, state))


@dataclass(frozen=True, slots=True)
class PodRow:
    """A data-plane pod, read from its Lease."""

    gateway: str
    namespace: str
    name: str
    renewed: str
    acknowledgement: Acknowledgement


@dataclass(frozen=True, slots=True)
class Report:
    rows: tuple[Row, ...]
    pods: tuple[PodRow, ...] | None
    """None = they could not be read."""
    notes: tuple[str, ...] = ()
    """Notes for standard error."""

    @property
    def is_good(self) -> bool:
        return all(row.is_good for row in self.rows)


def row(kind: str, manifest: Mapping[str, Any]) -> Row:
    meta, status = _mapping(manifest.get("metadata")), _mapping(manifest.get("status"))
    block = _mapping(status.get("dataPlane"))
    observed, newest = status.get("observedGeneration"), meta.get("generation")
    is_current = isinstance(observed, int) and (not isinstance(newest, int) or observed >= newest)
    return Row(
        kind=kind,
        namespace=_text(meta.get("namespace")),
        name=_text(meta.get("name")),
        created=_text(meta.get("creationTimestamp")),
        conditions=_conditions(status) if is_current else {},
        pods=_text(block.get("pods")),
        revision=_text(block.get("revision")),
        laggards=tuple(
            Laggard(_text(item.get("pod")), _text(item.get("revision")), _text(item.get("error")))
            for item in _mappings(block.get("laggards"))
        ),
    )


def rows(kind: str, manifests: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Read the resources of a kind, sorted by namespace and name."""
    return sorted((row(kind, manifest) for manifest in manifests), key=lambda item: (item.namespace, item.name))


def pod_rows(leases: Iterable[Mapping[str, Any]]) -> tuple[PodRow, ...]:
    """Read the data-plane pods, sorted by gateway, namespace and name."""
    pods = []
    for lease in leases:
        meta = _mapping(lease.get("metadata"))
        reported = acknowledgement.from_annotations(_mapping(meta.get("annotations")))
        pods.append(
            PodRow(
                gateway=_text(_mapping(meta.get("labels")).get(GATEWAY_LABEL)),
                namespace=_text(meta.get("namespace")),
                name=_text(meta.get("name")),
                renewed=_text(_mapping(lease.get("spec")).get("renewTime")),
                acknowledgement=reported.model_copy(
                    update={
                        name: printable(value)
                        for name, value in reported.model_dump().items()
                        if isinstance(value, str)
                    }
                ),
            )
        )
    return tuple(sorted(pods, key=lambda pod: (pod.gateway, pod.namespace, pod.name)))


def _conditions(status: Mapping[str, Any]) -> dict[ConditionType, ConditionState]:
    """Read Inferway's conditions, in the order of their types."""
    by_type = {_text(item.get("type")): item for item in _mappings(status.get("conditions"))}
    return {
        kind: ConditionState(*(_text(by_type[kind].get(name)) for name in ("status", "reason", "message")))
        for kind in ConditionType
        if kind in by_type
    }


def _is_notable(kind: ConditionType, state: ConditionState) -> bool:
    if kind is ConditionType.READY:
        return False  # it only repeats another one
    if kind is ConditionType.SHADOWED or state.reason == Reason.PARTIALLY_INVALID:
        return True
    # An Enforced that follows Programmed only repeats it.
    return state.status != "True" and state.reason != Reason.NOT_PROGRAMMED


def _text(value: object) -> str:
    """Return text that is safe for a terminal: authors of objects are not trusted."""
    return printable(value) if isinstance(value, str) else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
