"""Storing on a real API server: only what was seen is deleted."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from inferway_contract.sharding import SHARD_KEY
from inferway_envtest import ApiServer
from inferway_envtest.client import Refused
from inferway_kube import login
from inferway_kube.errors import ApiError
from inferway_operator import api_client
from inferway_operator.metrics import OperatorMetrics
from inferway_operator.publish.config_maps import ConfigMaps
from inferway_operator.publish.plan import Write
from inferway_operator.settings import OperatorSettings

NAME = "inferway-0123456789"
SHARD = Write("shard", NAME, {SHARD_KEY: "{}"})


def with_store(api: ApiServer, namespace: str, work: Callable[[ConfigMaps], Awaitable[None]]) -> None:
    """Work with a store of this namespace that may write."""

    async def run() -> None:
        account = await login.with_kubeconfig(str(api.kubeconfig()))
        async with api_client.connect(account, lambda: True, OperatorMetrics()) as client:
            await work(ConfigMaps(client, OperatorSettings(namespace=namespace)))

    asyncio.run(run())


def exists(api: ApiServer, namespace: str) -> bool:
    """Whether the shard does."""
    try:
        api.ask("GET", f"/api/v1/namespaces/{namespace}/configmaps/{NAME}")
    except Refused as refused:
        if refused.code != 404:
            raise
        return False
    return True


@pytest.mark.parametrize("is_read", [False, True], ids=["written here", "read here"])
@pytest.mark.case("K2")
def test_delete_spares_a_shard_recreated_by_another_leader(
    api_server: ApiServer, namespace: str, is_read: bool
) -> None:
    """A leader of before, whose request arrives late: the new leader's config consists of this shard."""

    async def another(store: ConfigMaps) -> None:
        await store.write(SHARD)

    async def late(store: ConfigMaps) -> None:
        await store.write(SHARD)
        if is_read:
            await store.read()
        api_server.ask("DELETE", f"/api/v1/namespaces/{namespace}/configmaps/{NAME}")
        await asyncio.to_thread(with_store, api_server, namespace, another)
        with pytest.raises(ApiError) as refused:
            await store.delete(NAME)
        assert refused.value.status == 409
        assert exists(api_server, namespace)
        await store.read()
        await store.delete(NAME)
        assert not exists(api_server, namespace)
        await store.delete(NAME)  # that it is gone already is as good

    with_store(api_server, namespace, late)
