"""Retries: when a try that failed is followed by another one."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from inferway_contract import values
from inferway_contract.resources.matches import Method
from inferway_contract.resources.model import Duration, SpecModel, Validation, bounded, schema_default

Condition = Literal["ConnectFailure", "Reset", "Timeout"]

_CODES = (502, 503, 504)
_CONDITIONS: tuple[Condition, ...] = ("ConnectFailure", "Reset", "Timeout")
_METHODS: tuple[Method, ...] = ("GET", "HEAD", "OPTIONS")
_MAX_BACKOFF = "1s"


class Retry(SpecModel):
    """Further tries, each at another endpoint where there is one, before the client has got a byte of an answer."""

    attempts: Annotated[int, Field(ge=0, le=5)] = 2
    """Tries after the first."""
    codes: Annotated[tuple[Annotated[int, Field(ge=400, le=599)], ...], bounded(32), schema_default([*_CODES])] = _CODES
    """Answers of the upstream after which it is tried again."""
    conditions: Annotated[tuple[Condition, ...], bounded(3), schema_default([*_CONDITIONS])] = _CONDITIONS
    """ConnectFailure: no connection. Reset: it broke off before an answer. Timeout: no answer within backendRequest."""
    methods: Annotated[tuple[Method, ...], bounded(7), schema_default([*_METHODS])] = _METHODS
    """Others are tried again only where no connection could be made, for of those nothing was sent."""
    backoff: Duration = "25ms"
    """The longest wait before the second try, doubled before each further one; the wait is anything up to it."""
    # No default in the CRD: the API server would write 1s beside a longer backoff, and refuse its own work.
    max_backoff: Annotated[Duration, schema_default(None)] = _MAX_BACKOFF
    """No wait is longer. Who asks for a longer one (Retry-After) is not tried again. Absent = 1s, or a longer backoff."""
    budget_percent: Annotated[int, Field(ge=0, le=100)] = 20
    """Tries after the first that may be in flight, of the rule's requests in flight; three always may."""

    rules_between_fields = (
        Validation(
            cel="!has(self.maxBackoff) || duration(self.backoff) <= duration(self.maxBackoff)",
            message="backoff must not be longer than maxBackoff: raise maxBackoff, or remove it",
            holds=lambda retry: values.milliseconds(retry.backoff) <= values.milliseconds(retry.max_backoff),
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _most_covers_the_first(cls, written: Any) -> Any:
        # Gateway API has no maxBackoff, and an HTTPRoute's rules can be pasted as they are.
        if not isinstance(written, dict) or "maxBackoff" in written:
            return written
        first: Any = written.get("backoff")
        try:
            longer = values.milliseconds(first) > values.milliseconds(_MAX_BACKOFF)
        except (TypeError, ValueError):
            return written  # told as a mistake of backoff itself
        return {**written, "maxBackoff": first} if longer else written
