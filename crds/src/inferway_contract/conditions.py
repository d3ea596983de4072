"""Conditions: what an author is told of a resource. Every reason is explained in docs/conditions.md (a test checks it)."""

from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict

MAX_LAGGARDS: Final = 10
"""Pods that a status names one by one."""


class ConditionType(StrEnum):
    """Which question the condition answers. In the order in which a status lists them."""

    ACCEPTED = "Accepted"
    RESOLVED_REFS = "ResolvedRefs"
    TARGETS_RESOLVED = "TargetsResolved"
    PROGRAMMED = "Programmed"
    ENFORCED = "Enforced"
    SHADOWED = "Shadowed"


class Reason(StrEnum):
    """Why the condition has its status, in one word that programs may compare."""

    # Accepted
    ACCEPTED = "Accepted"
    INVALID = "Invalid"
    PARTIALLY_INVALID = "PartiallyInvalid"
    HOSTNAME_NOT_ALLOWED = "HostnameNotAllowed"
    TOO_LARGE = "TooLarge"  # of Programmed too
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
    # Programmed
    PROGRAMMED = "Programmed"
    PENDING = "Pending"
    REJECTED = "Rejected"
    NO_DATA_PLANE = "NoDataPlane"
    NOTHING_TO_PROGRAM = "NothingToProgram"
    # Enforced
    ENFORCED = "Enforced"
    NOT_PROGRAMMED = "NotProgrammed"
    # Shadowed
    SHADOWED = "Shadowed"


class Condition(BaseModel):
    """One condition as the compiler judges it; the time of its last transition is the operator's to add."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: ConditionType
    status: bool
    reason: Reason
    message: str
