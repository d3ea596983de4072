"""One metric and one log line per request, with any outcome. Replaces uvicorn's access log."""

import logging
import time

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service_python import logs
from service_python.metrics import Metrics

# A probe every second and a scrape every fifteen would be most of the log, without information.
QUIET_PATHS = frozenset({"/healthz", "/metrics"})

# Bounds the length of a log line. Query strings (prompts) are not logged at all.
MAX_LOGGED_CHARACTERS = 256


class Observing:
    """ASGI middleware; it must be outside all code that can answer or fail."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        # The server's answer if the application raises, or is cancelled, before its own answer has begun.
        status = 500

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started = time.perf_counter()
        with self._metrics.in_flight.track_inprogress():
            try:
                await self._app(scope, receive, send_noted)
            finally:
                self._settle(scope, status, time.perf_counter() - started)

    def _settle(self, scope: Scope, status: int, seconds: float) -> None:
        # Routing stores the selected route in the scope, even if the method is wrong (405); none for a 404.
        template = getattr(scope.get("route"), "path", None)
        self._metrics.count(method=scope["method"], path=template, status=status, seconds=seconds)

        level = logging.DEBUG if template in QUIET_PATHS else logging.WARNING if status >= 500 else logging.INFO
        if not logs.logger.isEnabledFor(level):
            return
        request_id = Headers(scope=scope).get("x-request-id")
        logs.write(
            level,
            "request",
            request_id=None if request_id is None else request_id[:MAX_LOGGED_CHARACTERS],
            method=scope["method"][:MAX_LOGGED_CHARACTERS],
            path=scope["path"][:MAX_LOGGED_CHARACTERS],
            status=status,
            duration_ms=round(seconds * 1000, 3),
        )
