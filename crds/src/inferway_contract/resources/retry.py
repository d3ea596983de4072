"""Retries: when a failed try is followed by another one."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from inferway_contract import values
from inferway_contract.resources.matches import Method
from inferway_contract.resources.model import Duration, SpecModel, Validation, bounded, schema_default, with_longer

Condition = Literal["ConnectFailure", "Reset", "Timeout"]

_CODES = (502, 503, 504)
_CONDITIONS: tuple[Condition, ...] = ("ConnectFailure", "Reset", "Timeout")
_METHODS: tuple[Method, ...] = ("GET", "HEAD", "OPTIONS")
_MAX_BACKOFF = "1s"


class Retry(SpecModel):
    """Further tries, each at another endpoint if there is one, until the client has received a byte of a response."""

    attempts: Annotated[int, Field(ge=0, le=5)] = 2
    """Tries after the first."""
    codes: Annotated[tuple[Annotated[int, Field(ge=400, le=599)], ...], bounded(32), schema_default([*_CODES])] = _CODES
    """Status codes of the upstream that cause a retry."""
    conditions: Annotated[tuple[Condition, ...], bounded(3), schema_default([*_CONDITIONS])] = _CONDITIONS
    """ConnectFailure: no connection. Reset: lost before a response. Timeout: no response within backendRequest."""
    methods: Annotated[tuple[Method, ...], bounded(7), schema_default([*_METHODS])] = _METHODS
    """Requests with other methods are retried only if no connection was made: nothing of them was sent."""
    backoff: Duration = "25ms"
    """Upper bound of the random wait before the second try, doubled for each further one."""
    # No default in the CRD: the API server would add 1s to a longer backoff, and reject the result.
    max_backoff: Annotated[Duration, schema_default(None)] = _MAX_BACKOFF
    """Upper bound for the back-off. If the upstream's Retry-After exceeds it, its response is returned without a retry. Default: 1s, or backoff if that is longer."""
    budget_percent: Annotated[int, Field(ge=0, le=100)] = 20
    """Retries in flight, in percent of the rule's requests in flight; three are always allowed."""

    validations = (
        Validation(
            cel="!has(self.maxBackoff) || duration(self.backoff) <= duration(self.maxBackoff)",
            message="backoff must not be longer than maxBackoff: raise maxBackoff, or remove it",
            holds=lambda retry: values.milliseconds(retry.backoff) <= values.milliseconds(retry.max_backoff),
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _most_covers_the_first(cls, written: Any) -> Any:
        return with_longer(written, "maxBackoff", "backoff", _MAX_BACKOFF)
