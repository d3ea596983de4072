"""Backends of a rule, and the time and size limits of its requests."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from inferway_contract import values
from inferway_contract.resources import model
from inferway_contract.resources.filters import GUARDED_CEL, GUARDED_HEADERS, OWN_REQUEST_HEADERS

Url = Annotated[str, StringConstraints(pattern=values.URL_PATTERN, min_length=1, max_length=2048)]


class Auth(model.SpecModel):
    """A credential that the gateway sends to an upstream. The client's own value of that header is removed."""

    header: model.HeaderName
    """The header that carries the credential."""
    prefix: Annotated[str, StringConstraints(pattern=values.PREFIX_PATTERN, max_length=64)] = ""
    """Text in front of the credential, including the space between them: `"Bearer "`."""
    file: Annotated[str, StringConstraints(pattern=values.FILE_NAME_PATTERN, min_length=1, max_length=253)]
    """The file that holds the credential, in the secrets directory mounted into the data plane."""

    validations = (
        model.Validation(
            cel=f"!(self.header.lowerAscii() in {GUARDED_CEL})",
            message="header must not be a hop-by-hop field, Host, Content-Length or X-Forwarded-*: the gateway writes them",
            holds=lambda auth: auth.header.lower() not in GUARDED_HEADERS,
        ),
        model.Validation(
            cel=f"!(self.header.lowerAscii() in {list(OWN_REQUEST_HEADERS)})",
            message="header must not be Via, X-Request-Id or traceparent: the gateway writes them",
            holds=lambda auth: auth.header.lower() not in OWN_REQUEST_HEADERS,
        ),
    )


class BackendRef(model.SpecModel):
    """One destination of a rule's requests: a Service by name, or a URL."""

    group: Literal[""] = ""
    kind: Literal["Service"] = "Service"
    name: Annotated[str, StringConstraints(pattern=values.LABEL_PATTERN, min_length=1, max_length=63)] | None = None
    """Name of a Service."""
    namespace: model.Namespace | None = None
    """Namespace of the Service. Default: the route's namespace. Another namespace needs a ReferenceGrant there."""
    port: model.Port | None = None
    """A port of the Service."""
    url: Url | None = None
    """Instead of a Service: `https://host:port/path`. The path is put in front of the request's path."""
    weight: Annotated[int, Field(ge=0, le=1_000_000)] = 1
    """Share of the requests, relative to the sum of all weights. 0 receives no requests."""
    priority: Annotated[int, Field(ge=0, le=9)] = 0
    """0 is first. A higher number receives requests only while no lower one has an available endpoint."""
    auth: Auth | None = None
    """Only together with url."""
    forwarded_headers: Literal["Send", "Omit"] = "Send"
    """Omit: the upstream receives no `X-Forwarded-*`, nor other fields of trusted proxies that describe the client."""

    validations = (
        model.Validation(
            cel="has(self.name) != has(self.url)",
            message="a backendRef has either the name of a Service or a url",
            holds=lambda ref: (ref.name is None) != (ref.url is None),
        ),
        model.Validation(
            cel="!has(self.name) || has(self.port)",
            message="port is required with the name of a Service",
            holds=lambda ref: ref.name is None or ref.port is not None,
        ),
        model.Validation(
            # CEL keeps the word `namespace` for itself; Kubernetes spells such fields with underscores around.
            cel="!has(self.url) || !(has(self.port) || has(self.__namespace__))",
            message="url excludes port and namespace: write the port into the url",
            holds=lambda ref: ref.url is None or (ref.port is None and ref.namespace is None),
        ),
        model.Validation(
            cel="!has(self.auth) || has(self.url)",
            message="auth needs a url: credentials are not sent to Services",
            holds=lambda ref: ref.auth is None or ref.url is not None,
        ),
    )


_REQUEST = "5m"


class Timeouts(model.SpecModel):
    """Time limits; `0s` means no limit. `backendRequest` covers one try, `request` all of them."""

    connect: model.Duration = "2s"
    """Time to connect to one endpoint."""
    # No default in the CRD: the API server would add 5m to a longer backendRequest, and reject the result.
    request: Annotated[model.Duration, model.schema_default(None)] = _REQUEST
    """Time until the response head, over all tries. Default: 5m, or backendRequest if that is longer."""
    backend_request: model.Duration | None = None
    """Time of one try until the response head. Default: the value of request."""
    stream_idle: model.Duration = "5m"
    """Longest pause between two pieces of a response body."""
    upstream_idle: model.Duration | None = None
    """An unused connection is closed after this; earlier where the endpoint's Keep-Alive timeout is shorter. Default: that timeout less 1s, or 4s."""

    validations = (
        model.Validation(
            cel="!has(self.backendRequest) || !has(self.request) || duration(self.request) == duration('0s')"
            " || duration(self.backendRequest) <= duration(self.request)",
            message="backendRequest must not be longer than request: raise request, or set it to 0s for no limit",
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
        return model.with_longer(written, "request", "backendRequest", _REQUEST)


class Limits(model.SpecModel):
    """Size limits of a request and its response."""

    max_request_body: model.Quantity = "32Mi"
    """A larger request body gets a 413 response."""
    max_response_header: model.Quantity = "64Ki"
    """A larger response head is replaced by a 502 response."""
