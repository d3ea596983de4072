"""Client, reflector and election on a real API server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import pytest

from inferway_envtest import ApiServer
from inferway_kube import login
from inferway_kube.api_health import ApiHealth
from inferway_kube.backoff import Backoff
from inferway_kube.client import Client, Deadlines, path
from inferway_kube.errors import ApiError, NotFound
from inferway_kube.events import Manifest
from inferway_kube.leader_election import LEASES, Election, LeaderElection
from inferway_kube.reflector import Collection, Reflector
from inferway_testing.until import until_async

QUICK = Deadlines(watch=2, watch_grace=1.0)


def play(api: ApiServer, scenario: Callable[[Client], Awaitable[None]]) -> None:
    """Run it with a client of this server."""

    async def run() -> None:
        account = await login.with_kubeconfig(str(api.kubeconfig()))
        async with Client(account, "kube-test", QUICK) as client:
            await scenario(client)

    asyncio.run(run())


def config_map(name: str, **data: str) -> dict[str, object]:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


class Names:
    """A store of names."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    async def replace(self, manifests: Sequence[Manifest]) -> None:
        """All of them."""
        self.names = {manifest["metadata"]["name"] for manifest in manifests}

    def upsert(self, manifest: Manifest) -> None:
        """One more."""
        self.names.add(manifest["metadata"]["name"])

    def remove(self, manifest: Manifest) -> None:
        """One less."""
        self.names.discard(manifest["metadata"]["name"])


def test_client_on_a_real_api_server(api_server: ApiServer, namespace: str) -> None:
    maps = path("/api/v1", "configmaps", namespace)

    async def scenario(client: Client) -> None:
        created = await client.create(maps, config_map("a", key="1"))
        with pytest.raises(ApiError) as twice:
            await client.create(maps, config_map("a"))
        assert (twice.value.status, twice.value.is_status) == (409, True)
        await client.replace(f"{maps}/a", {**created, "data": {"key": "2"}})
        applied = await client.apply(f"{maps}/a", config_map("a", key="3"))
        assert (applied["data"], applied["metadata"]["managedFields"][0]["manager"]) == ({"key": "3"}, "kube-test")
        page = await client.list_all(maps, {"fieldSelector": "metadata.name=a"})
        assert [item["data"] for item in page.items] == [{"key": "3"}]
        [metadata] = [one for one in await client.list_metadata(maps, {}) if one["name"] == "a"]
        assert metadata["uid"] == created["metadata"]["uid"]
        with pytest.raises(ApiError) as other:
            await client.delete(f"{maps}/a", "00000000-0000-0000-0000-000000000000")
        assert other.value.status == 409
        await client.delete(f"{maps}/a", metadata["uid"])
        with pytest.raises(NotFound) as gone:
            await client.get(f"{maps}/a")
        assert gone.value.is_status
        with pytest.raises(NotFound) as unknown:
            await client.list_all("/apis/example.com/v1/things", {})
        assert not unknown.value.is_status

    play(api_server, scenario)


def test_watch_on_a_real_api_server_brings_events_and_ends(api_server: ApiServer, namespace: str) -> None:
    maps = path("/api/v1", "configmaps", namespace)

    async def scenario(client: Client) -> None:
        page = await client.list_all(maps, {})
        async with client.watch(maps, {}, page.version) as watch:
            await client.create(maps, config_map("a"))
            events = [(event.type, event.version) async for event in watch]
        assert events[0][0] == "ADDED"
        assert int(events[-1][1]) >= int(events[0][1])

    play(api_server, scenario)


@pytest.mark.case("K1")
def test_reflector_on_a_real_api_server(api_server: ApiServer, namespace: str) -> None:
    maps = path("/api/v1", "configmaps", namespace)

    async def scenario(client: Client) -> None:
        store = Names()
        collection = Collection("maps", (maps,), {"fieldSelector": "metadata.name!=kube-root-ca.crt"})
        health = ApiHealth(logging.getLogger("test"))
        reflector = Reflector(client, collection, store, health, Backoff(lambda: 0.0))
        reflector.start()
        try:
            await asyncio.wait_for(reflector.synced.wait(), 10)
            for number in range(5):
                await client.create(maps, config_map(f"m{number}"))
            await until_async(lambda: store.names == {f"m{number}" for number in range(5)}, "all of them")
            await client.delete(f"{maps}/m0")
            await until_async(lambda: "m0" not in store.names, "one is gone")
            await asyncio.sleep(QUICK.watch)  # past the end of a watch
            await client.delete(f"{maps}/m1")
            await until_async(lambda: store.names == {"m2", "m3", "m4"}, "another is gone")
            await client.create(maps, config_map("m5"))
            await reflector.refresh()
            assert store.names == {"m2", "m3", "m4", "m5"}
        finally:
            await reflector.stop()

    play(api_server, scenario)


def test_election_on_a_real_api_server(api_server: ApiServer, namespace: str) -> None:
    async def scenario(client: Client) -> None:
        working: list[str] = []

        def candidate(identity: str) -> asyncio.Task[None]:
            async def lead() -> None:
                working.append(identity)
                try:
                    await asyncio.Event().wait()
                finally:
                    working.remove(identity)

            election = Election("leader", namespace, identity, 2, 1.0, 0.2)
            health = ApiHealth(logging.getLogger("test"))
            return asyncio.create_task(LeaderElection(client, election, lead, health).run())

        one = candidate("one")
        await until_async(lambda: working == ["one"], "the first leads")
        two = candidate("two")
        await asyncio.sleep(2.5)  # longer than the Lease lasts without a renewal
        assert working == ["one"]
        one.cancel()
        await until_async(lambda: working == ["two"], "the second leads", 1.5)
        lease = await client.get(path(LEASES, "leases", namespace, "leader"))
        assert (lease["spec"]["holderIdentity"], lease["spec"]["leaseTransitions"]) == ("two", 1)
        two.cancel()
        await asyncio.wait([one, two])

    play(api_server, scenario)
