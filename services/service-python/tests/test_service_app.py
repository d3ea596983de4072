"""The application over ASGI: requests in; responses, metrics and log lines out."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from service_python import logs, prompts
from service_python.app import create_app
from service_python.body_limit import MAX_BODY_BYTES
from service_python.settings import Settings

AT_ONCE: dict[str, Any] = {"distribution": "constant", "latency_ms": 0, "latency_jitter_ms": 0, "error_rate": 0}
JSON = {"content-type": "application/json"}


def _app(**settings: Any) -> FastAPI:
    return create_app(Settings(**AT_ONCE | settings))


def _client(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://service")


def _ask(app: FastAPI, method: str, path: str, **options: Any) -> httpx.Response:
    async def once() -> httpx.Response:
        async with _client(app) as client:
            return await client.request(method, path, **options)

    return asyncio.run(once())


def _samples(app: FastAPI) -> dict[tuple[str, ...], float]:
    """Return all of /metrics: (name, label value, label value, ...) -> value, label names in alphabetical order."""
    response = _ask(app, "GET", "/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Collect the service's log, at debug."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter())
    level = logs.logger.level
    logs.logger.addHandler(handler)
    logs.logger.setLevel(logging.DEBUG)
    yield stream
    logs.logger.setLevel(level)
    logs.logger.removeHandler(handler)


def _lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_get_and_post_return_the_same_bytes() -> None:
    got = _ask(_app(), "GET", "/infer", params={"prompt": "hé ?", "max_tokens": "5", "temperature": "1"})
    posted = _ask(_app(), "POST", "/infer", json={"prompt": "hé ?", "max_tokens": 5, "temperature": 1.0})
    assert got.status_code == posted.status_code == 200
    assert got.headers["content-type"] == posted.headers["content-type"] == "application/json"
    assert got.content == posted.content
    assert got.json()["usage"]["completion_tokens"] == 5


def test_longest_prompt_in_escapes_fits_the_body_limit() -> None:
    body = b'{"prompt":"' + b"\\ud83d\\ude00" * prompts.MAX_PROMPT_CHARACTERS + b'"}'
    assert _ask(_app(), "POST", "/infer", content=body, headers=JSON).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_cache_control_is_sent_for_get_if_configured(method: str) -> None:
    options: dict[str, Any] = {"params": {"prompt": "x"}} if method == "GET" else {"json": {"prompt": "x"}}
    cached = "max-age=60" if method == "GET" else None
    assert _ask(_app(), method, "/infer", **options).headers.get("cache-control") is None
    assert _ask(_app(cache_control="max-age=60"), method, "/infer", **options).headers.get("cache-control") == cached
    failing = _ask(_app(cache_control="max-age=60", error_rate=1), method, "/infer", **options)
    assert (failing.status_code, failing.headers.get("cache-control")) == (503, None)


async def _chunks() -> AsyncIterator[bytes]:
    for _ in range(2 + MAX_BODY_BYTES // 1024):
        yield b"x" * 1024


@pytest.mark.parametrize(
    ("status", "method", "path", "options"),
    [
        (400, "POST", "/infer", {"content": b'{"prompt": "\xff"}', "headers": JSON}),
        (400, "POST", "/infer", {"content": b"[" * 60_000, "headers": JSON}),
        (404, "GET", "/", {}),
        (404, "GET", "/infer/", {"params": {"prompt": "x"}}),
        (405, "DELETE", "/infer", {}),
        (413, "POST", "/infer", {"content": b"x" * (MAX_BODY_BYTES + 1), "headers": JSON}),
        (413, "POST", "/infer", {"content": "chunks", "headers": JSON}),
        (422, "GET", "/infer", {}),
        (422, "GET", "/infer", {"params": {"prompt": ""}}),
        (422, "GET", "/infer", {"params": {"prompt": "x" * (prompts.MAX_PROMPT_CHARACTERS + 1)}}),
        (422, "POST", "/infer", {}),
        (422, "POST", "/infer", {"content": b"{", "headers": JSON}),
        (422, "POST", "/infer", {"content": b'{"prompt": "x"}', "headers": {"content-type": "text/plain"}}),
        (422, "POST", "/infer", {"json": {"prompt": ""}}),
        (422, "POST", "/infer", {"content": b'{"prompt": "\\ud800"}', "headers": JSON}),
        (422, "POST", "/infer", {"content": b'{"prompt": "x", "\\ud800": 1}', "headers": JSON}),
        (422, "POST", "/infer", {"content": b'{"prompt": "x", "temperature": NaN}', "headers": JSON}),
        (422, "POST", "/infer", {"json": {"prompt": "x", "messages": []}}),
        (503, "GET", "/infer", {"params": {"prompt": "x"}}),
    ],
    ids=lambda value: ascii(value)[:50],
)
def test_failed_request_is_answered_with_a_problem(
    status: int, method: str, path: str, options: dict[str, Any]
) -> None:
    if options.get("content") == "chunks":
        options = options | {"content": _chunks()}
    response = _ask(_app(error_rate=float(status == 503)), method, path, **options)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert len(response.content) < 1024


def test_problem_names_the_field_without_its_value() -> None:
    response = _ask(_app(), "POST", "/infer", json={"prompt": ["a secret"], "max_tokens": 0})
    assert [error["field"] for error in response.json()["errors"]] == ["body.prompt", "body.max_tokens"]
    assert "secret" not in response.text


def test_problem_with_1000_errors_stays_short() -> None:
    response = _ask(_app(), "POST", "/infer", json={"prompt": "x"} | {f"{'f' * 20}{i}": i for i in range(1000)})
    assert response.status_code == 422
    assert len(response.content) < 2048


def test_wrong_method_gets_an_allow_header() -> None:
    assert _ask(_app(), "DELETE", "/healthz").headers["allow"] == "GET"


def test_each_request_waits_for_its_drawn_latency() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    settings = Settings(seed=7)
    for app in (create_app(settings, sleep=sleep), create_app(settings, sleep=sleep)):
        for _ in range(3):
            assert _ask(app, "GET", "/infer", params={"prompt": "x"}).status_code == 200
        _ask(app, "GET", "/healthz")
    assert len(waits) == 6
    assert waits[:3] == waits[3:], "a seed repeats in another process"
    assert len(set(waits)) == 3


def test_healthz_is_ok_despite_the_error_rate() -> None:
    response = _ask(_app(error_rate=1), "GET", "/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_requests_are_counted_by_path_template() -> None:
    app = _app()
    _ask(app, "GET", "/infer", params={"prompt": "x"})
    _ask(app, "POST", "/infer", json={"prompt": ""})
    for path in ("/wp-login.php", "/.env", "/infer/"):
        _ask(app, "GET", path)
    _ask(app, "BREW", "/infer")
    _ask(app, "HACK", "/infer")

    samples = _samples(app)
    counted = {key[1:]: value for key, value in samples.items() if key[0] == "service_python_requests_total"}
    assert counted == {
        ("200", "GET", "/infer"): 1,
        ("422", "POST", "/infer"): 1,
        ("404", "GET", "unmatched"): 3,
        ("405", "OTHER", "/infer"): 2,
    }
    assert samples["service_python_request_duration_seconds_count", "GET", "/infer"] == 1
    assert samples["service_python_requests_in_flight",] == 1, "the reader itself"


def test_request_is_in_flight_until_it_is_answered() -> None:
    async def scenario() -> tuple[str, str]:
        waiting, go_on = asyncio.Event(), asyncio.Event()

        async def sleep(_seconds: float) -> None:
            waiting.set()
            await go_on.wait()

        async with _client(create_app(Settings(), sleep=sleep)) as client:
            pending = asyncio.create_task(client.get("/infer", params={"prompt": "x"}))
            await waiting.wait()
            during = (await client.get("/metrics")).text
            go_on.set()
            assert (await pending).status_code == 200
            return during, (await client.get("/metrics")).text

    during, after = asyncio.run(scenario())
    assert "service_python_requests_in_flight 2.0" in during
    assert "service_python_requests_in_flight 1.0" in after


def test_internal_error_is_a_problem_counted_and_logged(log: io.StringIO) -> None:
    async def sleep(_seconds: float) -> None:
        raise RuntimeError("a secret")

    app = create_app(Settings(), sleep=sleep)
    response = _ask(app, "GET", "/infer", params={"prompt": "x"})
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "secret" not in response.text
    assert _samples(app)["service_python_requests_total", "500", "GET", "/infer"] == 1
    assert (_lines(log)[0]["level"], _lines(log)[0]["status"]) == ("warning", 500)


def test_log_line_has_the_request_without_its_query(log: io.StringIO) -> None:
    _ask(_app(), "GET", "/infer", params={"prompt": "a secret"}, headers={"x-request-id": "r-1"})
    [line] = _lines(log)
    assert line.pop("time").endswith("Z")
    assert line.pop("duration_ms") >= 0
    assert line == {
        "level": "info",
        "event": "request",
        "request_id": "r-1",
        "method": "GET",
        "path": "/infer",
        "status": 200,
    }


def test_log_line_is_escaped_and_limited(log: io.StringIO) -> None:
    path = "/%0A%7B%22forged%22:1%7D%1B%5B31m%C2%85%E2%80%A8" + "x" * 5000
    _ask(_app(), "GET", path, headers={"x-request-id": b"\x1b[31m" + b"\x85" * 5000})
    text = log.getvalue()
    assert text.count("\n") == 1
    assert text.rstrip("\n").isascii()
    assert text.rstrip("\n").isprintable()
    assert len(text) < 4096
    assert _lines(log)[0]["path"].startswith('/\n{"forged":1}\x1b[31m')


def test_probes_and_scrapes_are_logged_at_debug(log: io.StringIO) -> None:
    for path in ("/healthz", "/metrics", "/healthz/"):
        _ask(_app(), "GET", path)
    assert [(line["path"], line["level"]) for line in _lines(log)] == [
        ("/healthz", "debug"),
        ("/metrics", "debug"),
        ("/healthz/", "info"),
    ]
