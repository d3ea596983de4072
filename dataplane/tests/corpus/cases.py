"""The corpus as it is written: YAML files by subject, one mapping for each message.

Text is Latin-1: `"\\xff"` is the byte 0xff. `raw` and `body` are text, or a list of pieces, where a piece may be
`{repeat: text, times: n}`, so that large messages stay small files. README.md in this folder describes all fields.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import yaml

_HERE: Final = Path(__file__).parent

Verdict = Literal["accept", "refuse", "close", "cut"]
Fate = Literal["pass", "bad", "abort"]

NEXT: Final = b"GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"
"""Sent after every message that must be refused: the gateway and the upstream must never read it as a request."""


@dataclass(frozen=True)
class ExpectedRequest:
    """A request that the upstream must see. `has`: fields by lower-case name; `lacks`: names that must not be there."""

    method: str
    target: str
    body: bytes = b""
    has: dict[str, str] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class RequestCase:
    """What one client sends on one connection, and what must become of it."""

    id: str
    subject: str
    source: str
    raw: bytes
    verdict: Verdict
    statuses: tuple[tuple[int, ...], ...]
    """What each answer's status may be, in order; of `close` and `cut` the last one may be missing."""
    upstream: tuple[ExpectedRequest, ...]
    begins: bool = False
    """The upstream may see the beginning of a request (never a complete one) besides `upstream`."""
    keeps: bool = False
    """Whether the connection stays open after the refusal: the message is well framed."""
    known: str = ""
    """Why the gateway does not do so yet."""

    @property
    def is_legal(self) -> bool:
        """Whether the message's framing must be accepted."""
        return self.verdict == "accept"

    @property
    def sent(self) -> bytes:
        """What goes over the wire."""
        return self.raw + NEXT if self.verdict == "refuse" and not self.keeps else self.raw


@dataclass(frozen=True)
class ResponseCase:
    """What one upstream answers to one request, and what must become of it."""

    id: str
    subject: str
    source: str
    raw: bytes
    fate: Fate
    method: str = "GET"
    closes: bool = False
    """The upstream closes its connection after these bytes."""
    status: int = 502
    body: bytes = b""
    has: dict[str, str] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()
    interim: tuple[int, ...] = ()
    reused: bool | None = False
    """The upstream connection carries on; None = as the proxy likes."""
    known: str = ""


def request_cases() -> list[RequestCase]:
    """All requests, in the order of the files."""
    return [_request(subject, entry) for subject, entry in _entries("requests")]


def response_cases() -> list[ResponseCase]:
    """All responses, in the order of the files."""
    return [_response(subject, entry) for subject, entry in _entries("responses")]


def _entries(folder: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        (path.stem, dict(entry))
        for path in sorted((_HERE / folder).glob("*.yaml"))
        for entry in yaml.safe_load(path.read_text("utf-8"))
    ]


def _request(subject: str, entry: dict[str, Any]) -> RequestCase:
    upstream = [_expected(wanted) for wanted in entry.pop("upstream", ())]
    served: list[tuple[int, ...]] = [(200,)] * len(upstream)
    (verdict,) = {"accept", "refuse", "close", "cut"} & entry.keys()
    allowed = entry.pop(verdict)
    if verdict == "accept":
        upstream = [_expected(wanted) for wanted in allowed]
        statuses = entry.pop("status", None)
        served = [(200,)] * len(upstream) if statuses is None else [(status,) for status in statuses]
    elif verdict == "refuse":
        served.append(tuple(allowed))
    return RequestCase(
        subject=subject,
        raw=_bytes(entry.pop("raw")),
        verdict=verdict,
        statuses=tuple(served),
        upstream=tuple(upstream),
        **entry,
    )


def _response(subject: str, entry: dict[str, Any]) -> ResponseCase:
    (fate,) = {"pass", "bad", "abort"} & entry.keys()
    answer = entry.pop(fate)
    if fate == "pass":
        entry["status"], entry["body"] = answer[0], _bytes(answer[1])
        entry.setdefault("reused", True)
    for name in ("lacks", "interim"):
        entry[name] = tuple(entry.get(name, ()))
    return ResponseCase(subject=subject, raw=_bytes(entry.pop("raw")), fate=fate, **entry)


def _expected(entry: str | dict[str, Any]) -> ExpectedRequest:
    """`GET /target`, `POST /target body`, or a mapping with `request`, and `body`, `has`, `lacks`."""
    values = {"request": entry} if isinstance(entry, str) else dict(entry)
    method, target, *body = _bytes(values["request"]).decode("latin-1").split(" ", 2)
    return ExpectedRequest(
        method,
        target,
        _bytes(values["body"]) if "body" in values else "".join(body).encode("latin-1"),
        values.get("has", {}),
        tuple(values.get("lacks", ())),
    )


def _bytes(pieces: str | list[Any]) -> bytes:
    if isinstance(pieces, str):
        return pieces.encode("latin-1")
    return b"".join(
        piece.encode("latin-1") if isinstance(piece, str) else piece["repeat"].encode("latin-1") * piece["times"]
        for piece in pieces
    )
