"""Settings of the operator's process: environment `INFERWAY_OPERATOR_*`.

Defaults are safe without tuning. Durations are seconds.
"""

import os
import socket
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Self

import yaml
from pydantic import Field, TypeAdapter, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from inferway_contract.acknowledgement import GATEWAY_LABEL
from inferway_kube.deadlines import Deadlines
from inferway_operator.world import world
from inferway_operator.world.hostname_policy import HostnamePolicy

_WRITE_SECONDS: Final = Deadlines().write
_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_GATEWAY: Final = "inferway"
_LEASE: Final = "inferway-operator"
_POLICY: Final[TypeAdapter[HostnamePolicy]] = TypeAdapter(HostnamePolicy)
Names = Annotated[tuple[str, ...], NoDecode]


class OperatorSettings(BaseSettings):
    """Everything that those who run the operator tell it."""

    model_config = SettingsConfigDict(env_prefix="INFERWAY_OPERATOR_", frozen=True, extra="forbid")

    gateway: str = Field(
        _GATEWAY, pattern=_LABEL, max_length=40, description="name of the gateway: the first part of all ConfigMaps"
    )
    namespace: str = Field(
        "inferway-system", pattern=_LABEL, max_length=63, description="where the data plane runs and reads documents"
    )
    namespaces: Names = Field(
        (),
        description="namespaces whose resources count, separated by commas; empty = all. `kopf run` must be given the same",
    )
    pod_selector: str = Field(
        "", description="label selector of the data plane's Pods; empty = inferway.dev/gateway=<gateway>"
    )
    allowed_hosts: Names = Field(
        (),
        description="hosts that the url of a backendRef may name, separated by commas; `*.example.com` for all below",
    )
    hostname_policy: Annotated[HostnamePolicy | None, NoDecode] = Field(
        None,
        description="who may claim which hostname: a list of {namespaces, namespaceLabels, hostnames} as JSON or YAML;"
        " absent = everybody everything",
    )
    hostname_policy_file: Path | None = Field(None, description="the same as a file")

    hold_off: float = Field(0.05, ge=0, le=10, description="a change is published when nothing followed it for so long")
    max_hold_off: float = Field(0.5, ge=0, le=60, description="and at the latest after this")
    audit_interval: float = Field(
        30.0, ge=1, le=3600, description="between two looks whether the published ConfigMaps are as they were written"
    )

    lease_namespace: str = Field(
        _LEASE, pattern=_LABEL, max_length=63, description="where the Lease of the active operator is"
    )
    lease_name: str = Field(
        "",
        pattern=rf"^$|{_LABEL}",
        max_length=63,
        description="its name; empty = inferway-operator, and inferway-operator-<gateway> of a gateway with another name",
    )
    lease_duration: int = Field(
        15, ge=7, le=600, description="another operator takes over after so long without renewal"
    )
    renew_deadline: float = Field(
        10.0, ge=2, le=600, description="the active one stops when it could not renew for this"
    )
    retry_period: float = Field(2.0, ge=1, le=60, description="between two renewals, or attempts")
    identity: str = Field("", description="of this process in the Lease; empty = host name and process id")

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
            raise ValueError("give hostname_policy or hostname_policy_file, not both")
        _ = self.world  # the file is read once here, so that a mistake in it is told when the process starts
        return self

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if self.max_hold_off < self.hold_off:
            raise ValueError("max_hold_off must not be below hold_off")
        # There must be time for a second attempt, and for the last write.
        if not self.retry_period * 1.2 < self.renew_deadline < self.lease_duration:
            raise ValueError("the times of the Lease must be retry_period * 1.2 < renew_deadline < lease_duration")
        if not self.lease_duration - self.renew_deadline > _WRITE_SECONDS:
            raise ValueError(
                f"lease_duration - renew_deadline must be above {_WRITE_SECONDS:g} s, which the last write of the one that"
                f" stops may take; give a longer lease_duration, or a renew_deadline below"
                f" {self.lease_duration - _WRITE_SECONDS:g}"
            )
        return self

    @model_validator(mode="after")
    def _check_lease_namespace(self) -> Self:
        if self.lease_namespace == self.namespace:
            raise ValueError(
                f"lease_namespace must not be the data plane's namespace, {self.namespace}: its pods may write Leases there,"
                " and so could take the operator's; give the operator a namespace of its own"
            )
        return self

    @cached_property
    def world(self) -> world.Settings:
        """What the compiler is told. The file of the hostname policy is read once."""
        policy = self.hostname_policy
        if self.hostname_policy_file is not None:
            policy = _POLICY.validate_python(_parsed(self.hostname_policy_file.read_text()))
        return world.Settings(allowed_hosts=self.allowed_hosts, hostname_policy=policy)

    def selector(self, kind: str = "") -> str:
        """Label selector of what belongs to the gateway: of its Pods the one that was set."""
        if kind == "pods" and self.pod_selector:
            return self.pod_selector
        return f"{GATEWAY_LABEL}={self.gateway}"

    @property
    def lease(self) -> str:
        """Name of the Lease. Of each gateway another, or the operator of a second one would wait for the first's for ever."""
        return self.lease_name or _LEASE + ("" if self.gateway == _GATEWAY else f"-{self.gateway}")

    @property
    def holder(self) -> str:
        """Who this process is. Two processes must never share it: both would think that they lead."""
        return self.identity or f"{socket.gethostname()}-{os.getpid()}"

    def watches(self, namespace: str) -> bool:
        """Whether resources of the namespace count."""
        return not self.namespaces or namespace in self.namespaces


def _parsed(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"is neither JSON nor YAML: {error}") from None
