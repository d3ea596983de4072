"""The requests to the API server, from its audit log: one line of JSON for each answered request.

A line is written before its request's answer is complete, so the line exists when a client has the answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
"""
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


class Mark(NamedTuple):
    """A place in the log, and when it was its end."""

    position: int = 0
    """Bytes."""
    at: str = ""
    """As `Request.at`."""


BEGINNING = Mark()


@dataclass(frozen=True)
class Request:
    """One request. A watch is logged when it has ended."""

    user: str
    verb: str
    """get, list, watch, create, update, patch, delete, deletecollection"""
    resource: str
    """Plural, with the subresource: `pods`, `gatewayroutes/status`."""
    namespace: str
    name: str
    """Empty for list, watch and deletecollection, and for a create whose object is named in its body only."""
    code: int
    """The status of the answer; 0 without an answer."""
    agent: str
    uri: str
    at: str
    """Time of arrival: RFC 3339, microseconds, UTC."""


def read(log: Path, since: Mark) -> Iterator[Request]:
    """Return the requests in the log after a mark. A last line that is still being written is excluded."""
    if not log.exists():
        return
    with log.open("rb") as file:
        file.seek(since.position)
        for line in file:
            if line.endswith(b"\n"):
                yield request(json.loads(line))


def request(event: dict[str, Any]) -> Request:
    """Parse one line of the log."""
    target = event.get("objectRef", {})
    parts = [target.get("resource", ""), target.get("subresource", "")]
    return Request(
        user=event["user"].get("username", ""),
        verb=event["verb"],
        resource="/".join(part for part in parts if part),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        code=event.get("responseStatus", {}).get("code", 0),
        agent=event.get("userAgent", ""),
        uri=event["requestURI"],
        at=event["requestReceivedTimestamp"],
    )
