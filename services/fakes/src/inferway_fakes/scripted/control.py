"""The control paths: `/_fake/mode` and `/_fake/stats`."""

from __future__ import annotations

import json
from typing import Protocol

from inferway_fakes.scripted import heads, modes
from inferway_fakes.scripted.stats import Stats

PREFIX = b"/_fake/"
_JSON = ("content-type", "application/json")


class Controlled(Protocol):
    """The server's state that control requests read and change."""

    name: str
    mode: modes.Mode
    stats: Stats


def answer(server: Controlled, method: bytes, target: bytes, body: bytes) -> bytes:
    """Return the whole answer to a control request."""
    path = target.partition(b"?")[0]
    if path == b"/_fake/mode":
        if method == b"PUT":
            try:
                server.mode = modes.read(body)
            except modes.UnreadableModeError as error:
                return _document(400, {"error": str(error)})
            return _document(200, server.mode.model_dump(by_alias=True))
        if method == b"DELETE":
            server.mode = modes.Mode()
        if method in (b"GET", b"DELETE"):
            return _document(200, server.mode.model_dump(by_alias=True))
        return _document(405, {"error": "GET, PUT or DELETE"})
    if path == b"/_fake/stats":
        if method != b"GET":
            return _document(405, {"error": "GET"})
        return _document(200, {"name": server.name, **server.stats.document()})
    return _document(404, {"error": "the control paths are /_fake/mode and /_fake/stats"})


def _document(status: int, document: dict[str, object]) -> bytes:
    body = json.dumps(document).encode() + b"\n"
    return heads.head(status, [_JSON, ("content-length", str(len(body)))]) + body
