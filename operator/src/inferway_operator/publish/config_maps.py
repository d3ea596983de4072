"""Reads and writes the documents' ConfigMaps. After every write the cluster holds whole documents."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any, Final, Literal

from inferway_contract.acknowledgement import GATEWAY_LABEL
from inferway_contract.sharding import index_name
from inferway_kube.client import Client, path
from inferway_kube.errors import ApiError, NotFound
from inferway_operator.publish import published_state
from inferway_operator.publish.plan import Write
from inferway_operator.settings import OperatorSettings

PART_LABEL: Final = "inferway.dev/part"
"""`shard` or `index`."""
_CORE: Final = "/api/v1"


class ConfigMaps:
    """The gateway's ConfigMaps; keeps their versions to detect changes by others."""

    def __init__(self, client: Client, settings: OperatorSettings) -> None:
        self._client = client
        self._gateway = settings.gateway
        self._namespace = settings.namespace
        self._selector = settings.selector()
        self._versions: dict[str, str] = {}
        self._uids: dict[str, str] = {}
        self._touches = self._in_flight = 0

    async def read(self) -> published_state.ActualState:
        """Read the published state."""
        with self._touching():
            listed = await self._client.list_all(self._path(), {"labelSelector": self._selector})
            items = {item["metadata"]["name"]: item for item in listed.items}
            parts: tuple[Literal["config", "endpoints"], ...] = ("config", "endpoints")
            for name in (index_name(self._gateway, part) for part in parts):
                if name not in items and (item := await self._find(name)) is not None:
                    items[name] = item  # its label was removed
            self._versions = {name: item["metadata"]["resourceVersion"] for name, item in items.items()}
            self._uids = {name: item["metadata"]["uid"] for name, item in items.items()}
        maps = {name: item.get("data") or {} for name, item in items.items()}
        return await asyncio.to_thread(published_state.read, self._gateway, maps)

    async def is_untouched(self) -> bool:
        """Return whether the ConfigMaps are as last seen here; also true during a write."""
        before = self._touches
        listed = await self._client.list_metadata(self._path(), {"labelSelector": self._selector})
        if self._touches != before or self._in_flight:
            return True  # unknown until the next audit
        return {item["name"]: item["resourceVersion"] for item in listed} == self._versions

    async def write(self, write: Write) -> None:
        """Perform one of a plan's writes. 409 if another writer changed the object: read again."""
        with self._touching():
            written = await (self._create(write) if write.part == "shard" else self._apply(write))
            self._versions[write.name] = written["metadata"]["resourceVersion"]
            self._uids[write.name] = written["metadata"]["uid"]

    async def delete(self, name: str) -> None:
        """Delete a shard; a missing one counts as deleted.

        Deletes only the object that was read here: another operator may have created one with this name for its config.
        409 then: read again.
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

    async def _create(self, write: Write) -> dict[str, Any]:
        manifest = self._manifest(write) | {"immutable": True}
        try:
            return await self._client.create(self._path(), manifest)
        except ApiError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
        existing = await self._find(write.name)
        if existing is not None and existing.get("data") == write.data and existing.get("immutable"):
            if existing["metadata"].get("labels") == manifest["metadata"]["labels"]:
                return existing  # written by an attempt whose response was lost
            return await self._client.apply(self._path(write.name), manifest)
        # Its content does not match the hash in its name, so pods reject it.
        if existing is not None:
            await self._client.delete(self._path(write.name), existing["metadata"]["uid"])
        return await self._client.create(self._path(), manifest)

    async def _apply(self, write: Write) -> dict[str, Any]:
        manifest = self._manifest(write)
        if write.name in self._versions:
            # Fails if another operator or a person changed the index: read again before writing.
            manifest["metadata"]["resourceVersion"] = self._versions[write.name]
        return await self._client.apply(self._path(write.name), manifest)

    async def _find(self, name: str) -> dict[str, Any] | None:
        try:
            return await self._client.get(self._path(name))
        except NotFound:
            return None

    def _path(self, name: str = "") -> str:
        return path(_CORE, "configmaps", self._namespace, name)

    def _manifest(self, write: Write) -> dict[str, Any]:
        labels = {GATEWAY_LABEL: self._gateway, PART_LABEL: "shard" if write.part == "shard" else "index"}
        metadata = {"name": write.name, "namespace": self._namespace, "labels": labels}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": write.data}
