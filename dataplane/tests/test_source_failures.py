"""A source that ends unexpectedly is logged; then the live document stays, or the process ends."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from test_source_last_good import state

from inferway_dataplane.sources import nothing_newer
from inferway_dataplane.sources.assembly import Documents
from inferway_dataplane.sources.cluster import ClusterSource, Pace
from inferway_dataplane.sources.last_good import LastGood
from inferway_dataplane.sources.last_good_writer import WriterPace
from inferway_dataplane.sources.lease import Pod
from inferway_kube.errors import ApiError
from inferway_testing.client import ask
from inferway_testing.process import Process
from inferway_testing.until import until_async

DYING = """
import asyncio, signal, sys
from inferway_contract.document import ConfigDocument, EndpointsDocument
from inferway_dataplane.main import serve
from inferway_dataplane.settings import Settings
from inferway_dataplane.sources import SourceState

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})

class Source:
    waiting, error, ends_with_process = "nothing yet", "", sys.argv[1] == "cluster"
    state = SourceState()
    async def follow(self, receiver):
        if sys.argv[2] == "served":
            await receiver.accept(ConfigDocument(), EndpointsDocument())
        await asyncio.to_thread(signal.sigwait, {signal.SIGUSR1})
        raise RuntimeError("can't start new thread")

settings = Settings(listen="127.0.0.1:0", admin="127.0.0.1:0", access_log=False, drain_delay=1.0, drain_ready=True)
sys.exit(serve(settings, Source()))
"""
"""A data plane whose source fails unexpectedly on SIGUSR1."""


def process_with_dying_source(mode: str, document: str = "served") -> Process:
    """Start it."""
    return Process([sys.executable, "-c", DYING, mode, document], stdout=subprocess.DEVNULL)


@pytest.mark.outside
@pytest.mark.case("K4")
def test_cluster_process_ends_after_the_drain() -> None:
    with process_with_dying_source("cluster") as process:
        admin = process.port("admin")
        assert ask(admin, "/readyz") == (200, b"ok\n")
        process.signal(signal.SIGUSR1)
        event = process.event("the source has ended, so the process ends")
        assert (event["level"], event["error"]) == ("critical", "RuntimeError: can't start new thread")
        assert "Traceback" in event["exception"]
        process.event("draining")
        # At once, despite `drain_ready`: that is for pods that Kubernetes terminates.
        assert ask(admin, "/readyz") == (503, b"draining\n")
        assert process.exit_code() == 1
        assert process.events[-1]["event"] == "stopped"


@pytest.mark.outside
def test_signal_during_the_drain_does_not_shorten_it() -> None:
    with process_with_dying_source("cluster") as process:
        process.event("ready")
        process.signal(signal.SIGUSR1)
        process.event("draining")
        process.signal(signal.SIGTERM)
        assert process.exit_code() == 1
        assert process.events[-1]["event"] == "stopped"


@pytest.mark.outside
def test_ended_directory_source_is_logged_and_serving_continues() -> None:
    with process_with_dying_source("directory") as process:
        admin, port = process.port("admin"), process.port()
        process.signal(signal.SIGUSR1)
        assert process.event("the source has ended, the live document stays")["level"] == "critical"
        assert "not followed any more" in json.loads(ask(admin, "/debug/config")[1])["lastError"]
        assert ask(admin, "/readyz")[0] == 200
        assert ask(port)[0] == 404
        process.signal(signal.SIGTERM)
        assert process.exit_code() == 0


@pytest.mark.outside
def test_source_ended_before_a_document_ends_the_process() -> None:
    with process_with_dying_source("cluster", "waiting") as process:
        process.event("waiting for the first document")
        process.signal(signal.SIGUSR1)
        assert process.exit_code() == 1
        event = process.event("unexpected error while starting")
        assert "can't start new thread" in event["exception"]
        assert process.text == []


class UnreachableApi:
    """A client of an API server that does not answer."""

    async def close(self) -> None: ...

    async def _fail(self, *_: object) -> None:
        raise ApiError("away")

    get = list_all = apply = _fail


class AcceptingGateway:
    """A gateway that takes everything."""

    def __init__(self) -> None:
        self.revisions: list[str] = []

    async def accept(self, config, endpoints, revision: str = "", error: str = "", newer=nothing_newer) -> None:
        self.revisions.append(revision)

    def reject(self, error: str) -> None:
        raise AssertionError(error)


def run(source: ClusterSource, received: AcceptingGateway, condition) -> None:
    """Follow until the condition holds; the source must not have ended by then."""

    async def main() -> None:
        task = asyncio.create_task(source.follow(received))
        try:
            await until_async(lambda: condition() or task.done(), "the condition")
            assert not task.done(), "the source has ended"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


class Copies(LastGood):
    """A folder that is read or written only after some failures."""

    def __init__(self, folder: Path, failed_reads: int = 0, failed_writes: int = 0) -> None:
        super().__init__(str(folder))
        self.failed_reads, self.failed_writes = failed_reads, failed_writes
        self.written: list[Documents] = []

    def read(self) -> Documents | None:
        if self.failed_reads:
            self.failed_reads -= 1
            raise RuntimeError("can't start new thread")
        return super().read()

    def save(self, documents: Documents) -> None:
        if self.failed_writes:
            self.failed_writes -= 1
            raise RuntimeError("can't start new thread")
        super().save(documents)
        self.written.append(documents)


def source_with_a_copy(last_good: LastGood) -> ClusterSource:
    """A source that has nothing but a copy."""
    pace = Pace(patience=0.02, copies=WriterPace(rest=0.02, retry=0.01))
    return ClusterSource(UnreachableApi(), UnreachableApi(), "demo", Pod("gateway-0", "0", "inferway"), last_good, pace)


@pytest.fixture
def last_good_copy(tmp_path: Path) -> Path:
    """A folder with a copy in it."""
    LastGood(str(tmp_path / "state")).save(state("kept"))
    return tmp_path / "state"


@pytest.mark.case("K4")
def test_copy_is_read_again_after_a_thread_failed(last_good_copy, caplog) -> None:
    received = AcceptingGateway()
    source = source_with_a_copy(Copies(last_good_copy, failed_reads=2))
    run(source, received, lambda: received.revisions)
    assert received.revisions == ["config-kept"]
    logged = [record.message for record in caplog.records if record.exc_info]
    assert logged == ["unexpected error while reading the last good copy"] * 2
    assert "internal error" not in source.waiting


@pytest.mark.case("K4")
def test_copy_is_written_again_after_a_thread_failed(last_good_copy, caplog) -> None:
    copies = Copies(last_good_copy, failed_writes=2)
    run(source_with_a_copy(copies), AcceptingGateway(), lambda: copies.written)
    logged = [record.message for record in caplog.records if record.exc_info]
    assert logged == ["unexpected error while writing the last good copy"] * 2
