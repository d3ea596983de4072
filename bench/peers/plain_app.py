"""A plain proxy, the work of an afternoon: an ASGI app with an httpx client behind it."""

from __future__ import annotations

import os
import time
from typing import Any

import httpx

ORIGIN = os.environ["BENCH_ORIGIN"]
PREFIXES = tuple(os.environ["BENCH_PREFIXES"].split(","))
RATE = BURST = 1_000_000.0
HOP_BY_HOP = {b"connection", b"keep-alive", b"transfer-encoding", b"te", b"trailer", b"upgrade"}
UNLIMITED = httpx.Limits(max_connections=None, max_keepalive_connections=256)

client = httpx.AsyncClient(base_url=ORIGIN, limits=UNLIMITED, trust_env=False, timeout=30)
buckets: dict[str, tuple[float, float]] = {}


def admit(key: str) -> bool:
    now = time.monotonic()
    level, since = buckets.get(key, (BURST, now))
    level = min(BURST, level + (now - since) * RATE) - 1
    buckets[key] = (level, now)
    return level >= 0


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    headers: list[tuple[bytes, bytes]] = []
    body = b""
    if not any(scope["path"].startswith(prefix) for prefix in PREFIXES):
        status = 404
    elif not (admit("global") and admit(scope["client"][0])):
        status = 429
    else:
        more = True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        target = httpx.URL(path=scope["path"], query=scope["query_string"])
        sent = [(name, value) for name, value in scope["headers"] if name not in HOP_BY_HOP]
        answer = await client.request(scope["method"], target, headers=sent, content=body)
        headers = [(name.lower(), value) for name, value in answer.headers.raw if name.lower() not in HOP_BY_HOP]
        status, body = answer.status_code, answer.content
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
