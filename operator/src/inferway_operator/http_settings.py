"""Settings of the operator's own HTTP server: environment `INFERWAY_OPERATOR_*`. Standard addresses are loopback's."""

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from inferway_contract.listener import address_and_port


class HttpSettings(BaseSettings):
    """Where probes, metrics and the admission webhook are."""

    model_config = SettingsConfigDict(env_prefix="INFERWAY_OPERATOR_", frozen=True)

    listen: str = Field("127.0.0.1:9091", description="address:port of probes and metrics; port 0 takes a free one")
    webhook_listen: str = Field("127.0.0.1:9443", description="address:port of the admission webhook, when it has TLS")
    webhook_cert: Path | None = Field(None, description="PEM certificate chain of the webhook; none = no webhook")
    webhook_key: Path | None = Field(None, description="its key, PEM")

    @property
    def webhook_pair(self) -> tuple[Path, Path] | None:
        """Certificate chain and key, or None when there is to be no webhook."""
        if self.webhook_cert is None or self.webhook_key is None:
            return None
        return self.webhook_cert, self.webhook_key

    @field_validator("webhook_cert", "webhook_key", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value  # what a manifest writes that wants no webhook

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.webhook_cert is None) != (self.webhook_key is None):
            raise ValueError("webhook_cert and webhook_key go together: give both, or none for no webhook")
        return self

    @field_validator("listen", "webhook_listen")
    @classmethod
    def _listener(cls, value: str) -> str:
        address_and_port(value)
        return value
