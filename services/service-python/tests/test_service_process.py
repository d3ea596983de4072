"""The real process: it logs its address, answers over a socket, logs JSON, and stops on a signal."""

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

SOURCE = Path(__file__).parents[1] / "src"

# A bound on waiting; only a failing test uses all of it.
DEADLINE_SECONDS = 20


async def _read(process: Process) -> dict[str, Any]:
    """Return the next line of the log; a line that is not JSON fails the test."""
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), DEADLINE_SECONDS)
    assert line, "the process ended"
    document: dict[str, Any] = json.loads(line)
    return document


@asynccontextmanager
async def _service(*flags: str) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    """Start the service on a port chosen by the kernel, wait until healthy, and kill it at the end if needed."""
    inherited = {key: value for key, value in os.environ.items() if not key.upper().startswith("SERVICE_PYTHON_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service_python", "--port", "0", *flags),
        stdout=PIPE,
        env=inherited | {"PYTHONPATH": str(SOURCE)},
    )
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while (line := await _read(process))["event"] != "listening":
                pass
        # A proxy from the shell's environment must not apply to the loopback.
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{line['port']}", trust_env=False) as client:
            response = await client.get("/healthz", timeout=DEADLINE_SECONDS)
            assert response.status_code == 200
            yield process, client
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_terminated_process_finishes_requests_and_exits_with_0(signum: signal.Signals) -> None:
    async def scenario() -> None:
        slow = ("--distribution", "constant", "--latency-ms", "1000")
        async with _service(*slow) as (process, client):
            pending = asyncio.create_task(
                client.get("/infer", params={"prompt": "x"}, headers={"x-request-id": "r-1"}, timeout=DEADLINE_SECONDS)
            )
            deadline = time.monotonic() + DEADLINE_SECONDS
            while "service_python_requests_in_flight 2.0" not in (await client.get("/metrics")).text:
                assert time.monotonic() < deadline, "never in flight"
            process.send_signal(signum)

            assert (await pending).status_code == 200
            events = []
            while (line := await _read(process))["event"] != "stopped":
                events.append(line)
            assert await asyncio.wait_for(process.wait(), DEADLINE_SECONDS) == 0

            [request] = [line for line in events if line["event"] == "request"]  # no probe, no scrape
            assert (request["request_id"], request["path"], request["status"]) == ("r-1", "/infer", 200)
            assert request["duration_ms"] >= 990
            assert "prompt" not in str(events), "uvicorn's access log would quote the query"

    asyncio.run(scenario())


def test_terminated_process_stops_at_the_stop_timeout() -> None:
    async def scenario() -> None:
        stuck = ("--distribution", "constant", "--latency-ms", "600000", "--latency-max-ms", "600000")
        async with _service(*stuck, "--stop-timeout-seconds", "0") as (process, client):
            pending = asyncio.create_task(client.get("/infer", params={"prompt": "x"}, timeout=DEADLINE_SECONDS))
            deadline = time.monotonic() + DEADLINE_SECONDS
            while "service_python_requests_in_flight 2.0" not in (await client.get("/metrics")).text:
                assert time.monotonic() < deadline, "never in flight"
            process.terminate()
            assert await asyncio.wait_for(process.wait(), DEADLINE_SECONDS) == 0
            # uvicorn may or may not send a 500 before the connection closes.
            with suppress(httpx.TransportError):
                assert (await pending).status_code == 500

    asyncio.run(scenario())
