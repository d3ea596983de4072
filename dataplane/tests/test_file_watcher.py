"""Watched files: which changes cause a reload, and a reload that fails."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inferway_dataplane.system import file_watcher
from inferway_testing.until import until_async

EVERY = 0.005
"""Seconds between two looks."""


@pytest.fixture(autouse=True)
def _info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "inferway")


class WatchedFiles:
    """Some files, and the number of their reloads."""

    def __init__(self, *paths: Path) -> None:
        self.paths = list(paths)
        self.calls = 0
        self.failures: list[Exception] = []

    def reload(self) -> None:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)

    async def until(self, calls: int) -> None:
        await until_async(lambda: self.calls >= calls, f"{calls} reloads", 5)

    async def some_looks(self) -> None:
        """Wait for as long as five looks take at least."""
        await asyncio.sleep(0.05)


def run(followed: WatchedFiles, test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        task = asyncio.create_task(file_watcher.follow("things", lambda: followed.paths, followed.reload, every=EVERY))
        await asyncio.sleep(0)
        await test()
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


@contextmanager
def replaced_at_the_end(path: Path) -> Iterator[Path]:
    """A file next to `path` that takes its place at the end."""
    part = path.with_suffix(".part")
    yield part
    part.rename(path)


def test_unchanged_file_is_not_reloaded(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    followed = WatchedFiles(path)

    async def test() -> None:
        await followed.some_looks()
        assert followed.calls == 0

    run(followed, test)


def test_wanted_reload_reads_all_and_loses_no_cancellation(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    followed = WatchedFiles(path)

    async def main() -> None:
        wanted = asyncio.Event()
        task = asyncio.create_task(
            file_watcher.follow("things", lambda: followed.paths, followed.reload, every=60.0, wanted=wanted)
        )
        await asyncio.sleep(0)
        wanted.set()
        await followed.until(1)
        await asyncio.sleep(0.01)
        # As in the drain, where SIGHUP may come in the same turn of the loop.
        wanted.set()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait((task,), timeout=5)
        assert task.cancelled()

    asyncio.run(main())


def test_each_kind_of_change_causes_a_reload(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    followed = WatchedFiles(path)

    async def test() -> None:
        path.write_text("22")
        await followed.until(1)
        with replaced_at_the_end(path) as part:
            part.write_text("22")
        await followed.until(2)
        path.unlink()
        await followed.until(3)
        path.write_text("22")
        await followed.until(4)
        followed.paths.append(tmp_path / "b")
        await followed.until(5)
        await followed.some_looks()
        assert followed.calls == 5

    run(followed, test)


def test_swapped_link_causes_a_reload(tmp_path: Path) -> None:
    """As the kubelet changes mounted Secrets: `..data` is a link to a folder of the moment."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text(name)
        os.utime(tmp_path / name / "key", (1, 1))
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "key").symlink_to("..data/key")
    followed = WatchedFiles(tmp_path / "key")

    async def test() -> None:
        (tmp_path / "..new").symlink_to("two")
        (tmp_path / "..new").rename(tmp_path / "..data")
        await followed.until(1)

    run(followed, test)


def test_invalid_content_is_not_reloaded_until_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    followed = WatchedFiles(path)
    followed.failures = [ValueError("not a certificate")]

    async def test() -> None:
        path.write_text("22")
        await followed.until(1)
        await followed.some_looks()
        assert followed.calls == 1
        path.write_text("333")
        await followed.until(2)

    run(followed, test)
    assert [record.message for record in caplog.records] == [
        "reload failed, keeping the previous version",
        "reloaded",
    ]
    assert caplog.records[0].__dict__["error"] == "not a certificate"


def test_unreadable_file_is_retried_and_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    followed = WatchedFiles(path)
    followed.failures = [OSError("no descriptor"), OSError("no descriptor"), OSError("another"), OSError("another")]

    async def test() -> None:
        path.write_text("22")
        await followed.until(5)
        await followed.some_looks()
        assert followed.calls == 5

    run(followed, test)
    errors = [record.__dict__.get("error") for record in caplog.records]
    assert errors == ["no descriptor", "another", None]


def test_unexpected_reload_error_does_not_stop_the_watcher(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    followed = WatchedFiles(path)
    followed.failures = [ZeroDivisionError()]

    async def test() -> None:
        path.write_text("22")
        await followed.until(1)
        path.write_text("333")
        await followed.until(2)

    run(followed, test)
    assert "unexpected error while reloading" in caplog.text


def test_unexpected_scan_error_does_not_stop_the_watcher(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Such as no thread to look with."""
    path = tmp_path / "a"
    path.write_text("1")
    reloaded = asyncio.Event()
    failures: list[Exception] = []

    def paths() -> list[Path]:
        if failures:
            raise failures.pop()
        return [path]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(
            file_watcher.follow("things", paths, lambda: loop.call_soon_threadsafe(reloaded.set) and None, every=EVERY)
        )
        await asyncio.sleep(0)
        failures.extend([RuntimeError("can't start new thread")] * 2)
        await until_async(lambda: not failures, "two failed looks", 5)
        path.write_text("22")
        await asyncio.wait_for(reloaded.wait(), 5)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert sum(bool(record.exc_info) for record in caplog.records) == 2
