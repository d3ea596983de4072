"""The client over real HTTP: every call ends in an answer or in an `ApiError`, in time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
from fake_api import FakeApi, fake_api

from inferway_kube.client import Client, path
from inferway_kube.deadlines import Deadlines
from inferway_kube.errors import ApiError, Gone, NotFound, NotLeading

pytestmark = pytest.mark.outside

THINGS = "/api/v1/namespaces/demo/things"
QUICK = Deadlines(connect=2.0, read=2.0, write=2.0, watch=1, watch_grace=0.3)

Scenario = Callable[[FakeApi, Client], Awaitable[None]]


def play(scenario: Scenario) -> None:
    """Run it against a server and a client of its own."""

    async def run() -> None:
        async with fake_api(THINGS) as api, Client(api.login, "test", QUICK) as client:
            await scenario(api, client)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("/api/v1", "services"), "/api/v1/services"),
        (("/apis/a/v1", "things", "demo"), "/apis/a/v1/namespaces/demo/things"),
        (("/apis/a/v1", "things", "demo", "x", "status"), "/apis/a/v1/namespaces/demo/things/x/status"),
        (("/apis/a/v1", "things", "", "../x"), "/apis/a/v1/things/..%2Fx".replace("%2F", "/")),
    ],
)
def test_path_joins_what_there_is(parts: tuple[str, ...], expected: str) -> None:
    assert path(*parts) == expected


def test_client_writes_and_reads_objects() -> None:
    async def scenario(api: FakeApi, client: Client) -> None:
        created = await client.create(THINGS, {"metadata": {"name": "a"}, "data": 1})
        where = f"{THINGS}/a"
        assert (await client.get(where))["data"] == 1
        await client.replace(where, {**created, "data": 2})
        with pytest.raises(ApiError) as stale:
            await client.replace(where, {**created, "data": 3})
        assert stale.value.status == 409
        await client.apply(where, {"metadata": {"name": "a"}, "data": 4})
        assert (await client.get(where))["data"] == 4
        with pytest.raises(ApiError) as twice:
            await client.create(THINGS, {"metadata": {"name": "a"}})
        assert twice.value.status == 409
        await client.delete(where, "uid")
        with pytest.raises(NotFound) as gone:
            await client.get(where)
        assert gone.value.is_status
        assert [line for line in api.requests if "fieldManager=test" in line and "PATCH" in line]

    play(scenario)


def test_client_lists_page_by_page() -> None:
    async def scenario(api: FakeApi, client: Client) -> None:
        for number in range(7):
            api.put(THINGS, f"t{number}")
        api.page_size = 3
        listed = await client.list_all(THINGS, {"labelSelector": "a=b"})
        assert [item["metadata"]["name"] for item in listed.items] == [f"t{number}" for number in range(7)]
        assert "managedFields" not in listed.items[0]["metadata"]
        assert [line.partition("?")[2] for line in api.requests] == [
            "labelSelector=a%3Db&limit=500",
            "labelSelector=a%3Db&limit=500&continue=3",
            "labelSelector=a%3Db&limit=500&continue=6",
        ]

    play(scenario)


def test_client_lists_at_once_when_a_page_is_gone() -> None:
    async def scenario(api: FakeApi, client: Client) -> None:
        for number in range(7):
            api.put(THINGS, f"t{number}")
        api.page_size = 3
        api.fault("continue=6", 410)
        listed = await client.list_all(THINGS, {})
        assert len(listed.items) == 7
        assert "limit" not in api.requests[-1]

    play(scenario)


def test_client_reports_what_a_server_answers() -> None:
    async def scenario(api: FakeApi, client: Client) -> None:
        with pytest.raises(NotFound) as unknown:
            await client.list_all("/apis/none/v1/nothing", {})
        assert not unknown.value.is_status
        api.fault("GET", 429, headers={"Retry-After": "7"})
        with pytest.raises(ApiError) as busy:
            await client.get(f"{THINGS}/a")
        assert (busy.value.status, busy.value.retry_after) == (429, 7.0)
        for body in ("<html>", "[]", '"text"', '{"a":' * 100_000):
            api.fault("GET", 200, body)
            with pytest.raises(ApiError, match="not a JSON object"):
                await client.get(f"{THINGS}/a")
        api.fault("limit", 200, "{}")
        with pytest.raises(ApiError, match="not a list"):
            await client.list_all(THINGS, {})

    play(scenario)


@pytest.mark.parametrize("method", ["get", "create"])
def test_client_gives_up_on_a_slow_answer(method: str) -> None:
    async def scenario(api: FakeApi, client: Client) -> None:
        api.fault(".", 200, "{}", delay=9.0)
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(ApiError, match="no answer in time") as late:
            await (client.get(f"{THINGS}/a") if method == "get" else client.create(THINGS, {}))
        assert not late.value.is_answer
        assert loop.time() - began < 5.0

    play(scenario)


def test_client_is_unreachable_where_no_server_listens() -> None:
    async def scenario(api: FakeApi, client: Client) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        api.port = port
        async with Client(api.login, "test", QUICK) as other:
            with pytest.raises(ApiError) as away:
                await other.get(THINGS)
        assert not away.value.is_answer

    play(scenario)


def test_client_may_be_closed_and_used_again() -> None:
    async def scenario(api: FakeApi, client: Client) -> None:
        api.put(THINGS, "a")
        await client.get(f"{THINGS}/a")
        await client.close()
        assert (await client.get(f"{THINGS}/a"))["metadata"]["name"] == "a"

    play(scenario)


async def watched(client: Client) -> None:
    """Read a watch to its end."""
    async with client.watch(THINGS, {}, "10") as watch:
        async for _ in watch:
            pass


def test_watch_brings_events_from_a_version_and_ends() -> None:
    async def scenario(api: FakeApi, client: Client) -> None:
        api.put(THINGS, "a")
        before = str(api.version)
        api.put(THINGS, "b")
        async with client.watch(THINGS, {}, before) as watch:
            api.remove(THINGS, "a")
            events = [(event.type, event.manifest["metadata"].get("name")) async for event in watch]
        assert events == [("ADDED", "b"), ("DELETED", "a"), ("BOOKMARK", None)]

    play(scenario)


def test_watch_from_a_version_that_is_too_old_is_gone() -> None:
    async def scenario(api: FakeApi, client: Client) -> None:
        api.put(THINGS, "a")
        api.forget_history()
        with pytest.raises(Gone):
            async with client.watch(THINGS, {}, "1"):
                pass

    play(scenario)


def test_watch_that_is_silent_is_cut_off() -> None:
    async def scenario(api: FakeApi, client: Client) -> None:
        api.is_frozen = True
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(ApiError, match="no answer in time"):
            await watched(client)
        assert QUICK.watch <= loop.time() - began < QUICK.watch + QUICK.watch_grace + 1.0

    play(scenario)


def test_watch_refuses_a_line_that_does_not_end() -> None:
    async def scenario(api: FakeApi, client: Client) -> None:
        api.fault("watch", 200, "x" * 6_000_000)
        with pytest.raises(ApiError, match="a line is too long") as caught:
            await watched(client)
        assert caught.value.is_answer, "list again: the same line would come again"

    play(scenario)


def test_client_writes_only_with_consent_and_counts_failures() -> None:
    async def scenario(api: FakeApi, client: Client) -> None:
        may_write, calls = [True], []
        async with Client(
            api.login,
            "test",
            QUICK,
            may_write=lambda: may_write[0],
            on_call=lambda kind, error: calls.append((kind, error and error.status)),
        ) as fenced:
            await fenced.create(THINGS, {"kind": "Thing", "metadata": {"name": "a"}})
            assert calls == [("Thing", None)]
            may_write[0] = False
            requests = len(api.requests)
            for write in (fenced.create, fenced.replace, fenced.apply):
                with pytest.raises(NotLeading):
                    await write(THINGS, {"metadata": {"name": "b"}})
            with pytest.raises(NotLeading):
                await fenced.delete(f"{THINGS}/a")
            assert (len(api.requests), len(calls)) == (requests, 1)
            with pytest.raises(NotFound):
                await fenced.get(f"{THINGS}/b")
            api.fault("limit", 200, "<html>")
            with pytest.raises(ApiError):
                await fenced.list_all(THINGS, {})
            may_write[0] = True
            await fenced.delete(f"{THINGS}/a")
            assert calls[1:] == [("", 404), ("", 502), ("DELETE", None)]

    play(scenario)
