"""When the last good copy is written: what is live can always be saved, and once more at the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from inferway_contract.canonical import canonical
from inferway_contract.document import ConfigDocument, DirectResponse, Endpoint, EndpointsDocument, Route, Rule
from inferway_contract.sharding import (
    ConfigIndex,
    ConfigShard,
    EndpointsIndex,
    EndpointsShard,
    Layout,
    config_of,
    endpoints_of,
    lay_out_config,
    lay_out_endpoints,
)
from inferway_dataplane.sources import last_good_writer
from inferway_dataplane.sources.assembly import Documents
from inferway_dataplane.sources.last_good import LastGood
from inferway_dataplane.sources.last_good_writer import LastGoodWriter
from inferway_dataplane.sources.published_document import ShardLoader
from inferway_testing.until import until_async

pytestmark = pytest.mark.case("K4")


class Published:
    """Shards as an API server has them."""

    def __init__(self) -> None:
        self.shards: dict[str, bytes] = {}

    def text(self, layout: Layout) -> str:
        """The index of a layout whose shards are published."""
        self.shards.update(layout.shards)
        return canonical(layout.index).decode()

    async def read_shard(self, name: str) -> bytes:
        return self.shards[name]


class Disk(LastGood):
    """One that may be full, or hang."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self.is_full = False
        self.attempts = 0
        self.turns = threading.Event()
        self.turns.set()

    def save(self, *what) -> None:
        self.attempts += 1
        assert self.turns.wait(10)
        if self.is_full:
            raise OSError(28, "No space left on device")
        super().save(*what)


class Source:
    """Both gatherings, and what keeps."""

    def __init__(self, disk: Disk) -> None:
        self.published = Published()
        self.config = ShardLoader(self.published, ConfigIndex, ConfigShard, config_of)
        self.endpoints = ShardLoader(self.published, EndpointsIndex, EndpointsShard, endpoints_of)
        self.keeping = LastGoodWriter(disk, (self.config, self.endpoints), rest=0.01, now=lambda: 7.0)

    async def gathered(self, body: str) -> Documents:
        """A config that says this, with endpoints."""
        rule = Rule(name="all", respond=DirectResponse(status=200, content_type="text/plain", body=body))
        configs = lay_out_config(ConfigDocument(routes=(Route(id="x/y", rules=(rule,)),)))
        found = EndpointsDocument(services={f"x/{body}:80": (Endpoint(address="192.0.2.1", port=80),)})
        return Documents(
            await self.config.gather(self.published.text(configs)),
            await self.endpoints.gather(self.published.text(lay_out_endpoints(found))),
            {},
        )


def saved(folder: Path) -> str | None:
    """What the copy says."""
    found = LastGood(str(folder)).read()
    if found is None:
        return None
    respond = found.documents.config.document.routes[0].rules[0].respond
    assert respond is not None
    return respond.body


def run(source: Source, test: Callable[[], Awaitable[None]]) -> None:
    """With the keeping at work beside, which is cancelled at the end as a source is by SIGTERM."""

    async def main() -> None:
        task = asyncio.create_task(source.keeping.run())
        try:
            async with asyncio.timeout(10):
                await test()
        finally:
            task.cancel()
            [ended] = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError)

    asyncio.run(main())


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """It is tried again quickly."""
    monkeypatch.setattr(last_good_writer, "AGAIN", 0.02)
    return Disk(tmp_path)


def test_what_is_live_is_saved_however_many_indexes_were_refused_while_the_disk_was_full(disk, tmp_path, caplog):
    source = Source(disk)

    async def test() -> None:
        disk.is_full = True
        source.keeping.keep(await source.gathered("live"))
        await until_async(lambda: disk.attempts >= 2, "a second attempt")
        assert (source.keeping.is_saved, source.keeping.saved_at) == (False, 0.0)
        # None of these is served; gatherings know only the last two.
        for number in range(3):
            await source.gathered(f"refused-{number}")
        disk.is_full = False
        await until_async(lambda: source.keeping.is_saved, "the copy to be saved")
        assert source.keeping.saved_at == 7.0
        assert saved(tmp_path) == "live"

    run(source, test)
    assert [record.message for record in caplog.records] == ["the last good copy cannot be written"]


def test_only_what_is_live_is_held(disk):
    source = Source(disk)

    async def test() -> None:
        disk.is_full = True
        for number in range(5):
            live = await source.gathered(f"{number}")
            source.keeping.keep(live)
        assert source.keeping._unsaved.keys() == live.config.shards | live.endpoints.shards
        disk.is_full = False
        await until_async(lambda: source.keeping.is_saved, "the copy to be saved")
        assert source.keeping._unsaved == {}

    run(source, test)


def test_at_the_end_it_is_saved_once_more(disk, tmp_path, monkeypatch):
    monkeypatch.setattr(last_good_writer, "AGAIN", 3600)
    source = Source(disk)

    async def test() -> None:
        disk.is_full = True
        source.keeping.keep(await source.gathered("live"))
        await until_async(lambda: source.keeping.is_saved is False, "the copy not to be saved")
        disk.is_full = False

    run(source, test)
    assert disk.attempts == 2
    assert saved(tmp_path) == "live"


def test_what_is_being_written_at_the_end_is_waited_for_and_the_newest_follows(disk, tmp_path):
    source = Source(disk)

    async def test() -> None:
        disk.turns.clear()
        source.keeping.keep(await source.gathered("older"))
        await until_async(lambda: disk.attempts, "an attempt")
        source.keeping.keep(await source.gathered("newest"))
        asyncio.get_running_loop().call_later(0.2, disk.turns.set)

    run(source, test)
    assert disk.attempts == 2
    assert saved(tmp_path) == "newest"


def test_a_disk_that_hangs_does_not_hold_up_the_end(disk, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(last_good_writer, "AT_LAST", 0.1)
    source = Source(disk)

    async def main() -> None:
        disk.turns.clear()
        source.keeping.keep(await source.gathered("live"))
        task = asyncio.create_task(source.keeping.run())
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


def test_nothing_is_written_at_the_end_that_is_saved_already(disk, tmp_path):
    source = Source(disk)

    async def test() -> None:
        source.keeping.keep(await source.gathered("live"))
        await until_async(lambda: source.keeping.is_saved, "the copy to be saved")

    run(source, test)
    assert disk.attempts == 1
