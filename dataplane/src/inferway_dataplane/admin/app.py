"""The admin port: probes, metrics, and the state of the process. None of it is on the data port."""

import asyncio
import json
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final, Protocol

from prometheus_client import exposition
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from inferway_contract.canonical import canonical
from inferway_dataplane.admin import metrics
from inferway_dataplane.core.rule import Rule
from inferway_dataplane.core.upstreams.members import Member
from inferway_dataplane.gateway import Gateway
from inferway_dataplane.sources import Source

_MOST_INVALID: Final = 100
"""Invalid rules that /debug/config names."""
_STANDSTILL: Final = 5.0
"""Seconds without a turn of the wheel after which the process is not alive; it turns four times a second."""


class Process(Protocol):
    """What the admin port shows of the process."""

    @property
    def gateway(self) -> Gateway:
        """Its live runtime, counters, connections."""

    @property
    def source(self) -> Source:
        """Where its documents come from."""

    @property
    def is_listening(self) -> bool:
        """Whether clients can connect."""

    @property
    def is_ready_to_drain(self) -> bool:
        """Whether it drains and `/readyz` still succeeds."""


def _copy_served_since(source: Source) -> str | None:
    """Return since when the copy is served (RFC 3339); None = it is not."""
    since = source.state.copy_served_since
    return datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if since else None


def app(process: Process) -> Starlette:
    """Build the admin application, which is ASGI."""
    gateway, source = process.gateway, process.source
    registry = metrics.registry(gateway, source)

    async def healthz(request: Request) -> Response:
        """200 while the event loop turns, and with it the wheel of all time limits; else 503."""
        if monotonic() - gateway.clock.coarse_now > _STANDSTILL:
            return PlainTextResponse("the wheel stands still\n", 503)
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        """200 while clients can connect and the process will continue to serve a document; else 503 with the reason."""
        if process.is_ready_to_drain:
            return PlainTextResponse("ok, draining\n")
        if gateway.is_draining:
            return PlainTextResponse("draining\n", 503)
        if gateway.context.runtime is None:
            return PlainTextResponse(f"{source.waiting}\n", 503)
        if not process.is_listening:
            return PlainTextResponse("about to listen\n", 503)
        if since := _copy_served_since(source):
            return PlainTextResponse(f"ok, with the last good copy since {since}\n")
        return PlainTextResponse("ok\n")

    async def scrape(request: Request) -> Response:
        """The [metrics](metrics.md#data-plane), in the Prometheus or OpenMetrics format."""
        encode, content_type = exposition.choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    async def config(request: Request) -> Response:
        """JSON: the live revision, the last error, invalid rules, a cluster's `lastGoodSince`, document and endpoints."""
        live = gateway.context.runtime
        return JSONResponse(
            {
                "revision": gateway.live.revision,
                "lastError": gateway.live.last_error or source.error,
                "lastGoodSince": _copy_served_since(source),
                "invalidRules": [item._asdict() for item in gateway.live.invalid_rules()[:_MOST_INVALID]],
                # In a thread, because requests are served meanwhile.
                "document": await asyncio.to_thread(_plain, live.config) if live is not None else None,
                "endpoints": await asyncio.to_thread(_plain, live.endpoints) if live is not None else None,
            }
        )

    async def backends(request: Request) -> Response:
        """JSON: for each rule its requests in flight, and the state of each endpoint of its backends."""
        now = monotonic()
        rules = gateway.context.runtime.rules if gateway.context.runtime is not None else ()
        return JSONResponse([_backends(rule, now) for rule in rules if rule.backend_set.backends])

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", scrape),
            Route("/debug/config", config),
            Route("/debug/backends", backends),
        ]
    )


def _plain(document: BaseModel) -> Any:
    return json.loads(canonical(document))


def _backends(rule: Rule, now: float) -> dict[str, Any]:
    """Return one rule as JSON, without secrets. `now`: monotonic seconds."""
    counters = rule.backend_set.counters
    return {
        "route": rule.route,
        "rule": rule.name,
        "inFlight": counters.in_flight,
        "pending": counters.pending,
        "retrying": counters.retrying,
        "panic": rule.backend_set.is_panic,
        "backends": [
            {
                "name": backend.name,
                "problem": backend.problem.code if backend.problem is not None else "",
                "hasCredential": backend.credential is not None,
                "endpoints": [_endpoint(member, now) for member in backend.members],
            }
            for backend in rule.backend_set.backends
        ],
    }


def _endpoint(member: Member, now: float) -> dict[str, Any]:
    if member.is_unhealthy:
        state = "unhealthy"
    elif member.is_probing:
        state = "probing"
    elif member.is_ejected:
        state = "ejected" if now < member.ejected_until else "due"
    else:
        state = "available"
    return {
        "address": member.name,
        "state": state,
        "ejectedFor": round(max(member.ejected_until - now, 0.0), 1) if member.is_ejected else 0,
        "failures": member.failures,
        "active": member.endpoint.active,
        "idle": len(member.endpoint.idle),
        "latencyMs": round(member.ewma * 1000, 3),
    }
