"""The environment: names that begin like ours and are no setting are refused, for a mistyped one would say nothing.

Kubernetes itself adds some to every container, when a Service in its namespace is called `inferway-operator` or
`inferway-operator-<something>`: its host and ports. They are let pass.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from inferway_operator.http_settings import HttpSettings
from inferway_operator.settings import OperatorSettings

PREFIX: Final = "INFERWAY_OPERATOR_"
_HOST: Final = "_SERVICE_HOST"
_OF_A_SERVICE: Final = re.compile(
    r"_SERVICE_HOST|_SERVICE_PORT(_\w+)?|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?"
)
"""What follows the Service's name."""


def refuse_unknown(names: Iterable[str]) -> None:
    """`ValueError` that tells each name that is no setting, and which one it may be meant to be."""
    known = [f"{PREFIX}{name.upper()}" for model in (OperatorSettings, HttpSettings) for name in model.model_fields]
    ours = sorted(name for name in names if name.upper().startswith(PREFIX))
    services = [name.removesuffix(_HOST) for name in ours if name.endswith(_HOST)]
    told = [_told(name, known) for name in ours if name.upper() not in known and not _is_of_a_service(name, services)]
    if told:
        raise ValueError("; ".join(told))


def _is_of_a_service(name: str, services: Iterable[str]) -> bool:
    return any(name.startswith(of) and _OF_A_SERVICE.fullmatch(name.removeprefix(of)) for of in services)


def _told(name: str, known: list[str]) -> str:
    near = get_close_matches(name.upper(), known, n=1, cutoff=0.0)
    return f"{name} is no setting of the operator; the nearest is {near[0]}"
