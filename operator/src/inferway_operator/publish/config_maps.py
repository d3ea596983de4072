"""Storing: the documents' ConfigMaps as the API server has them. Every write leaves whole documents behind."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any, Final, Literal

from inferway_contract.acknowledgement import GATEWAY_LABEL
from inferway_contract.sharding import index_name
from inferway_kube.client import path
from inferway_kube.errors import ApiError, NotFound
from inferway_operator.api_client import ApiClient
from inferway_operator.publish import published_state
from inferway_operator.publish.plan import CreateShard, Write
from inferway_operator.settings import OperatorSettings

PART_LABEL: Final = "inferway.dev/part"
"""`shard` or `index`."""
_CORE: Final = "/api/v1"


class Store:
    """Reads and writes them, and knows what they would look like if nobody else touched them."""

    def __init__(self, client: ApiClient, settings: OperatorSettings) -> None:
        self._client = client
        self._gateway = settings.gateway
        self._namespace = settings.namespace
        self._selector = settings.selector()
        self._versions: dict[str, str] = {}
        self._uids: dict[str, str] = {}
        self._touches = self._in_flight = 0

    async def read(self) -> published_state.ActualState:
        """What is published now."""
        with self._touching():
            listed = await self._client.list_all(self._path(), {"labelSelector": self._selector})
            items = {item["metadata"]["name"]: item for item in listed.items}
            parts: tuple[Literal["config", "endpoints"], ...] = ("config", "endpoints")
            for name in (index_name(self._gateway, part) for part in parts):
                if name not in items and (item := await self._find(name)) is not None:
                    items[name] = item  # somebody took its label away
            self._versions = {name: item["metadata"]["resourceVersion"] for name, item in items.items()}
            self._uids = {name: item["metadata"]["uid"] for name, item in items.items()}
        maps = {name: item.get("data") or {} for name, item in items.items()}
        return await asyncio.to_thread(published_state.read, self._gateway, maps)

    async def is_untouched(self) -> bool:
        """Whether the ConfigMaps are as they were read, or written, here; also true where one is being written meanwhile."""
        before = self._touches
        listed = await self._client.list_metadata(self._path(), {"labelSelector": self._selector})
        if self._touches != before or self._in_flight:
            return True  # nobody can tell; the next audit will
        return {item["name"]: item["resourceVersion"] for item in listed} == self._versions

    async def write(self, write: Write) -> None:
        """One of a plan's writes. 409 when somebody else has written the same: read again."""
        with self._touching():
            written = await (self._create(write) if isinstance(write, CreateShard) else self._apply(write))
            self._versions[write.name] = written["metadata"]["resourceVersion"]
            self._uids[write.name] = written["metadata"]["uid"]

    async def delete(self, name: str) -> None:
        """Delete a shard; that it is gone already is as good.

        Only the object that was seen here: another operator may have made one of the same name meanwhile, because its config
        consists of it. 409 then: read again.
        """
        with self._touching():
            with suppress(NotFound):
                await self._client.delete(self._path(name), self._uids.get(name, ""))
            self._versions.pop(name, None)
            self._uids.pop(name, None)

    @contextmanager
    def _touching(self) -> Iterator[None]:
        self._touches += 1
        self._in_flight += 1
        try:
            yield
        finally:
            self._touches += 1
            self._in_flight -= 1

    async def _create(self, write: CreateShard) -> dict[str, Any]:
        manifest = self._manifest(write, "shard") | {"immutable": True}
        try:
            return await self._client.create(self._path(), manifest)
        except ApiError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
        found = await self._find(write.name)
        if found is not None and found.get("data") == write.data and found.get("immutable"):
            if found["metadata"].get("labels") == manifest["metadata"]["labels"]:
                return found  # written by an attempt of which nobody heard
            return await self._client.apply(self._path(write.name), manifest)
        # Its name says what it holds, and it does not hold it: whoever made it so, no pod takes it.
        if found is not None:
            await self._client.delete(self._path(write.name), found["metadata"]["uid"])
        return await self._client.create(self._path(), manifest)

    async def _apply(self, write: Write) -> dict[str, Any]:
        manifest = self._manifest(write, "index")
        if write.name in self._versions:
            # Another operator that believes to lead, or a person, has been there: look again before writing.
            manifest["metadata"]["resourceVersion"] = self._versions[write.name]
        return await self._client.apply(self._path(write.name), manifest)

    async def _find(self, name: str) -> dict[str, Any] | None:
        try:
            return await self._client.get(self._path(name))
        except NotFound:
            return None

    def _path(self, name: str = "") -> str:
        return path(_CORE, "configmaps", self._namespace, name)

    def _manifest(self, write: Write, part: str) -> dict[str, Any]:
        labels = {GATEWAY_LABEL: self._gateway, PART_LABEL: part}
        metadata = {"name": write.name, "namespace": self._namespace, "labels": labels}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": write.data}
