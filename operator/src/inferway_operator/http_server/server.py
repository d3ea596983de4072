"""The operator's own HTTP: `/healthz`, `/readyz` and `/metrics` on one address, the admission webhook on another.

The webhook is there when it has a certificate and a key; both are read anew when they change.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

from aiohttp import web
from prometheus_client import exposition

from inferway_operator.http_server.certificate import ServingCertificate
from inferway_operator.http_server.listener import Listener
from inferway_operator.http_server.webhook import Webhook
from inferway_operator.http_settings import HttpSettings
from inferway_operator.metrics import OperatorMetrics
from inferway_operator.world.world import World

log = logging.getLogger("inferway")

_LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the certificate's files."""


class Readiness(NamedTuple):
    """Whether this process does its part, and in a few words why: `leading`, `standing by for pod-x`, `listing`."""

    is_ready: bool
    says: str


class Operator(Protocol):
    """What the server asks of the operator, at any time and always at once."""

    def world(self) -> World | None:
        """The newest world; None before everything was listed."""

    def ailment(self) -> str:
        """Why the process should be restarted (its reconcile task ended), or "" while it is well."""

    def readiness(self) -> Readiness:
        """Ready is who has listed everything, the leader as well as who stands by."""


class OperatorServer:
    """Both listeners. `start` in the operator's startup handler, `stop` in its cleanup handler."""

    def __init__(self, settings: HttpSettings, operator: Operator, metrics: OperatorMetrics) -> None:
        self._operator, self._metrics = operator, metrics
        self._probes = Listener(settings.listen, self._probe)
        self._webhook: Webhook | None = None
        if settings.webhook_pair is not None:
            self._certificate = ServingCertificate(*settings.webhook_pair)
            self._webhook = Webhook(operator.world, metrics)
            self._reviews = Listener(settings.webhook_listen, self._webhook.handle, self._certificate.context)

    @property
    def address(self) -> tuple[str, int]:
        """Of probes and metrics."""
        return self._probes.address

    @property
    def webhook_address(self) -> tuple[str, int] | None:
        """None when there is no webhook."""
        return self._reviews.address if self._webhook is not None else None

    async def start(self) -> None:
        """Listen; `OSError` when an address cannot be had. A certificate that is not there yet is waited for."""
        await self._probes.start()
        if self._webhook is None:
            return
        try:
            await self._reviews.start()
        except BaseException:
            await self._probes.stop()
            raise
        self._told = ""
        await self._refresh()
        self._following = asyncio.create_task(self._follow(), name="webhook certificate")

    async def stop(self) -> None:
        """Let requests in flight end, and close."""
        if self._webhook is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
            await self._reviews.stop()
            self._webhook.close()
        await self._probes.stop()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            await self._refresh()

    async def _refresh(self) -> None:
        """Look at the certificate's files. What is wrong with them is told once, and what was loaded before goes on."""
        try:
            is_new = await asyncio.to_thread(self._certificate.refresh)
        except (OSError, ValueError) as error:
            self._metrics.certificate_is(usable=False)
            if str(error) != self._told:
                self._told = str(error)
                log.error("the webhook's certificate cannot be used", extra={"error": self._told})
            return
        self._metrics.certificate_is(usable=True)
        self._told = ""
        if is_new:
            log.info("the webhook's certificate was read")

    async def _probe(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, text="GET\n", headers={"Allow": "GET, HEAD"})
        match request.path:
            case "/healthz":
                # That this is answered shows that the loop turns.
                ailment = self._operator.ailment()
                return web.Response(status=503 if ailment else 200, text=f"{ailment or 'ok'}\n")
            case "/readyz":
                readiness = self._operator.readiness()
                return web.Response(status=200 if readiness.is_ready else 503, text=f"{readiness.says}\n")
            case "/metrics":
                encode, content_type = exposition.choose_encoder(request.headers.get("Accept", ""))
                return web.Response(body=encode(self._metrics.registry), headers={"Content-Type": content_type})
            case _:
                return web.Response(status=404, text="/healthz, /readyz or /metrics\n")
