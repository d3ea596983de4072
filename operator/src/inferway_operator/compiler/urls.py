"""Urls of backends: parsed once, here, so that every reader means the same host."""

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from inferway_contract import document, paths

# The resource's own pattern is narrower and was checked before: characters, and the range of ports.
_URL = re.compile(r"(https?)://(\[[^\]]*\]|[^:/]*)(?::([0-9]+))?(/.*)?")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
# WHATWG URL, "ends in a number": resolvers read 0x7f.1, 2130706433 and 127.1 as addresses, each in its own way.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def parse(url: str) -> document.Url:
    """Parse a url: host in lower case and without brackets, path without trailing slashes.

    `ValueError` with the reason if it cannot be used.
    """
    parts = _URL.fullmatch(url)
    if parts is None:
        raise ValueError("not a url: write it like https://models.example.net/v1")
    scheme, host, port, path = parts[1], parts[2], parts[3], (parts[4] or "").rstrip("/")
    try:
        paths.match_path(path.encode())
    except paths.AmbiguousPath as error:
        raise ValueError(f"{error}: upstreams may read it in two ways") from None
    return document.Url(
        scheme="https" if scheme == "https" else "http",
        host=_host(host),
        port=int(port) if port else _DEFAULT_PORTS[scheme],
        path=path,
    )


def _host(text: str) -> str:
    if text.startswith("["):
        try:
            return str(IPv6Address(text[1:-1]))
        except ValueError:
            raise ValueError(f"{text} is not an IPv6 address") from None
    host = text.lower()
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(host))
        except ValueError:
            raise ValueError(f"host {host} ends in a number and is not an IPv4 address") from None
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"host {host[:80]} is not a valid DNS name")
    return host


def is_allowed(host: str, allowed: tuple[str, ...]) -> bool:
    """Return whether an entry is the host, or a `*.example.com` with the host below it."""
    return any(
        host == entry.lower() or (entry.startswith("*.") and host.endswith(entry[1:].lower())) for entry in allowed
    )
