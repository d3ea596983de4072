"""The environment: names that begin like a plane's settings and are none are refused, for a mistyped one would say nothing.

Kubernetes itself adds some to every container, when a Service in its namespace is called `inferway-<something>`: its host and
ports. They are let pass.
"""

import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Final

_HOST: Final = "_SERVICE_HOST"
_OF_A_SERVICE: Final = re.compile(
    r"_SERVICE_HOST|_SERVICE_PORT(_\w+)?|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?"
)
"""What follows the Service's name."""


def refuse_unknown(names: Iterable[str], prefix: str, known: Collection[str], whose: str) -> None:
    """`ValueError` that tells each of the names that is no setting, and which one it may be meant to be.

    `known`: names in upper case, all of which begin with the prefix. `whose`: settings of what, for people.
    """
    ours = sorted(name for name in names if name.upper().startswith(prefix))
    services = [name.removesuffix(_HOST) for name in ours if name.endswith(_HOST)]
    told = [
        f"{name} is no setting of {whose}; the nearest is {get_close_matches(name.upper(), known, n=1, cutoff=0.0)[0]}"
        for name in ours
        if name.upper() not in known and not _is_of_a_service(name, services)
    ]
    if told:
        raise ValueError("; ".join(told))


def _is_of_a_service(name: str, services: Iterable[str]) -> bool:
    return any(name.startswith(of) and _OF_A_SERVICE.fullmatch(name.removeprefix(of)) for of in services)
