"""The plain proxy (plain_app.py) under uvicorn with uvloop and httptools."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from bench import answer, peers, ports, servers


class Plain:
    name = "plain"
    cases = (peers.Case.PROXIED,)

    @contextlib.contextmanager
    def serve(self, case: peers.Case, origin_port: int, launcher: servers.Launcher) -> Iterator[peers.Running]:
        env = {"BENCH_ORIGIN": f"http://127.0.0.1:{origin_port}", "BENCH_PREFIXES": ",".join(peers.PREFIXES)}
        with contextlib.ExitStack() as running:
            with ports.hold(1) as (port,):
                command = [
                    sys.executable, "-m", "uvicorn", "plain_app:app", "--app-dir", str(Path(__file__).parent),
                    "--host", "127.0.0.1", "--port", str(port), "--loop", "uvloop", "--http", "httptools",
                    "--lifespan", "off", "--no-access-log", "--log-level", "warning", "--timeout-keep-alive", "75",
                    "--no-server-header", "--no-date-header",
                ]  # fmt: skip
                server = running.enter_context(launcher.running(self.name, command, env))
                server.wait_ready(lambda: servers.answers(port, answer.path(0)))
            yield peers.Running(self.name, case, port, server)
