"""`POST /validate`: the API server's admission reviews. `admission` decides."""

import gc
import logging
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Final

import pydantic_core
from aiohttp import web

from inferway_operator.admission import review as admission_review
from inferway_operator.admission.review import Answer
from inferway_operator.http_server.bodies import Bodies
from inferway_operator.http_server.review_pool import OverloadedError, ReviewPool
from inferway_operator.metrics import OperatorMetrics
from inferway_operator.world.world import World

log = logging.getLogger("inferway")

MOST_BYTES: Final = 5 << 20
"""Bound of a review: the API server accepts objects of 3 MiB; the old object in it is at most etcd's 1.5 MiB."""

MOST_BYTES_TOGETHER: Final = 32 << 20
"""Bound of all reviews that are read or decided at once."""

MOST_VALUES: Final = 130_000
"""Bound of a review, roughly counted (`has_too_many_values`). Reading JSON stops the whole process: some 40 ms of CPU time
for the worst accepted body, of numbers with 4,300 digits. Two specs of 256 KiB and their copies in annotations have fewer."""

_BODY_SECONDS: Final = 5.0
REVIEW_SECONDS: Final = 4.0
"""From the end of the body: the API server waits 5 s (`timeoutSeconds` of the webhook), and an answer explains more."""


class Webhook:
    """Reviews against the newest world, in threads: meanwhile the event loop renews the leader's Lease."""

    def __init__(self, world: Callable[[], World | None], metrics: OperatorMetrics) -> None:
        self._world, self._metrics = world, metrics
        self.bodies = Bodies(MOST_BYTES, MOST_BYTES_TOGETHER, _BODY_SECONDS)
        self.pool = ReviewPool(REVIEW_SECONDS)

    def close(self) -> None:
        """Cancel waiting reviews."""
        self.pool.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer any request to the webhook's port."""
        if request.path != "/validate":
            return web.Response(status=404, text="not found: reviews go to /validate\n")
        if request.method != "POST":
            return web.Response(status=405, text="POST an AdmissionReview\n", headers={"Allow": "POST"})
        async with self.bodies.read(request) as body:
            return await self._review(body)

    async def _review(self, body: bytes) -> web.Response:
        started = perf_counter()
        try:
            review = read_review(body)
            answer = (
                review
                if isinstance(review, Answer)
                else await self.pool.run(
                    admission_review.namespace(review), partial(admission_review.answer, review, self._world())
                )
            )
        except OverloadedError as overload:
            # With `failurePolicy: Ignore` the API server allows the object, and its status reports errors soon after; with
            # `Fail` it shows this text. To allow the object here would be to decide against that setting.
            self._metrics.reviewed("", "overloaded", perf_counter() - started)
            return web.Response(status=503, text=f"{overload}\n", headers={"Retry-After": "1"})
        except Exception:
            log.exception("unexpected error in a review")
            self._metrics.reviewed("", "failed", perf_counter() - started)
            return web.Response(status=500, text="review failed: see the operator's log\n")
        self._metrics.reviewed(answer.kind, answer.decision, perf_counter() - started)
        return web.json_response(answer.body, status=answer.http_status)


def read_review(body: bytes) -> object:
    """Return the parsed body, or the `Answer` to a body that cannot be parsed."""
    if has_too_many_values(body):
        return admission_review.broken("the body has too many values")
    # Collections look at all that was read so far, again and again: they double the time.
    gc.disable()
    try:
        return pydantic_core.from_json(body)
    except ValueError as error:
        return admission_review.broken(f"the body is not JSON: {error}")
    finally:
        gc.enable()


def has_too_many_values(body: bytes) -> bool:
    """Return whether reading the body may take long, by its commas, brackets and colons: a key costs as much as a value.

    Those of JSON in a string, such as kubectl's annotation, do not count: its quotes are escaped. Outside a string no
    backslash follows a comma or brace, and before `":` it is the end of a key if it is one of two.
    """
    values = sum(map(body.count, (b",", b"[", b"{", b":")))
    if values <= MOST_VALUES:
        return False
    quoted = sum(map(body.count, (b',\\"', b'{\\"', b'\\":')))
    return values - quoted + body.count(b'\\\\":') > MOST_VALUES
