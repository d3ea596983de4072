"""The application: three paths and their middleware."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import FastAPI, Query, Response
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from service_python import completions, latency, problems
from service_python.body_limit import BodyLimit
from service_python.metrics import Metrics
from service_python.prompts import Question, QuestionBody
from service_python.request_telemetry import Observing
from service_python.settings import Settings

Sleep = Callable[[float], Awaitable[object]]


def create_app(settings: Settings, *, sleep: Sleep = asyncio.sleep) -> FastAPI:
    """Build one application; a process may have several. `sleep` takes seconds; tests replace it."""
    # No redirect from /infer/ to /infer: behind a gateway its absolute Location would name the wrong host.
    # No /docs either: that page loads scripts from a CDN. The machine-readable /openapi.json stays.
    app = FastAPI(title="service-python", docs_url=None, redoc_url=None, redirect_slashes=False)
    problems.install(app)

    metrics = Metrics()
    app.add_middleware(BodyLimit)
    app.add_middleware(Observing, metrics=metrics)  # added last, so it is outermost and sees the others' answers

    profile = settings.profile()
    rng = random.Random(settings.seed)  # noqa: S311  it simulates; nothing secret hangs on it

    async def infer(question: Question) -> Response:
        decision = latency.decide(profile, rng)
        await sleep(decision.seconds)
        if decision.fails:
            return problems.problem(503, "A simulated failure (see the setting error_rate).")
        return Response(completions.encode(completions.compose(question)), media_type="application/json")

    # One line per status; FastAPI would otherwise document its own shape for the 422.
    documented: dict[int | str, dict[str, object]] = {
        status: {"description": "A problem.", "content": {problems.MEDIA_TYPE: {}}} for status in (422, 503)
    }

    @app.get("/infer", response_model=completions.Answer, responses=documented)
    async def infer_by_query(question: Annotated[Question, Query()]) -> Response:
        response = await infer(question)
        # Only for a 200: no cache may keep a failure, even a simulated one.
        if settings.cache_control is not None and response.status_code == 200:
            response.headers["cache-control"] = settings.cache_control
        return response

    @app.post("/infer", response_model=completions.Answer, responses=documented)
    async def infer_by_body(question: QuestionBody) -> Response:
        return await infer(question)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics", include_in_schema=False)
    async def expose() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return app
