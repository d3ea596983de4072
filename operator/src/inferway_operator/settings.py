"""Settings of the operator's process: environment `INFERWAY_OPERATOR_*`. Durations are seconds."""

import socket
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Self

import yaml
from pydantic import AliasChoices, Field, TypeAdapter, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from inferway_contract import pattern_bounds, unknown_settings
from inferway_contract.acknowledgement import GATEWAY_LABEL
from inferway_contract.listener import address_and_port
from inferway_kube.deadlines import Deadlines
from inferway_kube.leader_election import unique_identity
from inferway_operator.world import bounds, world
from inferway_operator.world.hostname_policy import HostnamePolicy

PREFIX: Final = "INFERWAY_OPERATOR_"
WRITE_SECONDS: Final = Deadlines().write
"""Time limit of one write. A write that began while this process led ends before another process may lead."""

_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_GATEWAY: Final = "inferway"
_LEASE: Final = "inferway-operator"
_POLICY: Final[TypeAdapter[HostnamePolicy]] = TypeAdapter(HostnamePolicy)
Names = Annotated[tuple[str, ...], NoDecode]


class OperatorSettings(BaseSettings):
    """Settings of reconciling, watching and leader election."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", populate_by_name=True)

    gateway: str = Field(
        _GATEWAY,
        pattern=_LABEL,
        max_length=40,
        description="name of the gateway: the first part of all ConfigMap names",
    )
    namespace: str = Field(
        "inferway-system", pattern=_LABEL, max_length=63, description="where the data plane runs and reads documents"
    )
    namespaces: Names = Field(
        (),
        description="namespaces whose resources count, separated by commas; empty = all. `kopf run` needs the same ones",
    )
    pod_selector: str = Field(
        "", description="label selector of the data plane's Pods; empty = inferway.dev/gateway=<gateway>"
    )
    allowed_hosts: Names = Field(
        (),
        description="hosts that the url of a backendRef may name, separated by commas; `*.example.com` for all below; empty = none",
    )
    hostname_policy: Annotated[HostnamePolicy | None, NoDecode] = Field(
        None,
        description="which namespace may claim which hostname: a list of {namespaces, namespaceLabels, hostnames, exclusive}"
        " as JSON or YAML; absent = all may claim all",
    )
    hostname_policy_file: Path | None = Field(None, description="the same as a file; set one of the two")

    route_patterns: int = Field(
        bounds.DEFAULT.route_patterns,
        ge=1,
        le=pattern_bounds.HARD.route,
        description="most that the patterns of one route may take, in instructions of RE2 (about 1 microsecond each)",
    )
    namespace_patterns: int = Field(
        bounds.OF_NAMESPACE.patterns,
        ge=1,
        le=pattern_bounds.HARD.namespace,
        description="the same of all routes of a namespace",
    )
    namespace_matches: int = Field(
        bounds.OF_NAMESPACE.matches,
        ge=1,
        description="most matches of a namespace, each counted once for each hostname of its route, plus their conditions",
    )
    namespace_limits: int = Field(
        bounds.OF_NAMESPACE.limits,
        ge=1,
        description="most limits of a namespace, each counted once for each rule that it applies to",
    )
    namespace_backends: int = Field(bounds.OF_NAMESPACE.backends, ge=1, description="most backendRefs of a namespace")
    namespace_bytes: int = Field(
        bounds.OF_NAMESPACE.bytes, ge=1, description="most bytes of the specs of a namespace, as compact JSON"
    )
    total_patterns: int = Field(
        bounds.OF_ALL.patterns,
        ge=1,
        le=pattern_bounds.HARD.document,
        description="as `namespace_patterns`, of all namespaces; when it is reached, the largest ones are reduced to"
        " equal shares",
    )
    total_matches: int = Field(bounds.OF_ALL.matches, ge=1, description="as `namespace_matches`, of all namespaces")
    total_limits: int = Field(bounds.OF_ALL.limits, ge=1, description="as `namespace_limits`, of all namespaces")
    total_backends: int = Field(bounds.OF_ALL.backends, ge=1, description="as `namespace_backends`, of all namespaces")
    total_bytes: int = Field(bounds.OF_ALL.bytes, ge=1, description="as `namespace_bytes`, of all namespaces")

    namespace_write_bytes: int = Field(
        32 << 20,
        ge=1 << 20,
        description="bytes of ConfigMaps a minute that changes of one namespace may write; more of its changes wait,"
        " those of others do not. Its endpoints may write as much again, and wait for at most 45 seconds",
    )
    total_write_bytes: int = Field(
        96 << 20,
        ge=1 << 20,
        description="the same of all namespaces; then the changes of those wait that have used half of their own",
    )

    hold_off: float = Field(0.05, ge=0, le=10, description="publish a change after this time without another change")
    max_hold_off: float = Field(0.5, ge=0, le=60, description="publish it after this time at the latest")
    audit_interval: float = Field(
        30.0, ge=1, le=3600, description="between two checks that the published ConfigMaps are as they were written"
    )

    lease_namespace: str = Field(
        _LEASE,
        validation_alias=AliasChoices(f"{PREFIX}LEASE_NAMESPACE", "POD_NAMESPACE"),
        pattern=_LABEL,
        max_length=63,
        description="namespace of the active operator's Lease; in a pod its own, POD_NAMESPACE",
    )
    lease_name: str = Field(
        "",
        pattern=rf"^$|{_LABEL}",
        max_length=63,
        description="its name; empty = inferway-operator, or inferway-operator-<gateway> if the gateway has another name",
    )
    lease_duration: int = Field(
        15, ge=7, le=600, description="time without renewal after which another operator takes over"
    )
    renew_deadline: float = Field(
        10.0, ge=2, le=600, description="time without renewal after which the active operator stops"
    )
    retry_period: float = Field(2.0, ge=1, le=60, description="time between two renewals, or attempts")
    identity: str = Field(
        "", max_length=200, description="name of this process in the Lease, before a UUID; empty = host name"
    )

    @field_validator("namespaces", "allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("hostname_policy", mode="before")
    @classmethod
    def _parse(cls, value: object) -> object:
        return _parsed(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_policy(self) -> Self:
        if self.hostname_policy is not None and self.hostname_policy_file is not None:
            raise ValueError("set hostname_policy or hostname_policy_file, not both")
        _ = self.world  # reads the file, so that an error in it is reported when the process starts
        return self

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if self.max_hold_off < self.hold_off:
            raise ValueError("max_hold_off must not be below hold_off")
        # There must be time for a second attempt, and for the last write.
        if not self.retry_period * 1.2 < self.renew_deadline < self.lease_duration:
            raise ValueError("the times of the Lease must be retry_period * 1.2 < renew_deadline < lease_duration")
        if not self.lease_duration - self.renew_deadline > WRITE_SECONDS:
            raise ValueError(
                f"lease_duration - renew_deadline must be above {WRITE_SECONDS:g} s, the time limit of the last write of an"
                f" operator that stops; set a longer lease_duration, or a renew_deadline below"
                f" {self.lease_duration - WRITE_SECONDS:g}"
            )
        return self

    @model_validator(mode="after")
    def _check_lease_namespace(self) -> Self:
        if self.lease_namespace == self.namespace:
            raise ValueError(
                f"lease_namespace must not be the data plane's namespace, {self.namespace}: its pods may write Leases there,"
                " and so could take the operator's; use a namespace of its own for the operator"
            )
        return self

    @cached_property
    def world(self) -> world.Settings:
        """Settings of the compiler. `OSError` or `ValueError` for an unusable policy file."""
        policy = self.hostname_policy
        if self.hostname_policy_file is not None:
            policy = _POLICY.validate_python(_parsed(self.hostname_policy_file.read_text()))
        return world.Settings(allowed_hosts=self.allowed_hosts, hostname_policy=policy, bounds=self._bounds())

    def _bounds(self) -> bounds.Bounds:
        of_namespace, of_all = (
            bounds.Usage(**{name: getattr(self, f"{scope}_{name}") for name in bounds.Usage._fields})
            for scope in ("namespace", "total")
        )
        return bounds.Bounds(self.route_patterns, of_namespace, of_all)

    def selector(self, kind: str = "") -> str:
        """Return the label selector of the gateway's objects; for Pods the configured one."""
        if kind == "pods" and self.pod_selector:
            return self.pod_selector
        return f"{GATEWAY_LABEL}={self.gateway}"

    @property
    def lease(self) -> str:
        """Name of the Lease; operators of two gateways must not share it."""
        return self.lease_name or _LEASE + ("" if self.gateway == _GATEWAY else f"-{self.gateway}")

    @cached_property
    def holder(self) -> str:
        """Identity of this process in the Lease; with a shared one two processes would lead."""
        return unique_identity(self.identity or socket.gethostname())

    def watches(self, namespace: str) -> bool:
        """Return whether resources of the namespace count."""
        return not self.namespaces or namespace in self.namespaces


class HttpSettings(BaseSettings):
    """Addresses of probes, metrics and the admission webhook. The default addresses are loopback's."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    listen: str = Field("127.0.0.1:9091", description="address:port of probes and metrics; port 0 takes a free one")
    webhook_listen: str = Field("127.0.0.1:9443", description="address:port of the admission webhook, if it has TLS")
    webhook_cert: Path | None = Field(None, description="PEM certificate chain of the webhook; none = no webhook")
    webhook_key: Path | None = Field(None, description="its key, PEM")
    webhook_client_ca: Path | None = Field(
        None,
        description="PEM certificates of an authority: the webhook's clients need a certificate by it; none = any client",
    )

    @property
    def webhook_pair(self) -> tuple[Path, Path] | None:
        """Certificate chain and key, or None without a webhook."""
        if self.webhook_cert is None or self.webhook_key is None:
            return None
        return self.webhook_cert, self.webhook_key

    @field_validator("webhook_cert", "webhook_key", "webhook_client_ca", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value  # a manifest without a webhook sets the empty string

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.webhook_cert is None) != (self.webhook_key is None):
            raise ValueError("webhook_cert and webhook_key go together: set both, or none for no webhook")
        if self.webhook_client_ca is not None and self.webhook_cert is None:
            raise ValueError(
                "webhook_client_ca needs webhook_cert and webhook_key: clients have certificates only with TLS"
            )
        return self

    @field_validator("listen", "webhook_listen")
    @classmethod
    def _listener(cls, value: str) -> str:
        address_and_port(value)
        return value


def refuse_unknown(names: Iterable[str]) -> None:
    """Raise `ValueError` for environment variables that look like settings of the operator and are not."""
    settings = [f"{PREFIX}{name.upper()}" for model in (OperatorSettings, HttpSettings) for name in model.model_fields]
    unknown_settings.refuse_unknown(names, PREFIX, settings)


def _parsed(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"is neither JSON nor YAML: {error}") from None
