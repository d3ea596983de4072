"""Puts the whole corpus to a proxy, many connections at a time, and judges when all is quiet."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from corpus import client, judging, reading
from corpus.cases import RequestCase, ResponseCase
from corpus.judging import Observed
from corpus.recorder import Recorder, Reply
from inferway_cli.directory_source import DirectorySource
from inferway_dataplane.main import DataPlane
from inferway_dataplane.settings import Settings

MAX_BODY: Final = "256Ki"
ROUTES: Final = """\
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {{name: corpus}}
spec:
  rules:
  - limits: {{maxRequestBody: {body}}}
    backendRefs: [{{url: "http://127.0.0.1:{port}"}}]
"""
_AT_ONCE: Final = 48


@dataclass
class Result:
    """One case, what was seen of it, and what is wrong with that (empty: nothing)."""

    case: RequestCase | ResponseCase
    seen: Observed
    wrong: str


@asynccontextmanager
async def gateway(upstream_port: int) -> AsyncIterator[tuple[str, int]]:
    """A gateway in this loop with one route to the upstream: bytes that are sent apart arrive apart."""
    with tempfile.TemporaryDirectory() as directory:
        _write_routes(directory, upstream_port)
        settings = Settings(listen="127.0.0.1:0", admin="127.0.0.1:0", access_log=False, drain_timeout=0.2)
        plane = DataPlane(settings, DirectorySource(directory))
        await plane.start()
        try:
            yield plane.listen
        finally:
            await plane.stop()


def _write_routes(directory: str, upstream_port: int) -> None:
    Path(directory, "routes.yaml").write_text(ROUTES.format(body=MAX_BODY, port=upstream_port))


async def put_requests(
    cases: Sequence[RequestCase], address: tuple[str, int], recorder: Recorder | None, *, is_bytewise: bool = False
) -> list[Result]:
    """Every request case once. Without a recorder only what the client sees is judged."""
    is_serial = recorder is None or recorder.is_serial
    limit = asyncio.Semaphore(1 if is_serial else _AT_ONCE)

    async def one(number: int, case: RequestCase) -> Observed:
        async with limit:
            source = None if is_serial else source_address(number)
            if recorder is not None:
                recorder.current = case.id
            seen = await client.send_case(address, source, case, is_bytewise=is_bytewise)
            if recorder is None:
                seen.has_upstream = False
            else:
                seen.forwarded = recorder.requests[source or case.id]
            return seen

    observed = await asyncio.gather(*(one(number, case) for number, case in enumerate(cases)))
    await _quiet()
    return [Result(case, seen, judging.check_request(case, seen)) for case, seen in zip(cases, observed, strict=True)]


async def put_responses(cases: Sequence[ResponseCase], *, is_bytewise: bool = False) -> list[Result]:
    """Every response case once, through a gateway of our own.

    One after the other: otherwise the next request on the connection would read bytes after the end of an answer.
    """
    by_target = {f"/{case.id}": case for case in cases}

    def script(request: reading.ForwardedRequest) -> Reply:
        case = by_target[request.target]
        return Reply(client.pieces(case.raw, is_bytewise=is_bytewise), closes=case.closes)

    recorder = Recorder(script)
    results = []
    async with gateway(await recorder.start()) as address:
        for number, case in enumerate(cases):
            source = source_address(number)
            seen = await _ask(address, source, case)
            (link, *_) = recorder.links[source] or [None]
            is_ended = link is not None and await _ends(link.ended, wanted=case.reused is False and not case.closes)
            results.append(Result(case, seen, judging.check_response(case, seen, is_link_closed=is_ended)))
    await recorder.stop()
    return results


async def _ask(address: tuple[str, int], source: str, case: ResponseCase) -> Observed:
    connection = await client.connect(address, source)
    to_head = [case.method == "HEAD"]
    try:
        request = f"{case.method} /{case.id} HTTP/1.1\r\nHost: a.example\r\n\r\n".encode()
        await connection.send(request, is_bytewise=False)
        await connection.until(to_head, -1 if case.fate == "abort" else 1)
        answers = reading.answers(bytes(connection.received), to_head, is_closed=connection.is_closed)
        return Observed(answers, connection.is_closed)
    finally:
        connection.transport.abort()


async def _ends(ended: asyncio.Event, *, wanted: bool) -> bool:
    if wanted:
        try:
            await asyncio.wait_for(ended.wait(), client.PATIENCE)
        except TimeoutError:
            return False
    else:
        await _quiet()
    return ended.is_set()


async def _quiet() -> None:
    """Let the loop do what it has begun: everything of ours runs in it."""
    for _ in range(20):
        await asyncio.sleep(0)


def source_address(number: int) -> str:
    """The loopback address that a case is sent from (Linux owns all of 127.0.0.0/8)."""
    return f"127.1.{number // 250}.{number % 250 + 1}"
