"""Check of environment variables: a name with a plane's prefix that is not a setting is an error, not ignored.

Kubernetes adds variables to every container for each Service in its namespace, such as `INFERWAY_WEB_SERVICE_HOST` for
`inferway-web`. They are ignored.
"""

import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Final

_HOST: Final = "_SERVICE_HOST"
_OF_A_SERVICE: Final = re.compile(
    r"_SERVICE_HOST|_SERVICE_PORT(_\w+)?|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?"
)
"""Suffixes after the Service's name."""


def refuse_unknown(names: Iterable[str], prefix: str, settings: Collection[str]) -> None:
    """Raise `ValueError` with each unknown name and the setting most similar to it. `settings`: names in upper case."""
    prefixed = sorted(name for name in names if name.upper().startswith(prefix))
    services = [name.removesuffix(_HOST) for name in prefixed if name.endswith(_HOST)]
    errors = [
        f"unknown setting {name}; did you mean {get_close_matches(name.upper(), settings, n=1, cutoff=0.0)[0]}?"
        for name in prefixed
        if name.upper() not in settings and not _is_of_a_service(name, services)
    ]
    if errors:
        raise ValueError("; ".join(errors))


def _is_of_a_service(name: str, services: Iterable[str]) -> bool:
    return any(name.startswith(service) and _OF_A_SERVICE.fullmatch(name.removeprefix(service)) for service in services)
