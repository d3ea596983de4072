"""Requests and answers as bytes, for tests that send what no client library would."""

from __future__ import annotations

import re


def head(*lines: str, target: str = "/", method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    """Return a request head with these field lines, in Latin-1."""
    return "\r\n".join([f"{method} {target} {version}", *lines, "", ""]).encode("latin-1")


def statuses(data: bytes) -> list[int]:
    """Return the statuses of the answers in the received bytes."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]


def codes(data: bytes) -> list[str]:
    """Return the codes of the problems in the received bytes."""
    return [code.decode() for code in re.findall(rb'"code":"(\w+)"', data)]
