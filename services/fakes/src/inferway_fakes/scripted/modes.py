"""Faults of the whole process, switched by `PUT /_fake/mode` while load runs: they hold for requests that come after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

HEALTH_PATH = b"/healthz"


class UnreadableModeError(ValueError):
    """The message says what is wrong with the JSON."""


class Mode(BaseModel):
    """Absent = no such fault. `hang` and `failShare` hold for everything but the health path and the control paths."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    fail_share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0
    """Of the requests, evenly spread: 0.25 = every fourth."""
    fail_status: Annotated[int, Field(ge=400, le=599)] = 500
    latency: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = 0.0
    """Seconds before the head of every answer, besides what the request asks for."""
    hang: bool = False
    """Requests are read and never answered; those that hang already go on hanging until their connection ends."""
    health_status: Annotated[int, Field(ge=200, le=599)] = 200
    health_hang: bool = False


def read(body: bytes) -> Mode:
    """From JSON; `UnreadableModeError`."""
    try:
        return Mode.model_validate_json(body)
    except ValidationError as error:
        told = [": ".join([*map(str, one["loc"]), one["msg"]]) for one in error.errors()]
        raise UnreadableModeError("; ".join(told)) from None


@dataclass(slots=True)
class EvenShare:
    """Says which requests are of a share, without chance: of n requests n * share, rounded down, evenly spread."""

    _owed: float = 0.0

    def takes(self, share: float) -> bool:
        """Whether the next one is."""
        # Rounded: 0.1 ten times is 0.9999999999999999.
        self._owed = round(self._owed + share, 9)
        if self._owed < 1:
            return False
        self._owed -= 1
        return True
