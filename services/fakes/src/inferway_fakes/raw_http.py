"""Requests as bytes, and what a client received, for tests that write what no client library would."""

from __future__ import annotations

import re


def head(*lines: str, target: str = "/", method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    """A request head from its field lines, in Latin-1."""
    return "\r\n".join([f"{method} {target} {version}", *lines, "", ""]).encode("latin-1")


def statuses(data: bytes) -> list[int]:
    """The statuses of the answers in what was received."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]


def codes(data: bytes) -> list[str]:
    """The codes of the problems in what was received."""
    return [code.decode() for code in re.findall(rb'"code":"(\w+)"', data)]
