"""Reads and writes the documents' ConfigMaps. After every write the cluster holds whole documents."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any, Final, Literal

from inferway_contract.sharding import index_name
from inferway_kube.client import Client, path
from inferway_kube.errors import ApiError, NotFound
from inferway_operator.publish import manifests, published_state
from inferway_operator.publish.plan import Write
from inferway_operator.settings import OperatorSettings

logger = logging.getLogger(__name__)

_CORE: Final = "/api/v1"
_TOO_MUCH: Final = (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY)
"""Refusals of a change that may be valid in a ConfigMap without what others have put into it."""


class ConfigMaps:
    """The gateway's ConfigMaps; keeps their versions to detect changes by others."""

    def __init__(self, client: Client, settings: OperatorSettings) -> None:
        self._client = client
        self._gateway = settings.gateway
        self._namespace = settings.namespace
        self._selector = settings.selector()
        self._versions: dict[str, str] = {}
        self._uids: dict[str, str] = {}
        self._spoiled: dict[str, manifests.Manifest] = {}
        """Indexes that others have changed, as they were read."""
        self._touches = self._in_flight = 0

    async def read(self) -> published_state.ActualState:
        """Read the published state."""
        with self._touching():
            listed = await self._client.list_all(self._path(), {"labelSelector": self._selector})
            items = {item["metadata"]["name"]: item for item in listed.items}
            parts: tuple[Literal["config", "endpoints"], ...] = ("config", "endpoints")
            indexes = [index_name(self._gateway, part) for part in parts]
            for name in indexes:
                if name not in items and (item := await self._find(name)) is not None:
                    items[name] = item  # its label was removed
            self._versions = {name: item["metadata"]["resourceVersion"] for name, item in items.items()}
            self._uids = {name: item["metadata"]["uid"] for name, item in items.items()}
        self._spoiled = {
            name: item
            for name, item in items.items()
            if manifests.is_spoiled(item, self._gateway, is_index=name in indexes)
        }
        maps = {name: item.get("data") or {} for name, item in items.items()}
        return await asyncio.to_thread(published_state.read, self._gateway, maps, frozenset(self._spoiled))

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
            self._spoiled.pop(write.name, None)

    async def refusal(self, write: Write) -> ApiError | None:
        """Return why the API server would not create this shard; None = it would. Nothing is written."""
        try:
            await self._client.create(self._path(), self._manifest(write), is_trial=True)
        except ApiError as error:
            if error.is_about_content:
                return error
            if error.status != HTTPStatus.CONFLICT:  # it exists
                raise
        return None

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
        manifest = self._manifest(write)
        try:
            return await self._client.create(self._path(), manifest)
        except ApiError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
        existing = await self._find(write.name)
        if existing is not None and manifests.is_written(existing, manifest):
            # Pods can read one that is being deleted too. Once it is gone, the next audit finds it missing.
            return existing
        if (
            existing is not None
            and existing.get("data") == write.data
            and not existing["metadata"].get("ownerReferences")
        ):
            return await self._client.apply(self._path(write.name), manifest)
        # Its content does not match the hash in its name, so pods reject it; or it would go with its owner.
        return await self._replace(write, existing)

    async def _apply(self, write: Write) -> dict[str, Any]:
        spoiled = self._spoiled.get(write.name)
        if spoiled is not None and manifests.must_be_replaced(spoiled, write):
            return await self._replace(write, spoiled)
        manifest = self._manifest(write)
        if write.name in self._versions:
            # Fails if another operator or a person changed the index: read again before writing.
            manifest["metadata"]["resourceVersion"] = self._versions[write.name]
        try:
            return await self._client.apply(self._path(write.name), manifest)
        except ApiError as error:
            existing = await self._find(write.name) if error.status in _TOO_MUCH and not error.is_denied else None
            if existing is None or not manifests.must_be_replaced(existing, write):
                raise
        return await self._replace(write, existing)

    async def _replace(self, write: Write, existing: manifests.Manifest | None) -> dict[str, Any]:
        """Delete and write again. Pods keep their live config while an index is missing, and wait for a shard."""
        if existing is not None:
            logger.warning("ConfigMap %s was changed by another client: deleted and written again", write.name)
            with suppress(NotFound):
                await self._client.delete(self._path(write.name), existing["metadata"]["uid"])
        try:
            return await self._client.create(self._path(), self._manifest(write))
        except ApiError as error:
            left = await self._find(write.name) if error.status == HTTPStatus.CONFLICT else None
            if left is None or not manifests.is_terminating(left):
                raise
            finalizers = ", ".join(map(str, left["metadata"].get("finalizers") or ()))
            why = f"ConfigMap {write.name} cannot be replaced: remove its finalizers ({finalizers})"
            raise ApiError(f"POST {self._path()}: {why}", int(HTTPStatus.UNPROCESSABLE_ENTITY)) from error

    async def _find(self, name: str) -> dict[str, Any] | None:
        try:
            return await self._client.get(self._path(name))
        except NotFound:
            return None

    def _path(self, name: str = "") -> str:
        return path(_CORE, "configmaps", self._namespace, name)

    def _manifest(self, write: Write) -> dict[str, Any]:
        return manifests.manifest(write, self._namespace, self._gateway)
