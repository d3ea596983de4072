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
    """Raise `ValueError` with each unknown name and the most similar setting, if any is near. `settings`: names in upper case."""
    prefixed = sorted(name for name in names if name.upper().startswith(prefix))
    services = [name.removesuffix(_HOST) for name in prefixed if name.endswith(_HOST)]
    errors = [
        f"unknown setting {name}{_hint(name.upper(), prefix, settings)}"
        for name in prefixed
        if name.upper() not in settings and not _is_of_a_service(name, services)
    ]
    if errors:
        raise ValueError("; ".join(errors))


def _hint(name: str, prefix: str, settings: Collection[str]) -> str:
    # Compared behind the prefix, which all of them share.
    known = [setting.removeprefix(prefix) for setting in settings if setting.startswith(prefix)]
    near = get_close_matches(name.removeprefix(prefix), known, n=1)
    return f"; did you mean {prefix}{near[0]}?" if near else ": remove it, or see docs/settings.md"


def _is_of_a_service(name: str, services: Iterable[str]) -> bool:
    return any(name.startswith(service) and _OF_A_SERVICE.fullmatch(name.removeprefix(service)) for service in services)
