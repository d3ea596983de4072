"""The reflector over real HTTP: whatever the server answers, the store ends as the collection is."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fake_api import FakeApi, Fault, fake_api

from inferway_kube.api_health import ApiHealth
from inferway_kube.backoff import Backoff
from inferway_kube.client import Client
from inferway_kube.deadlines import Deadlines
from inferway_kube.errors import ApiError, NotFound
from inferway_kube.events import Manifest
from inferway_kube.reflector import Collection, Reflector
from inferway_testing.until import until_async

pytestmark = pytest.mark.outside

THINGS = "/apis/example.com/v1/things"
OLD_THINGS = "/apis/example.com/v1beta1/things"
QUICK = Deadlines(connect=0.5, read=0.5, write=0.5, watch=2, watch_grace=0.3)


class Names:
    """A store that keeps names, and counts lists."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.lists = 0
        self.bugs = 0

    async def replace(self, manifests: Sequence[Manifest]) -> None:
        """All of them."""
        self.lists += 1
        self.names = {}
        for manifest in manifests:
            self.upsert(manifest)

    def upsert(self, manifest: Manifest) -> None:
        """One more."""
        if self.bugs:
            self.bugs -= 1
            raise AssertionError("a bug in a store")
        self.names[manifest["metadata"]["uid"]] = manifest["metadata"]["name"]

    def remove(self, manifest: Manifest) -> None:
        """One less."""
        self.names.pop(manifest["metadata"]["uid"], None)


class Reflected:
    """A running reflector and what it feeds."""

    def __init__(self, api: FakeApi, reflector: Reflector, store: Names, health: ApiHealth) -> None:
        self.api = api
        self.reflector = reflector
        self.store = store
        self.health = health

    async def holds(self, *names: str, seconds: float = 5.0) -> None:
        """Until the store holds exactly these."""
        await until_async(
            lambda: sorted(self.store.names.values()) == sorted(names), f"{names}, not {self.store.names}", seconds
        )


@asynccontextmanager
async def reflected(
    *paths: str,
    defined: Sequence[str] = (THINGS,),
    optional: bool = False,
    pause: float = 0.02,
    absent_pause: float = 0.05,
    may_be_forbidden: bool = False,
) -> AsyncIterator[Reflected]:
    """A reflector of these paths, which is started."""
    async with fake_api(*defined) as api, Client(api.login, "test", QUICK) as client:
        health, store = ApiHealth(logging.getLogger("test")), Names()
        backoff = Backoff(lambda: 0.0, first=pause, longest=pause * 5, longest_retry_after=0.3)
        collection = Collection(
            "things", paths or (THINGS,), {"labelSelector": "a"}, optional, absent_pause, may_be_forbidden
        )
        reflector = Reflector(client, collection, store, health, backoff)
        reflector.start()
        try:
            yield Reflected(api, reflector, store, health)
        finally:
            await reflector.stop()


def test_reflector_lists_and_watches() -> None:
    async def run() -> None:
        async with reflected() as seen:
            await asyncio.wait_for(seen.reflector.synced.wait(), 5)
            seen.api.put(THINGS, "a")
            seen.api.put(THINGS, "b")
            await seen.holds("a", "b")
            seen.api.remove(THINGS, "a")
            await seen.holds("b")
            assert seen.store.lists == 1
            assert all("labelSelector=a" in line for line in seen.api.requests)

    asyncio.run(run())


def test_reflector_resumes_a_watch_that_ended_in_order() -> None:
    async def run() -> None:
        async with reflected() as seen:
            seen.api.put(THINGS, "a")
            await until_async(lambda: sum("watch" in line for line in seen.api.requests) >= 2, "a second watch")
            seen.api.put(THINGS, "b")
            await seen.holds("a", "b")
            assert seen.store.lists == 1

    asyncio.run(run())


def test_reflector_notices_deletions_during_an_outage() -> None:
    """A list replaces what the store held."""

    async def run() -> None:
        async with reflected() as seen:
            seen.api.put(THINGS, "a")
            seen.api.put(THINGS, "b")
            await seen.holds("a", "b")
            down = seen.api.fault("GET", 503, times=10_000)
            seen.api.cut()
            await until_async(lambda: down.hits > 3, "it has tried")
            seen.api.remove(THINGS, "a")
            seen.api.put(THINGS, "c")
            seen.api.forget_history()
            seen.api.faults.clear()
            await seen.holds("b", "c")

    asyncio.run(run())


@pytest.mark.case("K1")
def test_reflector_recovers_after_the_attempts_of_ten_minutes() -> None:
    """An outage of this length costs about 320 attempts, of which none may be the last."""

    async def run() -> None:
        async with reflected(pause=0.0) as seen:
            seen.api.put(THINGS, "a")
            await seen.holds("a")
            down = seen.api.fault("GET", 503, times=10_000)
            seen.api.cut()
            await until_async(lambda: down.hits > 320, "it has tried", 20)
            assert list(seen.store.names.values()) == ["a"]
            seen.api.remove(THINGS, "a")
            seen.api.put(THINGS, "b")
            seen.api.forget_history()
            seen.api.faults.clear()
            await seen.holds("b")

    asyncio.run(run())


def test_reflector_takes_a_recreated_object_for_another() -> None:
    async def run() -> None:
        async with reflected() as seen:
            seen.api.put(THINGS, "a")
            await seen.holds("a")
            seen.api.remove(THINGS, "a")
            seen.api.put(THINGS, "a")
            await until_async(
                lambda: list(seen.store.names) == [seen.api.collections[THINGS]["a"]["metadata"]["uid"]], "the new one"
            )

    asyncio.run(run())


STATUS = {"kind": "Status", "message": "a fault"}


def event(kind: str, found: Any) -> str:
    """A line of a watch."""
    return json.dumps({"type": kind, "object": found}) + "\n"


ANSWERS = {
    "410 as an answer": Fault("watch", 410, times=3),
    "410 as an event": Fault("watch", body=event("ERROR", {**STATUS, "code": 410}), times=3),
    "500 as an event": Fault("watch", body=event("ERROR", {**STATUS, "code": 500}), times=3),
    "error event of nothing": Fault("watch", body=event("ERROR", None), times=3),
    "404 for a watch": Fault("watch", 404, times=3),
    "404 for all": Fault("things", 404, times=3),
    "403": Fault("things", 403, times=3),
    "401": Fault("things", 401, times=3),
    "page for a watch": Fault("watch", body="<html>\n", times=3),
    "page for all": Fault("things", body="<html>", times=4),
    "list for an object": Fault("things", body="[]", times=4),
    "other kind": Fault("limit", body=json.dumps({"kind": "Status", "metadata": {}}), times=3),
    "empty": Fault("things", times=4),
    "event without object": Fault("watch", body=event("ADDED", {}), times=3),
    "blank lines": Fault("watch", body="\n\n", times=3),
    "watch that ends at once": Fault("watch", times=6),
    "429 with seconds": Fault("things", 429, times=2, headers={"Retry-After": "1"}),
    "429 with a day": Fault("things", 429, times=2, headers={"Retry-After": "86400"}),
    "429 with a date": Fault("things", 429, times=2, headers={"Retry-After": "Tue, 24 Nov 2026 20:00:00 GMT"}),
    "429 with nonsense": Fault("things", 429, times=2, headers={"Retry-After": "soon"}),
    "503": Fault("things", 503, body="<html>", times=3),
}


@pytest.mark.case("K1")
@pytest.mark.parametrize("fault", ANSWERS.values(), ids=ANSWERS)
def test_reflector_survives_any_answer(fault: Fault) -> None:
    """And keeps what it has meanwhile."""
    fault.hits = 0

    async def run() -> None:
        async with reflected() as seen:
            seen.api.put(THINGS, "a")
            await seen.holds("a")
            seen.api.faults.append(fault)
            if "limit" in fault.pattern:
                seen.api.forget_history()
                seen.api.fault("watch", 410)
            seen.api.cut()
            while fault.hits < fault.times:
                assert list(seen.store.names.values()) == ["a"]
                await asyncio.sleep(0.002)
            seen.api.put(THINGS, "b")
            await seen.holds("a", "b")
            await until_async(lambda: seen.health.trouble == "", "it is well")

    asyncio.run(run())


@pytest.mark.case("K1")
def test_reflector_survives_all_answers_in_a_row() -> None:
    async def run() -> None:
        async with reflected() as seen:
            for number, fault in enumerate(ANSWERS.values()):
                fault.hits = 0
                seen.api.faults = [fault]
                seen.api.forget_history()
                seen.api.cut()
                seen.api.put(THINGS, f"t{number}")
            seen.api.faults = []
            await seen.holds(*(f"t{number}" for number in range(len(ANSWERS))))

    asyncio.run(run())


@pytest.mark.case("K1")
def test_reflector_notices_a_frozen_watch() -> None:
    async def run() -> None:
        async with reflected() as seen:
            seen.api.put(THINGS, "a")
            await seen.holds("a")
            seen.api.is_frozen = True
            await asyncio.sleep(0.1)  # until the watch has looked
            seen.api.put(THINGS, "b")
            seen.api.has_changed.clear()
            await asyncio.sleep(0.1)
            assert list(seen.store.names.values()) == ["a"]
            watches = sum("watch" in line for line in seen.api.requests)
            await until_async(lambda: sum("watch" in line for line in seen.api.requests) > watches, "another watch", 4)
            seen.api.is_frozen = False
            await seen.holds("a", "b")

    asyncio.run(run())


def test_reflector_goes_on_after_a_bug_in_a_store(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with reflected() as seen:
            await asyncio.wait_for(seen.reflector.synced.wait(), 5)
            seen.store.bugs = 2
            seen.api.put(THINGS, "a")
            await seen.holds("a")

    asyncio.run(run())
    assert "unexpected error while reflecting things" in caplog.text


def test_burst_of_slow_events_leaves_turns_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events that have arrived together are not one turn of the loop, however long the store needs for each."""

    def metadata(number: int) -> Manifest:
        return {"metadata": {"uid": f"u{number}", "name": f"n{number}", "resourceVersion": str(100 + number)}}

    burst = "".join(event("ADDED", metadata(number)) for number in range(20))
    turns: list[int] = []

    async def run() -> None:
        async with reflected() as seen:
            await asyncio.wait_for(seen.reflector.synced.wait(), 5)
            turn = 0

            def upsert(manifest: Manifest) -> None:
                turns.append(turn)
                time.sleep(0.011)

            monkeypatch.setattr(seen.store, "upsert", upsert)
            seen.api.faults.append(Fault("watch", body=burst))
            seen.api.put(THINGS, "a")
            while len(turns) < 20:
                turn += 1
                await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(run(), 10))
    assert len(set(turns)) >= 19


def test_reflector_takes_the_first_version_that_is_served() -> None:
    async def run() -> None:
        async with reflected(THINGS, OLD_THINGS, defined=(OLD_THINGS,), optional=True) as seen:
            seen.api.put(OLD_THINGS, "a")
            await seen.holds("a")
            seen.api.put(OLD_THINGS, "b")
            await seen.holds("a", "b")
            assert seen.store.lists == 1

    asyncio.run(run())


def test_reflector_of_an_unknown_optional_kind_is_empty() -> None:
    async def run() -> None:
        async with reflected(defined=(), optional=True) as seen:
            await asyncio.wait_for(seen.reflector.synced.wait(), 5)
            assert seen.health.trouble == ""
            seen.api.define(THINGS)
            seen.api.put(THINGS, "a")
            await seen.holds("a")

    asyncio.run(run())


FORBIDDEN = {
    "kind": "Status",
    "code": 403,
    "reason": "Forbidden",
    "message": 'things.example.com is forbidden: User "a" cannot list resource "things" in API group "example.com"',
}


@pytest.mark.parametrize("may_be_forbidden", [True, False])
def test_reflector_is_empty_only_where_it_may_be_forbidden(may_be_forbidden: bool) -> None:
    async def run() -> None:
        async with reflected(may_be_forbidden=may_be_forbidden, pause=0.2) as seen:
            no = seen.api.fault(
                "limit", 403, json.dumps(FORBIDDEN), headers={"Content-Type": "application/json"}, times=3
            )
            seen.api.put(THINGS, "a")
            await until_async(lambda: no.hits == no.times, "it asks again")
            assert seen.reflector.synced.is_set() is may_be_forbidden
            await seen.holds("a")  # the right is there now

    asyncio.run(run())


def test_reflector_pauses_longer_only_after_a_404() -> None:
    """A fault while an optional kind is absent is retried as any other."""

    async def run() -> None:
        async with reflected(defined=(), optional=True, absent_pause=0.5) as seen:
            await asyncio.wait_for(seen.reflector.synced.wait(), 5)
            away = seen.api.fault("limit", 503, times=20)
            await until_async(lambda: away.hits == away.times, "twenty attempts", 5)

    asyncio.run(run())


def test_reflector_of_an_unknown_needed_kind_is_not_synced() -> None:
    async def run() -> None:
        async with reflected(defined=()) as seen:
            await until_async(lambda: len(seen.api.requests) > 3, "it asks again")
            assert not seen.reflector.synced.is_set()
            assert "does not know a kind" in seen.health.trouble
            seen.api.define(THINGS)
            seen.api.put(THINGS, "a")
            await seen.holds("a")
            assert seen.health.trouble == ""

    asyncio.run(run())


@pytest.mark.parametrize("times", [1, 2])
def test_reflector_empties_an_optional_kind_only_after_two_404(times: int) -> None:
    """A proxy's 404 is not a reason to forget grants; a kind that is really gone is."""

    async def run() -> None:
        async with reflected(optional=True) as seen:
            seen.api.put(THINGS, "a")
            await seen.holds("a")
            lists = seen.store.lists
            seen.api.fault("watch", 410)
            missing = seen.api.fault("limit", 404, times=times)
            seen.api.cut()
            await until_async(lambda: missing.hits == times and seen.store.lists > lists, "a list")
            assert seen.store.lists == lists + 1
            assert list(seen.store.names.values()) == (["a"] if times == 1 else [])
            await seen.holds("a")

    asyncio.run(run())


def test_refresh_brings_all_that_existed_before() -> None:
    """Past a watch that lags behind."""

    async def run() -> None:
        async with reflected() as seen:
            await asyncio.wait_for(seen.reflector.synced.wait(), 5)
            seen.api.is_frozen = True
            await asyncio.sleep(0.1)  # until the watch has looked
            seen.api.put(THINGS, "a")
            await asyncio.gather(seen.reflector.refresh(), seen.reflector.refresh())
            assert list(seen.store.names.values()) == ["a"]
            seen.api.is_frozen = False
            seen.api.put(THINGS, "b")
            await seen.holds("a", "b")

    asyncio.run(run())


def test_refresh_does_not_start_a_stopped_reflector() -> None:
    async def run() -> None:
        async with reflected() as seen:
            await asyncio.wait_for(seen.reflector.synced.wait(), 5)
            slow = seen.api.fault("limit", 503, delay=0.2)
            refresh = asyncio.create_task(seen.reflector.refresh())
            await until_async(lambda: slow.hits, "the list is under way")
            await seen.reflector.stop()
            with pytest.raises(ApiError):
                await refresh
            assert [task for task in asyncio.all_tasks() if task.get_name().startswith("reflector")] == []

    asyncio.run(run())


@pytest.mark.parametrize(("status", "kind"), [(503, ApiError), (404, NotFound)])
def test_refresh_raises_and_the_reflector_goes_on(status: int, kind: type[ApiError]) -> None:
    async def run() -> None:
        async with reflected() as seen:
            await asyncio.wait_for(seen.reflector.synced.wait(), 5)
            seen.api.fault("limit", status)
            with pytest.raises(kind):
                await seen.reflector.refresh()
            seen.api.put(THINGS, "a")
            await seen.holds("a")

    asyncio.run(run())
