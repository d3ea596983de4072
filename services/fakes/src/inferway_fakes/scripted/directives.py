"""Parses the `x-fake-*` headers of a request into an order.

Each field is one header: `body_size` is `x-fake-body-size`. All values are bounded. An unknown header or a value out of
bounds is an error, so typos in tests are visible.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

PREFIX = b"x-fake-"
MAX_BODY = 64 << 20
"""Bytes of one answer's body."""
LONGEST = 600.0
"""Seconds that one answer may take, hanging included; then its connection is reset."""

Seconds = Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)]


class Where(StrEnum):
    """A place in an answer."""

    BEFORE_ANSWER = "before-answer"
    AFTER_HEAD = "after-head"
    MID_BODY = "mid-body"


class UnreadableOrderError(ValueError):
    """The order is invalid. The message names the header and the error."""


class Order(BaseModel):
    """How to answer one request. Without a header: 200 and the two bytes `ok`."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=lambda name: "x-fake-" + name.replace("_", "-"),
    )

    status: int = Field(200, ge=200, le=599)
    delay: Seconds = 0.0
    """Before the head."""
    informational: int = Field(0, ge=0, le=10)
    """Number of 103 answers first."""
    body_size: int | None = Field(None, ge=0, le=MAX_BODY)
    """Bytes of the pattern (`heads.pattern`); absent = `ok`."""
    chunks: int = Field(0, ge=0, le=10_000)
    """Number of pieces of the body, with Transfer-Encoding: chunked; 0 = one Content-Length."""
    sse: int = Field(0, ge=0, le=100_000)
    """Number of server-sent events instead of the body, each with the monotonic time of its sending."""
    pause: Seconds = 0.0
    """Between two pieces or events, and between two 64 KiB pieces of a body with a Content-Length."""
    close: Where | None = None
    """Close at this place."""
    reset: bool = False
    """`close` is a reset instead of an orderly end."""
    hang: Where | None = None
    """Send nothing more from this place on."""
    garbage: int = Field(0, ge=0, le=1 << 20)
    """Number of bytes that are not HTTP, sent instead of the answer; then the connection ends."""
    two_lengths: bool = False
    """Two Content-Length fields that differ."""
    big_head: int = Field(0, ge=0, le=4 << 20)
    """Size in bytes of one header field in the head."""
    echo: bool = False
    """The body is JSON: method, target, headers, bodyLength, bodySha256, process."""
    headers: tuple[tuple[str, str], ...] = Field((), alias="x-fake-header", max_length=50)
    """`x-fake-header: name: value`, repeated: fields of the answer."""

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        bodies = {
            "x-fake-sse": self.sse > 0,
            "x-fake-echo": self.echo,
            "x-fake-garbage": self.garbage > 0,
            "x-fake-body-size": self.body_size is not None,
        }
        chosen = [name for name, is_wanted in bodies.items() if is_wanted]
        if len(chosen) > 1:
            raise ValueError(f"{' and '.join(chosen)} exclude each other")
        if self.two_lengths and (self.sse or self.chunks):
            raise ValueError("x-fake-two-lengths needs an answer with a Content-Length")
        if self.reset and self.close is None:
            raise ValueError("x-fake-reset sets how x-fake-close closes: add x-fake-close")
        return self


DEFAULT = Order.model_validate({})


def read(headers: Iterable[tuple[bytes, bytes]]) -> Order:
    """Return the order of a request with these headers. Raises `UnreadableOrderError`."""
    given: dict[str, object] = {}
    added: list[tuple[str, str]] = []
    for raw_name, raw_value in headers:
        name = raw_name.lower()
        if not name.startswith(PREFIX):
            continue
        key, value = name.decode("latin-1"), raw_value.decode("latin-1")
        if key == "x-fake-header":
            field, colon, text = value.partition(":")
            if not colon or not field.strip():
                raise UnreadableOrderError(f"x-fake-header: {value!r} is not `name: value`")
            added.append((field.strip(), text.strip()))
        elif key in given:
            raise UnreadableOrderError(f"{key}: given twice")
        else:
            given[key] = value
    if not given and not added:
        return DEFAULT
    try:
        return Order.model_validate({**given, "x-fake-header": tuple(added)})
    except ValidationError as error:
        raise UnreadableOrderError("; ".join(_told(error))) from None


def _told(error: ValidationError) -> list[str]:
    return [": ".join([*map(str, one["loc"]), one["msg"]]) for one in error.errors()]
