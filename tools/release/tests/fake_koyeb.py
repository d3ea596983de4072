"""A fake of Koyeb's API with the parts that a deployment needs, on loopback."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "t0ken-of-the-test"


class FakeKoyeb(ThreadingHTTPServer):
    """Apps, services and deployments in memory. Its filter by name matches parts of names, as Koyeb's does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.apps: list[dict[str, Any]] = [{"id": "app-other", "name": "inferway-other"}]
        self.services: list[dict[str, Any]] = [{"id": "s-other", "name": "gateway", "app_id": "app-other"}]
        self.statuses = ["PENDING", "STARTING", "HEALTHY"]
        self.asked: list[str] = []
        self.refuse: int | None = None

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        """Return Koyeb's answer."""
        self.asked.append(f"{method} {path}")
        match method, path.strip("/").split("/")[1:]:
            case "GET", ["apps"]:
                return {"apps": [one for one in self.apps if query["name"] in one["name"]]}
            case "POST", ["apps"]:
                self.apps.append({"id": "app-1", "name": body["name"]})
                return {"app": self.apps[-1]}
            case "GET", ["services"]:
                return {"services": [one for one in self.services if one["app_id"] == query["app_id"]]}
            case "POST", ["services"]:
                service = {"id": "s-1", "name": body["definition"]["name"], **body, "latest_deployment_id": "d-1"}
                self.services.append(service)
                return {"service": service}
            case "PUT", ["services", identifier]:
                changed = next(one for one in self.services if one["id"] == identifier)
                changed.update(body, latest_deployment_id="d-2")
                return {"service": changed}
            case "GET", ["deployments", identifier]:
                status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
                return {"deployment": {"id": identifier, "status": status, "messages": ["port 8080 is closed"]}}
        raise AssertionError((method, path))


class Handler(BaseHTTPRequestHandler):
    """The HTTP handler."""

    server: FakeKoyeb

    def log_message(self, *args: object) -> None:
        """Print nothing."""

    def _serve(self) -> None:
        target = urlsplit(self.path)
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        allowed = self.headers["authorization"] == f"Bearer {TOKEN}"
        status = self.server.refuse or (200 if allowed else 401)
        query = {name: values[0] for name, values in parse_qs(target.query).items()}
        content = self.server.answer(self.command, target.path, query, body) if status == 200 else {"message": "no"}
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = _serve  # noqa: N815
