"""Every setting, from the environment (`SERVICE_PYTHON_PORT=8001`) or the command line (`--port 8001`, which wins)."""

import re
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service_python.latency import Distribution, Profile

DEFAULT_PORT = 8000

# Kubernetes sets environment variables in every pod for every Service of its namespace. For a Service called
# service-python it sets SERVICE_PYTHON_PORT=tcp://10.96.0.7:8000, which is also the name of a setting.
_SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://")


LogLevel = Literal["debug", "info", "warning", "error"]
"""The lowest level of written records."""


class Settings(BaseSettings):
    """A FastAPI upstream that simulates inference."""

    model_config = SettingsConfigDict(
        env_prefix="SERVICE_PYTHON_",
        frozen=True,
        cli_prog_name="python -m service_python",
        cli_kebab_case=True,
        cli_hide_none_type=True,
        cli_show_env_vars=True,
    )

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(
        default=DEFAULT_PORT, ge=0, le=65535, description="TCP port; 0: the kernel chooses, and the log shows the port."
    )
    stop_timeout_seconds: int = Field(
        default=10, ge=0, le=3600, description="How long requests in flight may take to finish on SIGTERM."
    )
    log_level: LogLevel = Field(
        default="info", description="At debug, requests for /healthz and /metrics are logged too."
    )

    distribution: Distribution = Field(default="lognormal", description="Shape of the simulated latency.")
    latency_ms: float = Field(
        default=20.0,
        ge=0,
        le=600_000,
        allow_inf_nan=False,
        description="Milliseconds: the median (lognormal), the mean (uniform, exponential), the value (constant).",
    )
    latency_sigma: float = Field(
        default=0.25, ge=0, le=5, allow_inf_nan=False, description="Spread of lognormal; 0.25: p99 is 1.8 medians."
    )
    latency_jitter_ms: float = Field(
        default=1.0, ge=0, le=600_000, allow_inf_nan=False, description="Added to each latency: up to +- this."
    )
    latency_max_ms: float = Field(
        default=1000.0, ge=0, le=600_000, allow_inf_nan=False, description="No request waits longer."
    )
    error_rate: float = Field(default=0.0, ge=0, le=1, description="Share of requests for /infer answered by 503.")
    seed: int | None = Field(
        default=None, description="Makes latencies and errors repeat, in order of arrival; not set: unpredictable."
    )

    cache_control: str | None = Field(
        default=None,
        max_length=1024,
        # A header value: visible ASCII and inner spaces. A line break here would be a header of its own.
        pattern=r"^[!-~]([ -~]*[!-~])?$",
        description="Cache-Control of answers to GET /infer; not set: no such header.",
    )

    @field_validator("port", mode="before")
    @classmethod
    def _ignore_service_link(cls, value: object) -> object:
        # Reached only without a flag, which would have precedence. So the default applies.
        if isinstance(value, str) and _SERVICE_LINK.match(value):
            return DEFAULT_PORT
        return value

    def profile(self) -> Profile:
        """Return the part of the settings that `latency.decide` needs."""
        return Profile(
            distribution=self.distribution,
            latency_ms=self.latency_ms,
            sigma=self.latency_sigma,
            jitter_ms=self.latency_jitter_ms,
            max_ms=self.latency_max_ms,
            error_rate=self.error_rate,
        )
