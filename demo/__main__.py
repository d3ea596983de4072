"""Start service-python and `inferway run`, print example requests, and stop both on Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep
from typing import Annotated

import httpx
import typer

ROOT = Path(__file__).parent.parent
SERVICE_SOURCES = ROOT / "services" / "service-python" / "src"
READY_WITHIN = 30.0  # seconds

TRY = """
The gateway is ready. Try, in another terminal:

  curl -i 'http://{listen}/infer?prompt=hello'          # again within 60 s: X-Cache: HIT
  curl -i -X POST http://{listen}/infer -H 'content-type: application/json' -d '{{"prompt": "hello"}}'
  curl -s -o /dev/null -w '%{{http_code}} ' 'http://{listen}/infer?prompt=hello#[1-60]'; echo   # about 40 times 200, then 429

Metrics: curl http://{admin}/metrics     Edit {directory}/routes.yaml: the change is live within a second.
Ctrl-C stops everything.
"""


def _free(address: str, what: str) -> None:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError as error:
            sys.exit(f"{address} is not free ({error.strerror}): make run {what.upper()}=127.0.0.1:PORT")


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = monotonic() + READY_WITHIN
    while monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(process.returncode or 1)
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        sleep(0.1)
    sys.exit(f"{url} was not ready within {READY_WITHIN:.0f} s")


def _start(*command: str, **environment: str) -> subprocess.Popen[bytes]:
    # A separate session, so that Ctrl-C reaches only this process, which then stops the others in order.
    return subprocess.Popen(command, env={**os.environ, **environment}, start_new_session=True)  # noqa: S603


def _stop(process: subprocess.Popen[bytes]) -> int:
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(timeout=40)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def main(
    directory: Annotated[Path, typer.Option()],
    listen: Annotated[str, typer.Option()],
    admin: Annotated[str, typer.Option()],
    service: Annotated[str, typer.Option()],
) -> None:
    """Run the demo until a signal."""
    for address, what in ((listen, "listen"), (admin, "admin"), (service, "service")):
        _free(address, what)
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    host, _, port = service.rpartition(":")
    upstream = _start(
        sys.executable, "-m", "service_python", "--host", host, "--port", port, "--log-level", "warning",
        PYTHONPATH=str(SERVICE_SOURCES),
    )  # fmt: skip
    code = 1
    gateway: subprocess.Popen[bytes] | None = None
    try:
        _wait(f"http://{service}/healthz", upstream)
        addresses = ("--listen", listen, "--admin", admin, "--service", service)
        gateway = _start(sys.executable, "-m", "demo.gateway", "--directory", str(directory), *addresses)
        _wait(f"http://{admin}/readyz", gateway)
        sys.stdout.write(TRY.format(listen=listen, admin=admin, directory=directory))
        sys.stdout.flush()
        code = gateway.wait()
    except KeyboardInterrupt:
        code = 0
    finally:
        if gateway is not None:
            code = _stop(gateway) or code
        _stop(upstream)
    raise typer.Exit(code)


if __name__ == "__main__":
    typer.run(main)
