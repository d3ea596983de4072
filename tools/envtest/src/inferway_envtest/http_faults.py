"""A proxy in front of the API server that answers some requests itself: 409, 410, 429, 500, or a page of HTML.

    with api_server.http_faults() as faults:
        config = api_server.through(faults, user)           # users with a token: certificates end at the proxy
        conflict = faults.add(Fault("PATCH", "/configmaps/", code=409, skip=1, times=2))
        ...
        assert conflict.hits == 2

`inferway_fakes.faulty_tcp` injects faults of connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from time import monotonic
from types import TracebackType

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from inferway_testing.until import until

START = 10.0  # seconds
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
REASONS = {409: "Conflict", 410: "Expired", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}
# RFC 9110 7.6.1, and the fields that the proxy's own server writes
HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "date", "server"})


@dataclass
class Fault:
    """The fault of matching requests."""

    method: str = ".*"
    """A regular expression for the whole method."""
    path: str = ".*"
    """A regular expression that occurs in path and query: `/leases/`, `watch=true`."""
    code: int = 0
    """The status of the answer; 0 = the request is forwarded, and only `call` is called."""
    skip: int = 0
    """Number of matching requests that are forwarded first."""
    times: int = 1
    """Number of requests after them that meet the fault."""
    is_done: bool = False
    """The server executes the request; only its answer is lost."""
    is_event: bool = False
    """The answer is 200 and a stream with one event of type ERROR, as a watch receives a 410."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Fields of the answer, such as Retry-After."""
    body: str | None = None
    """The answer's body instead of a Status: a page of a proxy on the path, an invalid object."""
    media_type: str = "text/html"
    """Content-Type of `body`."""
    call: Callable[[], None] = lambda: None
    """Called before the answer, in a separate thread: kill a process, wait for the test."""
    seen: int = 0
    """Matching requests so far."""

    @property
    def hits(self) -> int:
        """Return the number of requests that have met the fault."""
        return min(max(self.seen - self.skip, 0), self.times)

    def meets(self, method: str, target: str) -> bool:
        """Return whether this request meets the fault, and count it."""
        if not re.fullmatch(self.method, method) or not re.search(self.path, target):
            return False
        self.seen += 1
        return self.skip < self.seen <= self.skip + self.times

    def answer(self) -> Response:
        """Return the answer in the form of the API server, or the configured body."""
        if self.body is not None:
            return Response(self.body, self.code, headers=dict(self.headers), media_type=self.media_type)
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": "a fault of the test",
            "reason": REASONS.get(self.code, HTTPStatus(self.code).phrase),
            "code": self.code,
        }
        if self.is_event:
            return JSONResponse({"type": "ERROR", "object": status}, headers=dict(self.headers))
        return JSONResponse(status, self.code, headers=dict(self.headers))


class HttpFaults:
    """The proxy: TLS on both sides, HTTP/1.1. Its `port` is on 127.0.0.1."""

    def __init__(self, server: str, authority: Path, certificate: Path, key: Path) -> None:
        self._server = server
        self._authority = authority
        self._faults: list[Fault] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        application = Starlette(routes=[Route("/{path:path}", self._handle, methods=METHODS)], lifespan=self._connected)
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                application,
                ssl_certfile=str(certificate),
                ssl_keyfile=str(key),
                log_config=None,
                access_log=False,
                # uvloop cannot be closed while a TLS connection is still closing towards a killed peer.
                loop="asyncio",
                timeout_graceful_shutdown=5,
            )
        )
        self._thread = threading.Thread(
            target=self._uvicorn.run, args=([self._socket],), name="http-faults", daemon=True
        )

    def add(self, fault: Fault) -> Fault:
        """Add a fault from now on; the first one that matches a request applies."""
        self._faults.append(fault)
        return fault

    def heal(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def cut(self) -> None:
        """End every connection now, watches too; their clients reconnect."""
        self._loop.call_soon_threadsafe(self._cut_all)

    def __enter__(self) -> HttpFaults:
        self._thread.start()
        until(lambda: self._uvicorn.started or not self._thread.is_alive(), "the proxy listens", START)
        if not self._uvicorn.started:
            self._socket.close()
            raise RuntimeError("the proxy did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._uvicorn.should_exit = True
        deadline = monotonic() + START
        while self._thread.is_alive() and monotonic() < deadline:
            # Watches never end by themselves, and their clients reconnect as long as the proxy listens.
            with contextlib.suppress(RuntimeError):  # the loop has just been closed
                self._loop.call_soon_threadsafe(self._cut_all)
            self._thread.join(0.05)
        self._socket.close()

    def _cut_all(self) -> None:
        for connection in list(self._uvicorn.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()

    @asynccontextmanager
    async def _connected(self, application: Starlette) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        trusted = ssl.create_default_context(cafile=str(self._authority))
        timeout, limits = httpx.Timeout(30.0, read=None, pool=None), httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=self._server, verify=trusted, timeout=timeout, limits=limits, trust_env=False
        ) as self._client:
            yield

    async def _handle(self, request: Request) -> Response:
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        # Every fault counts its matching requests, even if another fault answers.
        met = [fault for fault in list(self._faults) if fault.meets(request.method, target)]
        fault = met[0] if met else None
        if fault is not None and fault.code and not fault.is_done:
            await run_in_threadpool(fault.call)
            return fault.answer()
        answer = await self._pass(request)
        if fault is None:
            return answer
        if fault.is_done and isinstance(answer, StreamingResponse):
            async for _ in answer.body_iterator:
                pass  # read to the end, so that the server has executed it
        await run_in_threadpool(fault.call)
        return fault.answer() if fault.code else answer

    async def _pass(self, request: Request) -> Response:
        """Forward a request to the server; its answer is forwarded piece by piece, as a watch needs it."""
        headers = [(name, value) for name, value in request.headers.items() if name not in (*HOP_BY_HOP, "host")]
        outgoing = self._client.build_request(
            request.method,
            str(request.url.replace(scheme="", netloc="")),
            headers=headers,
            content=await request.body(),
        )
        answer = await self._client.send(outgoing, stream=True)

        async def pieces() -> AsyncIterator[bytes]:
            try:
                async for piece in answer.aiter_raw():
                    yield piece
            finally:
                await answer.aclose()

        kept = {name: value for name, value in answer.headers.items() if name not in HOP_BY_HOP}
        return StreamingResponse(pieces(), answer.status_code, headers=kept)
