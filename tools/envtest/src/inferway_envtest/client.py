"""Requests to the API server as its admin: JSON in both directions."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import httpx

TIMEOUT = 20.0  # seconds


class Refused(Exception):  # noqa: N818 - the name of the condition
    """An answer of 400 or more. `status` is its Status object, if the server sent one."""

    def __init__(self, code: int, status: dict[str, Any], text: str) -> None:
        super().__init__(f"{code}: {status.get('message', text)}")
        self.code = code
        self.status = status


class Asker:
    """A client with one user's token. Threads may share it."""

    def __init__(self, url: str, authority: Path, token: str) -> None:
        context = ssl.create_default_context(cafile=str(authority))
        self._client = httpx.Client(
            base_url=url, verify=context, headers={"authorization": f"Bearer {token}"}, timeout=TIMEOUT, trust_env=False
        )

    def ask(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json", accept: str = "*/*"
    ) -> Any:
        """Send one request and return the answer's JSON, or its text. Raises `Refused`, and httpx's errors."""
        answer = self._client.request(method, path, json=body, headers={"content-type": content_type, "accept": accept})
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        content = answer.json() if is_json else answer.text
        if answer.is_error:
            raise Refused(answer.status_code, content if isinstance(content, dict) else {}, answer.text)
        return content

    def close(self) -> None:
        """Close its connections."""
        self._client.close()
