"""The real process: it logs its address, answers over a socket, logs JSON, and stops on a signal."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from inferway_testing.process import Process, environment
from inferway_testing.until import DEADLINE

SOURCE = Path(__file__).parents[1] / "src"


@asynccontextmanager
async def _service(*flags: str) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    """Start the service on a port chosen by the kernel, wait until healthy, and kill it at the end if needed."""
    variables = environment("SERVICE_PYTHON_", PYTHONPATH=str(SOURCE))
    with Process([sys.executable, "-m", "service_python", "--port", "0", *flags], variables) as process:
        port = process.event("listening")["port"]
        # A proxy from the shell's environment must not apply to the loopback.
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=DEADLINE) as client:
            assert (await client.get("/healthz")).status_code == 200
            yield process, client


async def _ask(client: httpx.AsyncClient, **headers: str) -> asyncio.Task[httpx.Response]:
    """Send a request, and wait until it is in flight."""
    pending = asyncio.create_task(client.get("/infer", params={"prompt": "x"}, headers=headers))
    deadline = time.monotonic() + DEADLINE
    while "service_python_requests_in_flight 2.0" not in (await client.get("/metrics")).text:
        assert time.monotonic() < deadline, "never in flight"
    return pending


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_terminated_process_finishes_requests_and_exits_with_0(signum: signal.Signals) -> None:
    async def scenario() -> None:
        slow = ("--distribution", "constant", "--latency-ms", "1000")
        async with _service(*slow) as (process, client):
            pending = await _ask(client, **{"x-request-id": "r-1"})
            process.signal(signum)
            assert (await pending).status_code == 200
            assert await asyncio.to_thread(process.exit_code) == 0

            assert process.events[-1]["event"] == "stopped"
            [request] = [line for line in process.events if line["event"] == "request"]  # no probe, no scrape
            assert (request["request_id"], request["path"], request["status"]) == ("r-1", "/infer", 200)
            assert request["duration_ms"] >= 990
            assert "prompt" not in "".join(process.lines), "uvicorn's access log would quote the query"

    asyncio.run(scenario())


def test_terminated_process_stops_at_the_stop_timeout() -> None:
    async def scenario() -> None:
        stuck = ("--distribution", "constant", "--latency-ms", "600000", "--latency-max-ms", "600000")
        async with _service(*stuck, "--stop-timeout-seconds", "0") as (process, client):
            pending = await _ask(client)
            process.signal()
            assert await asyncio.to_thread(process.exit_code) == 0
            # uvicorn may or may not send a 500 before the connection closes.
            with suppress(httpx.TransportError):
                assert (await pending).status_code == 500

    asyncio.run(scenario())
