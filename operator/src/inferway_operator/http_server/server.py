"""The operator's HTTP server: `/healthz`, `/readyz` and `/metrics` on one address, the admission webhook on another.

The files of the webhook's certificate are loaded again when they change (cert-manager renews them).
"""

import asyncio
import logging
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple, Protocol

from aiohttp import web
from prometheus_client import exposition

from inferway_contract.problem_log import ProblemLog
from inferway_operator.http_server.listener import Listener
from inferway_operator.http_server.serving_certificate import ServingCertificate
from inferway_operator.http_server.webhook import Webhook
from inferway_operator.metrics import OperatorMetrics
from inferway_operator.settings import HttpSettings
from inferway_operator.world.world import World

log = logging.getLogger("inferway")

_REFRESH_SECONDS: Final = 1.0
"""Between two checks of the certificate's files."""


class Readiness(NamedTuple):
    """Whether this process is ready, and its state: `leading`, `standing by`, or `listing` with the reason."""

    is_ready: bool
    state: str


class Operator(Protocol):
    """State of the operator for the server. All calls return at once."""

    def world(self) -> World | None:
        """Return the newest world; None until everything is listed."""

    def failure(self) -> str:
        """Return why the process should be restarted (a task ended), or ""."""

    def readiness(self) -> Readiness:
        """Return ready once everything is listed, leading or standing by."""


class OperatorServer:
    """Both listeners. Started by the operator's startup handler, stopped by its cleanup handler."""

    def __init__(self, settings: HttpSettings, operator: Operator, metrics: OperatorMetrics) -> None:
        self._operator, self._metrics = operator, metrics
        self.probes = Listener(settings.listen, self._probe, partial(metrics.connection_closed, "probes"))
        self._problems = ProblemLog(log)
        self.reviews: Listener | None = None
        if settings.webhook_pair is not None:
            self._certificate = ServingCertificate(*settings.webhook_pair, settings.webhook_client_ca)
            self.webhook = Webhook(operator.world, metrics)
            closed = partial(metrics.connection_closed, "reviews")
            self.reviews = Listener(settings.webhook_listen, self.webhook.handle, closed, self._certificate.context)

    async def start(self) -> None:
        """Listen; `OSError` if an address is unavailable. The certificate may appear later."""
        await self.probes.start()
        if self.reviews is None:
            return
        try:
            await self.reviews.start()
        except BaseException:
            await self.probes.stop()
            raise
        await self._refresh()
        self._refreshing = asyncio.create_task(self._keep_refreshing(), name="webhook certificate")

    async def stop(self) -> None:
        """Finish requests in flight, and close."""
        if self.reviews is not None:
            self._refreshing.cancel()
            with suppress(asyncio.CancelledError):
                await self._refreshing
            await self.reviews.stop()
            self.webhook.close()
        await self.probes.stop()

    async def _keep_refreshing(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH_SECONDS)
            await self._refresh()

    async def _refresh(self) -> None:
        """Load a changed certificate; log an error once and keep the previous certificate."""
        try:
            is_new = await asyncio.to_thread(self._certificate.refresh)
        except (OSError, ValueError) as error:
            self._metrics.certificate_is(usable=False)
            self._problems.report(logging.ERROR, "webhook certificate unusable", error=str(error))
            return
        self._metrics.certificate_is(usable=True)
        self._problems.clear()
        if is_new:
            log.info("webhook certificate loaded")

    async def _probe(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, text="GET\n", headers={"Allow": "GET, HEAD"})
        page = PAGES.get(request.path)
        if page is None:
            return web.Response(status=404, text="/healthz, /readyz or /metrics\n")
        return page(request, self._operator, self._metrics)


def _healthz(request: web.BaseRequest, operator: Operator, metrics: OperatorMetrics) -> web.Response:
    """200 while the event loop turns and every task of the operator is alive; else 503 with the task that ended."""
    failure = operator.failure()
    return web.Response(status=503 if failure else 200, text=f"{failure or 'ok'}\n")


def _readyz(request: web.BaseRequest, operator: Operator, metrics: OperatorMetrics) -> web.Response:
    """200 once everything is listed, with the role: leading or standing by; else 503 with the missing step."""
    readiness = operator.readiness()
    return web.Response(status=200 if readiness.is_ready else 503, text=f"{readiness.state}\n")


def _metrics(request: web.BaseRequest, operator: Operator, metrics: OperatorMetrics) -> web.Response:
    """The [metrics](metrics.md#operator), in the Prometheus or OpenMetrics format."""
    encode, content_type = exposition.choose_encoder(request.headers.get("Accept", ""))
    return web.Response(body=encode(metrics.registry), headers={"Content-Type": content_type})


PAGES: Final = {"/healthz": _healthz, "/readyz": _readyz, "/metrics": _metrics}
"""The pages of the probe port. `make reference` writes their docstrings into docs/admin-pages.md."""
