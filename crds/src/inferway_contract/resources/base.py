"""How resources are written down: camelCase, strict, and with rules that the API server checks in the same words.

A rule that crosses fields is one `Rule`: a CEL expression for the API server, a predicate for everybody else, and one
message that both print. The API server's answer and the compiler's therefore never differ but in their prefix.
"""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from inferway_contract import values


class Rule(NamedTuple):
    """What must hold between the fields of one object. The message names the fields and how to mend them."""

    cel: str
    message: str
    holds: Callable[[Any], bool]


class Written(BaseModel):
    """Base of everything a user writes. Unknown fields are refused, nothing is coerced, nothing changes later."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        extra="forbid",
        frozen=True,
        strict=True,
    )

    rules_between_fields: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _hold(self) -> Self:
        broken = [rule.message for rule in self.rules_between_fields if not rule.holds(self)]
        if broken:
            raise PydanticCustomError("rule", "{broken}", {"broken": "; ".join(broken)})
        return self


def bounded(most: int, *, least: int = 0) -> Any:
    """Bounds of an atomic list. YAML gives lists; the model keeps tuples, because resources are frozen."""
    return Field(strict=False, min_length=least, max_length=most)


def _integer_or_string(pattern: str) -> WithJsonSchema:
    return WithJsonSchema(
        {"anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": pattern, "x-kubernetes-int-or-string": True}
    )


Duration = Annotated[str, StringConstraints(pattern=values.DURATION_PATTERN, max_length=32)]
Quantity = Annotated[
    Annotated[int, Field(ge=0, le=10**12)] | Annotated[str, StringConstraints(pattern=values.QUANTITY_PATTERN)],
    _integer_or_string(values.QUANTITY_PATTERN),
]
HeaderName = Annotated[str, StringConstraints(pattern=values.TOKEN_PATTERN, min_length=1, max_length=256)]
HeaderValue = Annotated[str, StringConstraints(pattern=values.FIELD_VALUE_PATTERN, max_length=4096)]
Hostname = Annotated[str, StringConstraints(pattern=values.HOSTNAME_PATTERN, min_length=1, max_length=253)]
PreciseHostname = Annotated[
    str, StringConstraints(pattern=values.PRECISE_HOSTNAME_PATTERN, min_length=1, max_length=253)
]
ObjectName = Annotated[str, StringConstraints(pattern=values.SUBDOMAIN_PATTERN, min_length=1, max_length=253)]
Namespace = Annotated[str, StringConstraints(pattern=values.LABEL_PATTERN, min_length=1, max_length=63)]
SectionName = Annotated[str, StringConstraints(pattern=values.SUBDOMAIN_PATTERN, min_length=1, max_length=253)]
Port = Annotated[int, Field(ge=1, le=65535)]
