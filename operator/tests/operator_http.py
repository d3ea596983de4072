"""The operator's HTTP server in a thread, with a fake operator whose state a test sets."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trustme

from inferway_fakes.loop_thread import LoopThread
from inferway_operator.http_server.server import OperatorServer, Readiness
from inferway_operator.metrics import OperatorMetrics
from inferway_operator.settings import HttpSettings
from inferway_operator.world.world import World


class FakeOperator:
    """Returns the state that a test sets."""

    def __init__(self) -> None:
        self.newest_world: World | None = World()
        self.ails = ""
        self.ready = Readiness(True, "leading")

    def world(self) -> World | None:
        return self.newest_world

    def failure(self) -> str:
        return self.ails

    def readiness(self) -> Readiness:
        return self.ready


class RunningServer:
    """The server, its operator and metrics, and its loop."""

    def __init__(self, settings: HttpSettings) -> None:
        self.operator, self.metrics = FakeOperator(), OperatorMetrics()
        self.server = OperatorServer(settings, self.operator, self.metrics)
        self.loop = asyncio.new_event_loop()

    @property
    def url(self) -> str:
        host, port = self.server.probes.address
        return f"http://{host}:{port}"

    @property
    def webhook(self) -> tuple[str, int]:
        assert self.server.reviews is not None
        return self.server.reviews.address

    @property
    def webhook_url(self) -> str:
        return f"https://{self.webhook[0]}:{self.webhook[1]}/validate"

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"inferway_operator_{name}", labels) or 0.0


@contextmanager
def running(pair: tuple[Path, Path] | None = None, **settings: Any) -> Iterator[RunningServer]:
    """Serve until the block ends; with a pair of files there is a webhook."""
    files = {} if pair is None else {"webhook_cert": pair[0], "webhook_key": pair[1]}
    server = RunningServer(
        HttpSettings(**{"listen": "127.0.0.1:0", "webhook_listen": "127.0.0.1:0", **files, **settings})
    )
    with LoopThread("operator", server.loop) as thread:
        thread.run(server.server.start())
        try:
            yield server
        finally:
            thread.run(server.server.stop())


def write_pair(authority: trustme.CA, directory: Path, *names: str) -> tuple[Path, Path]:
    """A certificate of the authority and its key as files, in place of those that are there."""
    issued = authority.issue_cert(*(names or ("127.0.0.1",)))
    pair = directory / "tls.crt", directory / "tls.key"
    contents = b"".join(blob.bytes() for blob in issued.cert_chain_pems), issued.private_key_pem.bytes()
    for file, content in zip(pair, contents, strict=True):
        part = file.with_suffix(".part")
        part.write_bytes(content)
        part.rename(file)
    return pair
