"""`POST /validate`: the API server asks whether an object is accepted. The decision is `admission`'s."""

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
"""Of a review: the API server takes objects of 3 MiB; the old one beside it is at most etcd's 1.5 MiB."""

MOST_VALUES: Final = 500_000
"""In a review, about. A value takes two bytes as JSON and fifty in memory; a spec that may be published has fewer."""

MOST_WAITING: Final = 16
"""Reviews at once. One is judged at a time, and the API server's patience is a few seconds."""

_BODY_SECONDS: Final = 5.0


class Webhook:
    """Answers reviews against the newest world, in a thread of its own: meanwhile the loop renews the leader's Lease."""

    def __init__(self, world: Callable[[], World | None], metrics: OperatorMetrics) -> None:
        self._world, self._metrics = world, metrics
        self._waiting = 0
        self._judging = ThreadPoolExecutor(1, "admission")

    def close(self) -> None:
        """Judge no more."""
        self._judging.shutdown(wait=False, cancel_futures=True)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Any request of the webhook's port."""
        if request.path != "/validate":
            return web.Response(status=404, text="reviews go to /validate\n")
        if request.method != "POST":
            return web.Response(status=405, text="POST an AdmissionReview\n", headers={"Allow": "POST"})
        if self._waiting >= MOST_WAITING:
            # The API server lets the object in, if it was set up as documented; its status tells the same a little later.
            return web.Response(status=503, text="too many reviews at once\n")
        self._waiting += 1
        try:
            return await self._review(request)
        finally:
            self._waiting -= 1

    async def _review(self, request: web.BaseRequest) -> web.Response:
        try:
            body = await listener.read_body(request, MOST_BYTES, _BODY_SECONDS)
        except web.HTTPException as refused:
            # What is left of the body is not read: the next request of this connection cannot be found.
            request.protocol.close()
            return web.Response(status=refused.status, text=f"{refused.reason}\n", headers={"Connection": "close"})
        begun = perf_counter()
        try:
            made = await asyncio.get_running_loop().run_in_executor(self._judging, review_request, body, self._world())
        except Exception:
            log.exception("a review failed in a way that is not foreseen")
            self._metrics.reviewed("", "failed", perf_counter() - begun)
            return web.Response(status=500, text="the review failed: see the operator's log\n")
        self._metrics.reviewed(made.kind, made.decision, perf_counter() - begun)
        return web.json_response(made.body, status=made.http_status)


def review_request(body: bytes, world: World | None) -> Answer:
    """The answer to a body as it came."""
    if sum(map(body.count, (b",", b"[", b"{"))) > MOST_VALUES:
        return admission_review.broken("the body has too many values")
    try:
        review = json.loads(body)
    except RecursionError:
        return admission_review.broken("the body is nested too deeply")
    except ValueError as error:
        return admission_review.broken(f"the body is not JSON: {error}")
    return admission_review.answer(review, world)
