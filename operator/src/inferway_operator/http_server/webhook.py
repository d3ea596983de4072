"""`POST /validate`: the API server's admission reviews. `admission` decides."""

import asyncio
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Final

from aiohttp import web

from inferway_operator.admission import review as admission_review
from inferway_operator.admission.review import Answer
from inferway_operator.http_server import listener
from inferway_operator.metrics import OperatorMetrics
from inferway_operator.world.world import World

log = logging.getLogger("inferway")

MOST_BYTES: Final = 5 << 20
"""Bound of a review: the API server accepts objects of 3 MiB; the old object in it is at most etcd's 1.5 MiB."""

MOST_VALUES: Final = 500_000
"""Bound of a review, roughly counted. A value may take two bytes in JSON and fifty in memory; valid specs have fewer."""

MOST_WAITING: Final = 16
"""Concurrent reviews. They are checked one at a time, and the API server waits a few seconds."""

_BODY_SECONDS: Final = 5.0


class Webhook:
    """Reviews against the newest world, in a thread: meanwhile the event loop renews the leader's Lease."""

    def __init__(self, world: Callable[[], World | None], metrics: OperatorMetrics) -> None:
        self._world, self._metrics = world, metrics
        self._waiting = 0
        self._executor = ThreadPoolExecutor(1, "admission")

    def close(self) -> None:
        """Cancel waiting reviews."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer any request to the webhook's port."""
        if request.path != "/validate":
            return web.Response(status=404, text="not found: reviews go to /validate\n")
        if request.method != "POST":
            return web.Response(status=405, text="POST an AdmissionReview\n", headers={"Allow": "POST"})
        if self._waiting >= MOST_WAITING:
            # With `failurePolicy: Ignore` the API server allows the object; its status reports errors soon after.
            return web.Response(status=503, text="too many reviews at once\n")
        self._waiting += 1
        try:
            return await self._review(request)
        finally:
            self._waiting -= 1

    async def _review(self, request: web.BaseRequest) -> web.Response:
        try:
            body = await listener.read_body(request, MOST_BYTES, _BODY_SECONDS)
        except web.HTTPException as rejection:
            # The rest of the body is unread, so no other request can follow on this connection.
            request.protocol.close()
            return web.Response(status=rejection.status, text=f"{rejection.reason}\n", headers={"Connection": "close"})
        started = perf_counter()
        try:
            answer = await asyncio.get_running_loop().run_in_executor(
                self._executor, review_request, body, self._world()
            )
        except Exception:
            log.exception("unexpected error in a review")
            self._metrics.reviewed("", "failed", perf_counter() - started)
            return web.Response(status=500, text="review failed: see the operator's log\n")
        self._metrics.reviewed(answer.kind, answer.decision, perf_counter() - started)
        return web.json_response(answer.body, status=answer.http_status)


def review_request(body: bytes, world: World | None) -> Answer:
    """Answer the bytes of a request body."""
    if sum(map(body.count, (b",", b"[", b"{"))) > MOST_VALUES:
        return admission_review.broken("the body has too many values")
    try:
        review = json.loads(body)
    except RecursionError:
        return admission_review.broken("the body is nested too deeply")
    except ValueError as error:
        return admission_review.broken(f"the body is not JSON: {error}")
    return admission_review.answer(review, world)
