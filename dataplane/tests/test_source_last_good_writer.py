"""When the last good copy is written: the newest live documents, and once more at the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from test_source_last_good import state

from inferway_dataplane.sources.assembly import Documents
from inferway_dataplane.sources.last_good import LastGood
from inferway_dataplane.sources.last_good_writer import LastGoodWriter, WriterPace
from inferway_testing.until import until_async

pytestmark = pytest.mark.case("K4")


class Disk(LastGood):
    """A disk that may be full, or hang."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self.is_full = False
        self.attempts = 0
        self.turns = threading.Event()
        self.turns.set()

    def save(self, documents: Documents) -> None:
        self.attempts += 1
        assert self.turns.wait(10)
        if self.is_full:
            raise OSError(28, "No space left on device")
        super().save(documents)


def writer(disk: Disk, retry: float = 0.02, end: float = 5.0) -> LastGoodWriter:
    return LastGoodWriter(disk, WriterPace(rest=0.01, retry=retry, end=end), now=lambda: 7.0)


def saved_body(folder: Path) -> str | None:
    """The config revision of the copy."""
    copy = LastGood(str(folder)).read()
    return copy.config.revision if copy is not None else None


def run(keeping: LastGoodWriter, test: Callable[[], Awaitable[None]]) -> None:
    """Run the test next to the writer, which is cancelled at the end as a source is by SIGTERM."""

    async def main() -> None:
        task = asyncio.create_task(keeping.run())
        try:
            async with asyncio.timeout(10):
                await test()
        finally:
            task.cancel()
            [ended] = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError)

    asyncio.run(main())


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_full_disk_is_logged_once_and_the_newest_saved_later(disk, tmp_path, caplog):
    keeping = writer(disk)

    async def test() -> None:
        disk.is_full = True
        for body in ("older", "live"):
            keeping.keep(state(body))
            disk.attempts = 0
            await until_async(lambda: disk.attempts >= 2, "a second attempt")
        assert (keeping.is_saved, keeping.saved_at) == (False, 0.0)
        disk.is_full = False
        await until_async(lambda: keeping.is_saved, "the copy to be saved")
        assert keeping.saved_at == 7.0
        assert saved_body(tmp_path) == "config-live"

    run(keeping, test)
    assert [record.message for record in caplog.records] == ["the last good copy cannot be written"]


def test_copies_are_apart_and_the_newest_state_counts(disk, tmp_path):
    keeping = LastGoodWriter(disk, WriterPace(rest=0.2))

    async def test() -> None:
        for number in range(20):
            keeping.keep(state(f"{number}"))
            await asyncio.sleep(0.005)
        await until_async(lambda: saved_body(tmp_path) == "config-19", "the newest copy")
        assert disk.attempts <= 2

    run(keeping, test)


def test_live_document_is_saved_once_more_at_the_end(disk, tmp_path):
    keeping = writer(disk, retry=3600)

    async def test() -> None:
        disk.is_full = True
        keeping.keep(state("live"))
        await until_async(lambda: keeping.is_saved is False, "the copy not to be saved")
        disk.is_full = False

    run(keeping, test)
    assert disk.attempts == 2
    assert saved_body(tmp_path) == "config-live"


def test_end_waits_for_the_write_and_saves_the_newest(disk, tmp_path):
    keeping = writer(disk)

    async def test() -> None:
        disk.turns.clear()
        keeping.keep(state("older"))
        await until_async(lambda: disk.attempts, "an attempt")
        keeping.keep(state("newest"))
        asyncio.get_running_loop().call_later(0.2, disk.turns.set)

    run(keeping, test)
    assert disk.attempts == 2
    assert saved_body(tmp_path) == "config-newest"


def test_hanging_disk_does_not_delay_the_end(disk, caplog):
    keeping = writer(disk, end=0.1)

    async def main() -> None:
        disk.turns.clear()
        keeping.keep(state("live"))
        task = asyncio.create_task(keeping.run())
        await until_async(lambda: disk.attempts, "an attempt")
        task.cancel()
        _, pending = await asyncio.wait((task,), timeout=5)
        assert not pending
        assert disk.attempts == 1
        disk.turns.set()

    asyncio.run(main())
    assert [record.message for record in caplog.records] == [
        "the last good copy took too long at the end, it may be an older one"
    ]


def test_saved_document_is_not_written_again_at_the_end(disk):
    keeping = writer(disk)

    async def test() -> None:
        keeping.keep(state("live"))
        await until_async(lambda: keeping.is_saved, "the copy to be saved")

    run(keeping, test)
    assert disk.attempts == 1
