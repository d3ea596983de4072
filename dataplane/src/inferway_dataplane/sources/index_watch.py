"""One index ConfigMap, kept by a reflector, and the shards that it names."""

from collections.abc import Callable, Sequence
from typing import Any

from inferway_contract.sharding import HISTORY_KEY, INDEX_KEY, SHARD_KEY
from inferway_kube.api_health import ApiHealth
from inferway_kube.backoff import Backoff
from inferway_kube.client import Client, path
from inferway_kube.events import Manifest
from inferway_kube.reflector import Collection, Reflector


class IndexWatch:
    """Keeps `text` as the index is: the `Store` of a reflector of one object."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        changed: Callable[[], None],
        health: ApiHealth,
        backoff: Backoff,
    ) -> None:
        """`changed` is called after each change, and after the first list, also of nothing."""
        self.name = name
        self.text: str | None = None  # the index as JSON; None = there is no such ConfigMap, or no index in it
        self.history = ""  # older indexes as JSON; "" = there are none
        where = path("/api/v1", "configmaps", namespace)
        collection = Collection(name, (where,), {"fieldSelector": f"metadata.name={name}"})
        self.reflector = Reflector(client, collection, self, health, backoff)
        self._client = client
        self._namespace = namespace
        self._changed = changed

    @property
    def is_listed(self) -> bool:
        """Whether the index has been listed at least once."""
        return self.reflector.synced.is_set()

    async def shard(self, name: str) -> bytes:
        """Return what a shard's ConfigMap has. `ApiError`."""
        manifest = await self._client.get(path("/api/v1", "configmaps", self._namespace, name))
        return (_text(manifest, SHARD_KEY) or "").encode()

    async def replace(self, manifests: Sequence[Manifest]) -> None:
        self._take(manifests[0] if manifests else {})

    def upsert(self, manifest: Manifest) -> None:
        self._take(manifest)

    def remove(self, manifest: Manifest) -> None:
        self._take({})

    def _take(self, manifest: Manifest) -> None:
        text, self.history = _text(manifest, INDEX_KEY), _text(manifest, HISTORY_KEY) or ""
        if text != self.text or not self.is_listed:
            self.text = text
            self._changed()


def _text(config_map: Manifest, key: str) -> str | None:
    data: Any = config_map.get("data")
    text = data.get(key) if isinstance(data, dict) else None
    return text if isinstance(text, str) else None
