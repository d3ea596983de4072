"""Settings of the data-plane process: environment `INFERWAY_*`, or flags of `inferway run`.

Defaults are safe without tuning. Durations are seconds, sizes bytes.
"""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AliasChoices, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from inferway_contract import unknown_settings
from inferway_contract.field_patterns import check_proxy_field
from inferway_contract.listener import address_and_port

Files = Annotated[tuple[str, ...], NoDecode]
Seconds = Annotated[float, Field(ge=0, le=86400)]

_PREFIX: Final = "INFERWAY_"
_OPERATOR_PREFIX: Final = "INFERWAY_OPERATOR_"


class Settings(BaseSettings):
    """Everything about this process that is not in the config document."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid")

    listen: str = Field("127.0.0.1:8080", description="address:port of the data port; port 0 takes a free one")
    admin: str = Field("127.0.0.1:9090", description="address:port of probes, metrics and /debug")
    tls_cert: Files = Field(
        (), description="PEM certificate chains for the data port, separated by commas; empty = no TLS"
    )
    tls_key: Files = Field((), description="their keys, in the same order")
    secrets_directory: str = Field("", description="directory of the files that `backendRefs[].auth` names")
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="CIDRs of proxies whose X-Forwarded-* and the like are trusted, separated by commas"
    )
    trusted_hops: int = Field(
        1, ge=1, le=16, description="the client is the N-th untrusted address from the right of X-Forwarded-For"
    )

    proxy_fields: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="further header fields that only trusted proxies may send, separated by commas; `*` at either end"
        " covers others; `!` before a name lets every client send it",
    )

    head_timeout: Seconds = Field(10.0, description="a request head must be complete this long after its first byte")
    idle_timeout: Seconds = Field(75.0, description="a kept-alive connection without a request is closed after this")
    body_idle_timeout: Seconds = Field(15.0, description="longest pause between two pieces of a request body")
    body_rate: int = Field(1024, ge=0, description="bytes per second that a request body must have on average; 0 = any")
    body_rate_after: Seconds = Field(30.0, description="the average of a body counts after this")
    unread_timeout: Seconds = Field(60.0, description="a client that does not read its response is cut after this")
    max_request_line: int = Field(8 << 10, ge=64, description="bytes of method, target and version")
    max_header_bytes: int = Field(32 << 10, ge=256, description="bytes of all request header fields")
    max_header_count: int = Field(100, ge=1, description="number of request header fields")

    upstream_idle_timeout: Seconds = Field(
        4.0,
        description="an unused upstream connection is closed after this, unless the rule or the upstream sets a time",
    )
    upstream_idle_connections: int = Field(256, ge=0, description="unused connections kept for one endpoint")

    max_connections: int = Field(10_000, ge=1, description="client connections; fewer if descriptors are few")
    max_in_flight: int = Field(4_096, ge=1, description="requests in flight; the gateway answers more with 503")
    memory_limit: int = Field(
        0, ge=0, description="bytes of memory near which work is shed; 0 = the limit of the container, if it has one"
    )

    api_server: str = Field(
        "",
        description="IP address of the API server, which no route in a cluster may lead to; empty = KUBERNETES_SERVICE_HOST",
    )
    retry_body_bytes: int = Field(
        64 << 20, ge=0, description="memory for request bodies that are kept for retries, over all requests"
    )
    upstream_ca: str = Field("", description="PEM file of authorities for upstream TLS, in addition to the system's")

    cache_bytes: int = Field(64 << 20, ge=0, description="memory for stored responses, their heads and keys included")

    drain_delay: Seconds = Field(0.0, description="keep serving this long after the first signal, while /readyz fails")
    drain_ready: bool = Field(
        False,
        description="/readyz fails only after that delay: for Kubernetes, which takes a Terminating pod out of its"
        " Services by itself, and sends it the rest of its node's traffic only while it is ready",
    )
    drain_timeout: Seconds = Field(30.0, description="then wait this long for requests in flight")

    access_log: bool = Field(True, description="one JSON line for each request that is logged")
    access_log_rate: int = Field(100, ge=0, description="requests logged a second; above it failed ones first")
    access_log_query: bool = Field(False, description="log the query too (it may hold prompts and secrets)")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="of the process's own events")

    otlp_endpoint: str = Field("", description="base URL of an OTLP/HTTP collector; empty = no tracing")
    trace_sample: float = Field(0.0, ge=0, le=1, description="share of requests traced where the client did not decide")

    @property
    def certificates(self) -> tuple[tuple[Path, Path], ...]:
        """Pairs of certificate chain and key."""
        return tuple((Path(cert), Path(key)) for cert, key in zip(self.tls_cert, self.tls_key, strict=True))

    @model_validator(mode="after")
    def _different_ports(self) -> Self:
        listeners = address_and_port(self.listen), address_and_port(self.admin)
        hosts = {_same_host(host) for host, _ in listeners}
        ports = {port for _, port in listeners}
        # An unspecified address has the port on every address; `::` may have it for IPv4 too.
        if len(ports) == 1 and 0 not in ports and (len(hosts) == 1 or "" in hosts):
            raise ValueError(
                f"listen {self.listen} and admin {self.admin} have the same port: give one of them another port"
            )
        return self

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if len(self.tls_cert) != len(self.tls_key):
            raise ValueError(f"tls_cert names {len(self.tls_cert)} files and tls_key {len(self.tls_key)}: give pairs")
        return self

    @field_validator("trusted_proxies", "proxy_fields", "tls_cert", "tls_key", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            ip_network(text, strict=False)
        return value

    @field_validator("proxy_fields")
    @classmethod
    def _field_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            check_proxy_field(pattern)
        return value

    @field_validator("api_server")
    @classmethod
    def _comparable(cls, value: str) -> str:
        # Upstreams are compared with it by their addresses: a name would have no effect.
        return str(ip_address(value)) if value else ""

    @field_validator("listen", "admin")
    @classmethod
    def _listener(cls, value: str) -> str:
        address_and_port(value)
        return value


class ClusterSettings(BaseSettings):
    """Further settings of a data plane that serves from a cluster. POD_* come from the downward API."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="ignore", populate_by_name=True)

    gateway: str = Field(
        "inferway", min_length=1, description="name of the gateway, and of the ConfigMaps that hold its documents"
    )
    namespace: str = Field(
        min_length=1,
        validation_alias=AliasChoices("INFERWAY_NAMESPACE", "POD_NAMESPACE"),
        description="namespace of those ConfigMaps and of the pod's Lease",
    )
    pod_name: str = Field(
        min_length=1,
        validation_alias=AliasChoices("INFERWAY_POD_NAME", "POD_NAME"),
        description="name of the pod and of its Lease",
    )
    pod_uid: str = Field(
        min_length=1, validation_alias=AliasChoices("INFERWAY_POD_UID", "POD_UID"), description="owner of that Lease"
    )
    kubeconfig: str = Field("", description="a kubeconfig file; empty = the pod's own token")
    state_directory: str = Field(
        "", description="directory of the last good copy, such as an emptyDir; empty = there is none"
    )


def _same_host(host: str) -> str:
    """Return one text for all spellings of an address; "" for an unspecified one, which includes every other."""
    try:
        address = ip_address({"localhost": "127.0.0.1"}.get(host, host))
    except ValueError:
        return host
    return "" if address.is_unspecified else str(address)


def refuse_unknown(names: Iterable[str]) -> None:
    """Raise `ValueError` for names that begin with INFERWAY_ and are not settings. Those of the operator are skipped."""
    known = [f"{_PREFIX}{name.upper()}" for model in (Settings, ClusterSettings) for name in model.model_fields]
    ours = (name for name in names if not name.upper().startswith(_OPERATOR_PREFIX))
    unknown_settings.refuse_unknown(ours, _PREFIX, known)
