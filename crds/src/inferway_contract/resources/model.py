"""How resources are written down: camelCase, strict, and with rules that the API server checks in the same words.

A rule that crosses fields is one `Validation`: a CEL expression for the API server, a predicate for everybody else, and one
message that both print. The API server's answer and the compiler's therefore never differ but in their prefix.
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
    """What must hold between the fields of one object. The message names the fields and how to mend them."""

    cel: str
    message: str
    holds: Callable[[Any], bool]


class SpecModel(BaseModel):
    """Base of everything a user writes. Unknown fields are refused, nothing is coerced, nothing changes later."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        # By alias only: a resource that the API server refuses for `backend_refs` is not one that standalone takes.
        validate_by_alias=True,
        extra="forbid",
        frozen=True,
        strict=True,
    )

    rules_between_fields: ClassVar[tuple[Validation, ...]] = ()

    @model_validator(mode="after")
    def _hold(self) -> Self:
        broken = [rule.message for rule in self.rules_between_fields if not rule.holds(self)]
        if broken:
            raise PydanticCustomError("rule", "{broken}", {"broken": "; ".join(broken)})
        return self


def bounded(most: int, *, least: int = 0) -> Any:
    """Bounds of an atomic list. YAML gives lists; the model keeps tuples, because resources are frozen."""
    return Field(strict=False, min_length=least, max_length=most)


def keyed_by(field: str) -> Any:
    """A list that is a map for server-side apply: two owners may each hold entries of it, told apart by `field`."""
    return Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [field]})


SCHEMA_DEFAULT: Final = "x-inferway-default"


def schema_default(value: list[Any] | None) -> Any:
    """What the CRD gives as this field's default, where it is not simply the model's scalar; None = no default."""
    return Field(json_schema_extra={SCHEMA_DEFAULT: value})


# Validators of our own, so that whatever is written there, one mistake is told, and that is how to write it.


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
    # For Python 1 is True, and so it is for Literal; the API server knows better.
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
