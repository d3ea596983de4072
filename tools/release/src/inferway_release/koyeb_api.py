"""Koyeb's API: creates or updates an app and its service, and waits for the deployment.

Every request has a timeout. No request is repeated, because creating an object twice costs money.
"""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any, Final

from inferway_release.koyeb_definition import SERVICE, NotDeployable, Wish, definition

URL: Final = "https://app.koyeb.com"
TIMEOUT: Final = 30.0
"""Seconds for one request."""
PATIENCE: Final = 600.0
"""Seconds until a deployment must be healthy."""
PAUSE: Final = 5.0
"""Seconds between two reads of the deployment."""
LOST: Final = frozenset({"UNHEALTHY", "ERROR", "ERRORING", "STOPPED", "STOPPING", "CANCELED", "CANCELING", "STASHED"})
"""A deployment in one of these states never becomes healthy."""


class Koyeb:
    """A client of the API with a token, which is never part of a message."""

    def __init__(self, token: str, url: str = URL) -> None:
        self._url = url
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    def ask(self, method: str, path: str, body: object = None, **query: str) -> Any:
        """Return the JSON of the answer. Raises `NotDeployable` with Koyeb's message, or if Koyeb cannot be reached."""
        target = f"{self._url}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(target, data, self._headers, method=method)  # noqa: S310 - URL is https
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read(2000).decode(errors="replace")
            raise NotDeployable(f"Koyeb answers {method} {path} with {error.code}: {text}") from None
        except (OSError, ValueError) as error:
            raise NotDeployable(f"Koyeb cannot be reached ({method} {path}): {error}") from error

    def named(self, kind: str, name: str, **query: str) -> Any | None:
        """Return the app or service of exactly this name; Koyeb's own filter also matches parts of names."""
        candidates = self.ask("GET", f"/v1/{kind}", name=name, limit="100", **query).get(kind) or []
        return next((one for one in candidates if one["name"] == name), None)


def deploy(koyeb: Koyeb, app: str, wish: Wish) -> str:
    """Create or update the service; returns the id of the new deployment."""
    there = koyeb.named("apps", app) or koyeb.ask("POST", "/v1/apps", {"name": app})["app"]
    wanted = definition(wish)
    service = koyeb.named("services", SERVICE, app_id=there["id"])
    if service is None:
        answer = koyeb.ask("POST", "/v1/services", {"app_id": there["id"], "definition": wanted})
    else:
        answer = koyeb.ask("PUT", f"/v1/services/{service['id']}", {"definition": wanted})
    return str(answer["service"]["latest_deployment_id"])


def wait_until_healthy(
    koyeb: Koyeb, deployment: str, *, patience: float = PATIENCE, pause: Callable[[float], None] = time.sleep
) -> None:
    """Wait until a deployment is healthy. Raises `NotDeployable` if not; the previous one then continues to serve."""
    end = time.monotonic() + patience
    while True:
        state = koyeb.ask("GET", f"/v1/deployments/{deployment}")["deployment"]
        status = state["status"]
        if status == "HEALTHY":
            return
        why = "; ".join(state.get("messages") or []) or "no message from Koyeb"
        if status in LOST:
            raise NotDeployable(f"deployment {deployment} is {status}: {why}")
        if time.monotonic() > end:
            raise NotDeployable(f"deployment {deployment} is still {status} after {patience:.0f} s: {why}")
        pause(PAUSE)
