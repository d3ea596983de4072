"""Conditions: what an author is told of a resource. Every reason is explained in docs/conditions.md (a test checks it)."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class ConditionType(StrEnum):
    """Which question the condition answers."""

    ACCEPTED = "Accepted"
    RESOLVED_REFS = "ResolvedRefs"
    TARGETS_RESOLVED = "TargetsResolved"
    SHADOWED = "Shadowed"


class Reason(StrEnum):
    """Why the condition has its status, in one word that programs may compare."""

    # Accepted
    ACCEPTED = "Accepted"
    INVALID = "Invalid"
    PARTIALLY_INVALID = "PartiallyInvalid"
    TOO_LARGE = "TooLarge"
    # ResolvedRefs
    RESOLVED_REFS = "ResolvedRefs"
    BACKEND_NOT_FOUND = "BackendNotFound"
    PORT_NOT_FOUND = "PortNotFound"
    REF_NOT_PERMITTED = "RefNotPermitted"
    HOST_NOT_ALLOWED = "HostNotAllowed"
    NO_ENDPOINTS = "NoEndpoints"
    # TargetsResolved
    TARGETS_RESOLVED = "TargetsResolved"
    TARGET_NOT_FOUND = "TargetNotFound"
    # Shadowed
    SHADOWED = "Shadowed"


class Condition(BaseModel):
    """One condition as the compiler judges it; the time of its last transition is the operator's to add."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: ConditionType
    status: bool
    reason: Reason
    message: str
