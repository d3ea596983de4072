"""Endpoints are read at most once in a pause during a build, and again after the API server failed."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from config_publisher import config_with_backend, endpoints

from inferway_contract.document import EndpointsDocument
from inferway_dataplane.sources import endpoint_changes
from inferway_dataplane.sources.assembly import Assembled, Documents
from inferway_dataplane.sources.endpoint_changes import EndpointChanges
from inferway_kube.api_health import ApiHealth
from inferway_kube.errors import ApiError
from inferway_testing.until import until_async

LIVE = Documents(Assembled(config_with_backend("default/a:80"), "live"), Assembled(endpoints(a=[1]), "endpoints 1"))
BUILT = Documents(
    Assembled(config_with_backend("default/b:80"), "built"), Assembled(endpoints(a=[1], b=[1]), "endpoints 1")
)


class Published:
    """Endpoints that are others with each look, after some failures."""

    def __init__(self, failures: int = 0, ports: tuple[int, ...] = ()) -> None:
        self.looks = self.accepted = 0
        self._failures = failures
        self._ports = ports

    async def newest(self) -> Assembled[EndpointsDocument]:
        self.looks += 1
        if self.looks <= self._failures:
            raise ApiError("away")
        port = self._ports[min(self.looks, len(self._ports)) - 1] if self._ports else self.looks
        return Assembled(endpoints(b=[port]), f"endpoints {port}")

    def accept(self) -> None:
        self.accepted += 1


class Following:
    """Changes of one build, all the time."""

    def __init__(self, published: Published, bad: str = "") -> None:
        self.served: list[Documents] = []
        self.reads = 0
        self.health = ApiHealth(logging.getLogger("test"), patience=0.0)
        self.changed = asyncio.Event()
        source: Any = published
        self.changes = EndpointChanges(
            source,
            LIVE,
            BUILT,
            bad,
            health=self.health,
            changed=self.changed,
            on_served=self.served.append,
            on_read=self._read,
        )

    def _read(self) -> None:
        self.reads += 1
        self.changed.set()

    async def until_read(self, times: int) -> None:
        """Follow until this number of looks succeeded."""
        self.changed.set()
        task = asyncio.create_task(self.changes.follow())
        await until_async(lambda: self.reads >= times or task.done(), "they are read")
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(endpoint_changes, "PAUSE", 0.02)
    return 0.02


def test_changes_are_read_once_in_a_pause(pauses: float) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        published = Published()
        await Following(published).until_read(6)
        assert loop.time() - began >= 5 * pauses * 0.9
        assert published.looks <= (loop.time() - began) / (pauses * 0.9) + 1

    asyncio.run(main())


def test_api_server_that_fails_is_asked_again(pauses: float) -> None:
    async def main() -> None:
        following = Following(Published(failures=2))
        await following.until_read(1)
        assert following.health.trouble == ""
        arrived = following.changes.take()
        assert arrived is not None
        assert arrived.built == endpoints(b=[3])

    asyncio.run(main())


def test_last_known_addresses_are_kept_during_a_build(pauses: float) -> None:
    async def main() -> None:
        following = Following(Published())
        await following.until_read(2)
        arrived = following.changes.take()
        assert arrived is not None
        assert following.changes.take() is None
        assert arrived.live == endpoints(b=[2], a=[1])
        arrived.on_served()
        assert [documents.revisions for documents in following.served] == [("live", "endpoints 2")]
        assert following.changes.built.revisions == ("built", "endpoints 2")
        assert following.changes.has_seen_change

    asyncio.run(main())


def test_endpoints_that_change_back_are_offered_again(pauses: float) -> None:
    async def main() -> None:
        following = Following(Published(ports=(2, 1)))
        await following.until_read(2)
        arrived = following.changes.take()
        assert arrived is not None
        assert arrived.built == endpoints(b=[1])

    asyncio.run(main())


def test_refused_and_unchanged_endpoints_are_not_offered(pauses: float) -> None:
    async def main() -> None:
        published = Published(ports=(1, 2))
        following = Following(published, bad="endpoints 2")
        await following.until_read(3)
        assert following.changes.take() is None
        assert published.accepted == 1  # what was refused stays refused

    asyncio.run(main())
