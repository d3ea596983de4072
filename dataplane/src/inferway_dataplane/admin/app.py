"""The admin port: probes, metrics, and what the process knows about itself. Never on the data port."""

import json
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import exposition
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from inferway_contract.canonical import canonical
from inferway_dataplane.admin import backends as admin_backends
from inferway_dataplane.admin import metrics

if TYPE_CHECKING:
    from inferway_dataplane.main import DataPlane


_STANDSTILL: Final = 5.0
"""Seconds without a turn of the wheel after which the process is not alive; it turns four times a second."""


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application of the data port, which is never called: uvicorn wants one."""
    raise RuntimeError("the data port has no ASGI application")


def _copy_served_since(plane: "DataPlane") -> str | None:
    """Since when the last good copy is served and not what is published (RFC 3339); None = it is not."""
    since = plane.source.state.copy_served_since
    return datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if since else None


def app(plane: "DataPlane") -> Starlette:
    """The admin application."""
    gateway = plane.gateway
    registry = metrics.registry(gateway, plane.source)

    async def healthz(request: Request) -> Response:
        """The loop turns, and so does the wheel, on which every time limit hangs."""
        if monotonic() - gateway.clock.coarse_now > _STANDSTILL:
            return PlainTextResponse("the wheel stands still\n", 503)
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        """There is a document, clients can come, and this process goes on serving it."""
        if plane.is_ready_to_drain:
            return PlainTextResponse("ok, draining\n")
        if gateway.is_draining:
            return PlainTextResponse("draining\n", 503)
        if gateway.context.runtime is None:
            return PlainTextResponse(f"{plane.source.waiting}\n", 503)
        if not plane.is_listening:
            return PlainTextResponse("about to listen\n", 503)
        if since := _copy_served_since(plane):
            return PlainTextResponse(f"ok, with the last good copy since {since}\n")
        return PlainTextResponse("ok\n")

    async def scrape(request: Request) -> Response:
        encode, content_type = exposition.choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    async def config(request: Request) -> Response:
        live = gateway.context.runtime
        return JSONResponse(
            {
                "revision": gateway.live.revision,
                "lastError": gateway.live.last_error or plane.source.error,
                "lastGoodSince": _copy_served_since(plane),
                "document": json.loads(canonical(live.config)) if live is not None else None,
                "endpoints": json.loads(canonical(live.endpoints)) if live is not None else None,
            }
        )

    async def backends(request: Request) -> Response:
        now = monotonic()
        rules = gateway.context.runtime.rules if gateway.context.runtime is not None else ()
        return JSONResponse([admin_backends.backends_of(rule, now) for rule in rules if rule.backend_set.backends])

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", scrape),
            Route("/debug/config", config),
            Route("/debug/backends", backends),
        ]
    )
