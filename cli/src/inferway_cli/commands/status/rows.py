"""What `inferway status` shows, taken from objects as the API server gives them. Pure: the objects are all it knows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from inferway_contract import acknowledgement
from inferway_contract.acknowledgement import GATEWAY_LABEL, Acknowledgement
from inferway_contract.conditions import ConditionType, Reason
from inferway_contract.field_errors import printable


@dataclass(frozen=True, slots=True)
class Answer:
    """A condition, as it was written."""

    status: str
    reason: str
    message: str


NOT_JUDGED = Answer("Unknown", "", "not judged yet: the operator has not seen it as it is now")


@dataclass(frozen=True, slots=True)
class Laggard:
    """A pod that a status names as one that does not serve the resource."""

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
    answers: Mapping[ConditionType, Answer]
    """Empty while its newest generation was not judged."""
    pods: str = ""
    revision: str = ""
    laggards: tuple[Laggard, ...] = ()

    @property
    def accepted(self) -> Answer:
        return self.answers.get(ConditionType.ACCEPTED, NOT_JUDGED)

    @property
    def resolved(self) -> Answer:
        targets = self.answers.get(ConditionType.TARGETS_RESOLVED, NOT_JUDGED)
        return self.answers.get(ConditionType.RESOLVED_REFS, targets)

    @property
    def programmed(self) -> Answer:
        return self.answers.get(ConditionType.PROGRAMMED, NOT_JUDGED)

    @property
    def is_good(self) -> bool:
        """It is accepted, and every pod serves it as it is now."""
        return self.accepted.status == "True" and self.programmed.status == "True"

    @property
    def remarks(self) -> tuple[tuple[str, Answer], ...]:
        """Conditions that somebody should read."""
        if not self.answers:
            return (("Accepted", NOT_JUDGED),)
        return tuple((kind.value, answer) for kind, answer in self.answers.items() if _is_remarkable(kind, answer))


@dataclass(frozen=True, slots=True)
class PodRow:
    """A pod of the data plane, by its Lease."""

    gateway: str
    namespace: str
    name: str
    renewed: str
    said: Acknowledgement


@dataclass(frozen=True, slots=True)
class Report:
    """All of it."""

    rows: tuple[Row, ...]
    pods: tuple[PodRow, ...] | None
    """None = they could not be asked for."""
    notes: tuple[str, ...] = field(default=())
    """What the reader should know beside it."""

    @property
    def is_good(self) -> bool:
        """Every resource is."""
        return all(row.is_good for row in self.rows)


def row(kind: str, manifest: Mapping[str, Any]) -> Row:
    """One resource."""
    meta, status = _mapping(manifest.get("metadata")), _mapping(manifest.get("status"))
    block = _mapping(status.get("dataPlane"))
    observed, newest = status.get("observedGeneration"), meta.get("generation")
    is_current = isinstance(observed, int) and (not isinstance(newest, int) or observed >= newest)
    return Row(
        kind=kind,
        namespace=_text(meta.get("namespace")),
        name=_text(meta.get("name")),
        created=_text(meta.get("creationTimestamp")),
        answers=_answers(status) if is_current else {},
        pods=_text(block.get("pods")),
        revision=_text(block.get("revision")),
        laggards=tuple(
            Laggard(_text(item.get("pod")), _text(item.get("revision")), _text(item.get("error")))
            for item in _mappings(block.get("laggards"))
        ),
    )


def rows(kind: str, manifests: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Resources of a kind, by namespace and name."""
    return sorted((row(kind, manifest) for manifest in manifests), key=lambda item: (item.namespace, item.name))


def pod_rows(leases: Iterable[Mapping[str, Any]]) -> tuple[PodRow, ...]:
    """The data plane's pods, by gateway, namespace and name."""
    found = []
    for lease in leases:
        meta = _mapping(lease.get("metadata"))
        said = acknowledgement.from_annotations(_mapping(meta.get("annotations")))
        found.append(
            PodRow(
                gateway=_text(_mapping(meta.get("labels")).get(GATEWAY_LABEL)),
                namespace=_text(meta.get("namespace")),
                name=_text(meta.get("name")),
                renewed=_text(_mapping(lease.get("spec")).get("renewTime")),
                said=Acknowledgement(**{name: printable(text) for name, text in said.model_dump().items()}),
            )
        )
    return tuple(sorted(found, key=lambda pod: (pod.gateway, pod.namespace, pod.name)))


def _answers(status: Mapping[str, Any]) -> dict[ConditionType, Answer]:
    """Conditions of ours, in the order of their types."""
    by_type = {_text(item.get("type")): item for item in _mappings(status.get("conditions"))}
    return {
        kind: Answer(*(_text(by_type[kind].get(name)) for name in ("status", "reason", "message")))
        for kind in ConditionType
        if kind in by_type
    }


def _is_remarkable(kind: ConditionType, answer: Answer) -> bool:
    if kind is ConditionType.SHADOWED or answer.reason == Reason.PARTIALLY_INVALID:
        return True
    # Enforced says no more than Programmed where it only follows it.
    return answer.status != "True" and answer.reason != Reason.NOT_PROGRAMMED


def _text(value: object) -> str:
    """Text that a terminal may be given: whoever may write an object is not always a friend."""
    return printable(value) if isinstance(value, str) else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
