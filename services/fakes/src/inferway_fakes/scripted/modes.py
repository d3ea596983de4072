"""Faults of the whole process, switched by `PUT /_fake/mode` while load runs; they apply to subsequent requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

HEALTH_PATH = b"/healthz"


class UnreadableModeError(ValueError):
    """The mode is invalid. The message names the error in the JSON."""


class Mode(BaseModel):
    """Absent = no such fault. `hang` and `failShare` apply to all paths except the health path and the control paths."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    fail_share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0
    """Share of the requests that fail, evenly spread: 0.25 = every fourth."""
    fail_status: Annotated[int, Field(ge=400, le=599)] = 500
    latency: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = 0.0
    """Seconds before the head of every answer, in addition to the request's own delay."""
    hang: bool = False
    """Requests are read and never answered. Requests that already hang do so until their connection ends."""
    health_status: Annotated[int, Field(ge=200, le=599)] = 200
    health_hang: bool = False


def read(body: bytes) -> Mode:
    """Parse JSON. Raises `UnreadableModeError`."""
    try:
        return Mode.model_validate_json(body)
    except ValidationError as error:
        messages = [": ".join([*map(str, one["loc"]), one["msg"]]) for one in error.errors()]
        raise UnreadableModeError("; ".join(messages)) from None


@dataclass(slots=True)
class EvenShare:
    """Selects a share of requests without chance: of n requests n * share, rounded down, evenly spread."""

    _owed: float = 0.0

    def takes(self, share: float) -> bool:
        """Return whether the next request belongs to the share."""
        # Rounded: 0.1 ten times is 0.9999999999999999.
        self._owed = round(self._owed + share, 9)
        if self._owed < 1:
            return False
        self._owed -= 1
        return True
