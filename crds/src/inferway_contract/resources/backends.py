"""Where requests go, and how long they may take and how much they may carry on the way."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from inferway_contract import values
from inferway_contract.resources.filters import GUARDED_CEL, GUARDED_HEADERS
from inferway_contract.resources.model import (
    Duration,
    HeaderName,
    Namespace,
    Port,
    Quantity,
    SpecModel,
    Validation,
    schema_default,
)

Url = Annotated[str, StringConstraints(pattern=values.URL_PATTERN, min_length=1, max_length=2048)]


class Auth(SpecModel):
    """A credential that the gateway shows to an upstream. What a client sent in that header is removed."""

    header: HeaderName
    """The header that carries it."""
    prefix: Annotated[str, StringConstraints(pattern=values.PREFIX_PATTERN, max_length=64)] = ""
    """Put before it, with the blank between them: `"Bearer "`."""
    file: Annotated[str, StringConstraints(pattern=values.FILE_NAME_PATTERN, min_length=1, max_length=253)]
    """The file that holds it, in the secrets directory that is mounted into the data plane."""

    rules_between_fields = (
        Validation(
            cel=f"!(self.header.lowerAscii() in {GUARDED_CEL})",
            message="header must not be a hop-by-hop field, Host, Content-Length or X-Forwarded-*: the gateway writes them",
            holds=lambda auth: auth.header.lower() not in GUARDED_HEADERS,
        ),
    )


class BackendRef(SpecModel):
    """One place that requests may go to: a Service by name, or a URL."""

    group: Literal[""] = ""
    kind: Literal["Service"] = "Service"
    name: Annotated[str, StringConstraints(pattern=values.LABEL_PATTERN, min_length=1, max_length=63)] | None = None
    """A Service."""
    namespace: Namespace | None = None
    """Absent = the route's own. Another one needs a ReferenceGrant there."""
    port: Port | None = None
    """A port of the Service."""
    url: Url | None = None
    """In place of a Service: `https://host:port/path`; the path is put before the request's."""
    weight: Annotated[int, Field(ge=0, le=1_000_000)] = 1
    """Its share of the sum of all weights; 0 takes no requests."""
    priority: Annotated[int, Field(ge=0, le=9)] = 0
    """0 comes first; the next number takes requests only while none before it has an available endpoint."""
    auth: Auth | None = None
    """Only beside url."""

    rules_between_fields = (
        Validation(
            cel="has(self.name) != has(self.url)",
            message="a backendRef has either the name of a Service or a url",
            holds=lambda ref: (ref.name is None) != (ref.url is None),
        ),
        Validation(
            cel="!has(self.name) || has(self.port)",
            message="port is required beside the name of a Service",
            holds=lambda ref: ref.name is None or ref.port is not None,
        ),
        Validation(
            # CEL keeps the word `namespace` for itself; Kubernetes spells such fields with underscores around.
            cel="!has(self.url) || !(has(self.port) || has(self.__namespace__))",
            message="url excludes port and namespace: write the port into the url",
            holds=lambda ref: ref.url is None or (ref.port is None and ref.namespace is None),
        ),
        Validation(
            cel="!has(self.auth) || has(self.url)",
            message="auth needs a url: a Service is given no credential",
            holds=lambda ref: ref.auth is None or ref.url is not None,
        ),
    )


_REQUEST = "30s"


class Timeouts(SpecModel):
    """Time limits; `0s` is none. `backendRequest` is one try, `request` the whole wait for the response head."""

    connect: Duration = "2s"
    """For a connection to one endpoint."""
    # No default in the CRD: the API server would write 30s beside a longer backendRequest, and refuse its own work.
    request: Annotated[Duration, schema_default(None)] = _REQUEST
    """The whole exchange until the response head. Absent = 30s, or backendRequest where that is longer."""
    backend_request: Duration | None = None
    """One try until the response head. Absent = as long as request."""
    stream_idle: Duration = "5m"
    """Between two pieces of a response body."""

    rules_between_fields = (
        Validation(
            cel="!has(self.backendRequest) || !has(self.request) || duration(self.request) == duration('0s')"
            " || duration(self.backendRequest) <= duration(self.request)",
            message="backendRequest must not be longer than request: raise request, or set it to 0s for none",
            holds=lambda limit: (
                limit.backend_request is None
                or values.milliseconds(limit.request) == 0
                or values.milliseconds(limit.backend_request) <= values.milliseconds(limit.request)
            ),
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _whole_covers_one_try(cls, written: Any) -> Any:
        # Gateway API allows backendRequest alone, and an HTTPRoute's rules can be pasted as they are.
        if not isinstance(written, dict) or "request" in written:
            return written
        one_try: Any = written.get("backendRequest")
        try:
            longer = values.milliseconds(one_try) > values.milliseconds(_REQUEST)
        except (TypeError, ValueError):
            return written  # told as a mistake of backendRequest itself
        return {**written, "request": one_try} if longer else written


class Limits(SpecModel):
    """Sizes that one exchange may have."""

    max_request_body: Quantity = "10Mi"
    """Larger ones are answered 413."""
    max_response_header: Quantity = "64Ki"
    """Larger ones are answered 502."""
