"""The hostnames of a route, as far as they can be read: an invalid one protects the hosts that it may have meant."""

import re
from typing import Final

from pydantic import TypeAdapter, ValidationError

from inferway_contract.resources.model import Hostname

_HOSTNAME: TypeAdapter[str] = TypeAdapter(Hostname)
# Of `https://User@Host.example.com.:8443/path` only the host counts.
_AROUND: Final = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?(?:[^/@]*@)?([^/:?#@]*)(?:[:/?#].*)?", re.DOTALL)


def read(raw: object) -> tuple[str, ...] | None:
    """Return the hostnames; () = every host, None = no part of any can be read.

    Of an invalid one the closest valid form is kept: in lower case, without scheme, port and path, else the domain that it is
    in, with everything below.
    """
    names = raw if isinstance(raw, list) else [raw]
    if not names:
        return ()
    readable = [readable for name in names if (readable := _readable(name)) is not None]
    if "" in readable:
        return ()
    return tuple(dict.fromkeys(readable)) or None


def _readable(name: object) -> str | None:
    if not isinstance(name, str):
        return None
    if _is_valid(name):
        return name
    around = _AROUND.fullmatch(name.strip().lower())
    host = around[1].strip().rstrip(".") if around is not None else ""
    if host == "*":
        return ""
    labels = host.split(".")
    candidates = [host, *("*." + ".".join(labels[index:]) for index in range(1, len(labels) - 1))]
    return next((candidate for candidate in candidates if _is_valid(candidate)), None)


def _is_valid(name: str) -> bool:
    try:
        _HOSTNAME.validate_python(name)
    except ValidationError:
        return False
    return True
