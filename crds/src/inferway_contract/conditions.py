"""Conditions report the state of a resource to its author. docs/conditions.md explains every reason (a test checks it)."""

from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict

MAX_LAGGARDS: Final = 10
"""Most pods that a status lists by name."""
MAX_MESSAGE: Final = 32_768
"""Characters of a condition's message, as metav1.Condition bounds it."""
MAX_CONDITIONS: Final = 16
"""Most conditions of an object, those of other controllers included."""


class ConditionType(StrEnum):
    """Types of conditions, in their order in a status."""

    READY = "Ready"
    ACCEPTED = "Accepted"
    RESOLVED_REFS = "ResolvedRefs"
    TARGETS_RESOLVED = "TargetsResolved"
    PROGRAMMED = "Programmed"
    ENFORCED = "Enforced"
    SHADOWED = "Shadowed"
    OVERLAPS = "Overlaps"


class Reason(StrEnum):
    """Why a condition has its status, as one word for programs."""

    # Ready, which otherwise has the reason of another condition
    READY = "Ready"
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
    UNSUPPORTED_PROTOCOL = "UnsupportedProtocol"
    # TargetsResolved
    TARGETS_RESOLVED = "TargetsResolved"
    TARGET_NOT_FOUND = "TargetNotFound"
    # Programmed
    PROGRAMMED = "Programmed"
    PENDING = "Pending"
    REJECTED = "Rejected"
    NO_DATA_PLANE = "NoDataPlane"
    NOT_PUBLISHED = "NotPublished"
    NOTHING_TO_PROGRAM = "NothingToProgram"
    # Enforced
    ENFORCED = "Enforced"
    NOT_PROGRAMMED = "NotProgrammed"
    # Shadowed
    SHADOWED = "Shadowed"
    # Overlaps
    OVERLAPS = "Overlaps"


class Condition(BaseModel):
    """One condition from the compiler; the operator adds the time of its last transition."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: ConditionType
    status: bool
    reason: Reason
    message: str
