"""Requests to servers on loopback, each on a connection of its own."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass

from inferway_testing.until import DEADLINE


@dataclass
class Response:
    """What a client received."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def code(self) -> str:
        """Of a problem. Raises `AssertionError` if this is not one."""
        assert self.headers["content-type"] == "application/problem+json", (self.status, self.body)
        return str(json.loads(self.body)["code"])


def request(
    port: int,
    path: str = "/",
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = DEADLINE,
) -> Response:
    """Send a request. `timeout`: seconds for each step."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return Response(response.status, response.headers, response.read())
    finally:
        connection.close()


def ask(
    port: int, path: str = "/", headers: Mapping[str, str] | None = None, timeout: float = DEADLINE
) -> tuple[int, bytes]:
    """Send a GET; the status and the body of the response."""
    response = request(port, path, headers=headers, timeout=timeout)
    return response.status, response.body
