"""The environment of the operator: names that begin like its settings and are none are refused."""

from collections.abc import Iterable
from typing import Final

from inferway_contract import unknown_settings
from inferway_operator.http_settings import HttpSettings
from inferway_operator.settings import OperatorSettings

PREFIX: Final = "INFERWAY_OPERATOR_"


def refuse_unknown(names: Iterable[str]) -> None:
    """`ValueError` that tells each name that is no setting, and which one it may be meant to be."""
    known = [f"{PREFIX}{name.upper()}" for model in (OperatorSettings, HttpSettings) for name in model.model_fields]
    unknown_settings.refuse_unknown(names, PREFIX, known)
