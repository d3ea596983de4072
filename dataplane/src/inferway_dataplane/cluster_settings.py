"""Settings of a data plane that serves from a cluster, beside those of every data plane (`settings.py`).

Where a pod is, it is told by the downward API: POD_NAME, POD_NAMESPACE and POD_UID are taken as they are.
"""

from collections.abc import Iterable
from typing import Final

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from inferway_contract import unknown_settings
from inferway_dataplane.settings import Settings

_PREFIX: Final = "INFERWAY_"
_OF_THE_OPERATOR: Final = "INFERWAY_OPERATOR_"


class ClusterSettings(BaseSettings):
    """Environment `INFERWAY_*`."""

    model_config = SettingsConfigDict(env_prefix="INFERWAY_", frozen=True, extra="ignore", populate_by_name=True)

    gateway: str = Field(
        "inferway", min_length=1, description="name of the gateway: documents are in ConfigMaps called after it"
    )
    namespace: str = Field(
        min_length=1,
        validation_alias=AliasChoices("INFERWAY_NAMESPACE", "POD_NAMESPACE"),
        description="where those ConfigMaps and the pod's Lease are",
    )
    pod_name: str = Field(
        min_length=1, validation_alias=AliasChoices("INFERWAY_POD_NAME", "POD_NAME"), description="name of the Lease"
    )
    pod_uid: str = Field(
        min_length=1, validation_alias=AliasChoices("INFERWAY_POD_UID", "POD_UID"), description="owner of the Lease"
    )
    kubeconfig: str = Field("", description="a kubeconfig file; empty = as a pod reaches the API server")
    state_directory: str = Field(
        "", description="where the last good documents are kept, such as an emptyDir; empty = nowhere"
    )


def refuse_unknown(names: Iterable[str]) -> None:
    """`ValueError` that tells each name that begins like ours and is no setting. The operator's are its own business."""
    known = [f"{_PREFIX}{name.upper()}" for model in (Settings, ClusterSettings) for name in model.model_fields]
    ours = (name for name in names if not name.upper().startswith(_OF_THE_OPERATOR))
    unknown_settings.refuse_unknown(ours, _PREFIX, known)
