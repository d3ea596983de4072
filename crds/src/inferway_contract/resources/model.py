"""The strict base of all models of resources, and their validations.

A rule between fields is one `Validation`: a CEL expression for the API server, a predicate for the compiler, and one
message for both. Their errors therefore differ only in the prefix.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError, PydanticKnownError

from inferway_contract import values


class Validation(NamedTuple):
    """A rule between the fields of one object. The message names the fields and the fix."""

    cel: str
    message: str
    holds: Callable[[Any], bool]


class SpecModel(BaseModel):
    """Base of every part of a spec: unknown fields are errors, values are not coerced, instances are frozen."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        # By alias only: the API server rejects `backend_refs`, so standalone does, too.
        validate_by_alias=True,
        extra="forbid",
        frozen=True,
        strict=True,
    )

    validations: ClassVar[tuple[Validation, ...]] = ()

    @model_validator(mode="after")
    def _validate(self) -> Self:
        broken = [rule.message for rule in self.validations if not rule.holds(self)]
        if broken:
            raise PydanticCustomError("rule", "{broken}", {"broken": "; ".join(broken)})
        return self


def bounded(most: int, *, least: int = 0) -> Any:
    """Bound an atomic list. YAML gives lists; the model keeps tuples, because resources are frozen."""
    return Field(strict=False, min_length=least, max_length=most)


SCHEMA_DEFAULT: Final = "x-inferway-default"


def schema_default(value: list[Any] | None) -> Any:
    """Set a default in the CRD other than the model's scalar; None = no default."""
    return Field(json_schema_extra={SCHEMA_DEFAULT: value})


def with_longer(written: Any, whole: str, part: str, default: str) -> Any:
    """Set the absent limit `whole` to a `part` of it that is longer than its default."""
    # Gateway API allows the part alone, and an HTTPRoute's rules can be pasted as they are.
    if not isinstance(written, dict) or whole in written:
        return written
    limit: Any = written.get(part)
    try:
        is_longer = values.milliseconds(limit) > values.milliseconds(default)
    except (TypeError, ValueError):
        return written  # reported as an error of the part itself
    return {**written, whole: limit} if is_longer else written


# Own validators, so that every wrong value gives one error, which shows how to write it.


def _duration(value: object) -> str:
    if isinstance(value, str):
        with suppress(ValueError):
            values.milliseconds(value)
            return value
    raise PydanticCustomError("duration", "no duration")


def _quantity(value: object) -> int | str:
    if isinstance(value, int | str) and not isinstance(value, bool):
        with suppress(ValueError):
            values.size(value)
            return value
    raise PydanticCustomError("quantity", "no size")


def _only_true(value: Any) -> Any:
    # In Python 1 equals True, for Literal too; the API server rejects it.
    if value is not True:
        raise PydanticKnownError("literal_error", {"expected": "True"})
    return value


Switch = Annotated[Literal[True], BeforeValidator(_only_true)]
Duration = Annotated[
    str,
    PlainValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": values.DURATION_PATTERN, "maxLength": 32}),
]
Quantity = Annotated[
    int | str,
    PlainValidator(_quantity),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            # The pattern and the length are for text, the bounds for numbers.
            "pattern": values.QUANTITY_PATTERN,
            "maxLength": 14,
            "minimum": 0,
            "maximum": 10**12 - 1,
            "x-kubernetes-int-or-string": True,
        }
    ),
]
HeaderName = Annotated[str, StringConstraints(pattern=values.TOKEN_PATTERN, min_length=1, max_length=256)]
HeaderValue = Annotated[str, StringConstraints(pattern=values.FIELD_VALUE_PATTERN, max_length=4096)]
Hostname = Annotated[str, StringConstraints(pattern=values.HOSTNAME_PATTERN, min_length=1, max_length=253)]
PreciseHostname = Annotated[str, StringConstraints(pattern=values.SUBDOMAIN_PATTERN, min_length=1, max_length=253)]
ObjectName = Annotated[str, StringConstraints(pattern=values.SUBDOMAIN_PATTERN, min_length=1, max_length=253)]
Namespace = Annotated[str, StringConstraints(pattern=values.LABEL_PATTERN, min_length=1, max_length=63)]
SectionName = Annotated[str, StringConstraints(pattern=values.SUBDOMAIN_PATTERN, min_length=1, max_length=253)]
Port = Annotated[int, Field(ge=1, le=65535)]
