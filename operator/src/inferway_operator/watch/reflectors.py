"""The reflectors that feed the object cache: one for each kind, and for each namespace that counts."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from functools import partial
from random import random
from typing import Final

from inferway_kube.api_health import ApiHealth
from inferway_kube.backoff import Backoff
from inferway_kube.client import Client, path
from inferway_kube.errors import ApiError, NotFound
from inferway_kube.reflector import Collection, Reflector
from inferway_operator.settings import OperatorSettings
from inferway_operator.watch.kinds import KINDS, SERVICES, SLICES, WatchedKind
from inferway_operator.watch.object_cache import ObjectCache, Part

logger = logging.getLogger(__name__)

LONGEST_RETRY_AFTER: Final = 4.0
"""Seconds. One attempt then is not a burden, and a change need not wait longer for it than for a fault of this length."""
LATE: Final = 2.0
"""Seconds that a watch has to bring what kopf has already seen. Then its kind is listed: the watch may be frozen."""
_API_SERVER_NAMESPACE: Final = "default"
_API_SERVER: Final[Mapping[str, Mapping[str, str]]] = {
    SERVICES.id: {"fieldSelector": "metadata.name=kubernetes"},
    SLICES.id: {"labelSelector": "kubernetes.io/service-name=kubernetes"},
}
"""What is read of the API server's own Service, by kind."""
_DEFINITIONS: Final = path("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions")

new_backoff = partial(Backoff, random, longest_retry_after=LONGEST_RETRY_AFTER)
"""A back-off of the operator."""


class NotDefined(NotFound):
    """One of our definitions is missing or about to go. Its objects go too, though no user has deleted them."""


class Reflectors:
    """All of them, started and stopped together."""

    def __init__(self, client: Client, cache: ObjectCache, settings: OperatorSettings, health: ApiHealth) -> None:
        self._client = client
        self._cache = cache
        self._reflectors = {
            kind.id: [
                Reflector(client, collection, Part(cache, kind), health, new_backoff())
                for collection in collections(kind, settings)
            ]
            for kind in KINDS
        }
        self._expected: dict[str, dict[str, str]] = {}
        """By kind: versions that kopf has seen, by uid."""
        self._late: dict[str, asyncio.Task[None]] = {}

    @property
    def is_synced(self) -> bool:
        """Whether the cache holds what lists of every kind brought."""
        return all(reflector.synced.is_set() for reflector in self._all())

    def start(self) -> None:
        """Begin to list and watch."""
        for reflector in self._all():
            reflector.start()

    async def stop(self) -> None:
        """List and watch no longer."""
        late = list(self._late.values())
        for task in late:
            task.cancel()
        await asyncio.gather(*late, *(reflector.stop() for reflector in self._all()), return_exceptions=True)

    async def sync(self) -> None:
        """List everything now: afterwards the cache holds all that existed when this was called. `ApiError`."""
        await asyncio.gather(*(reflector.refresh() for reflector in self._all()))
        await self.check_definitions()

    async def refresh(self, kind: WatchedKind) -> None:
        """List a kind now, past watches that may lag behind. `ApiError`."""
        await asyncio.gather(*(reflector.refresh() for reflector in self._reflectors[kind.id]))

    def expect(self, kind: WatchedKind, uid: str, version: str) -> None:
        """An object has this version ("" = it is gone): if no watch brings it in time, list the kind."""
        if not self.is_synced or self._cache.is_current(kind, uid, version):
            return
        self._expected.setdefault(kind.id, {})[uid] = version
        if kind.id not in self._late:
            self._late[kind.id] = asyncio.create_task(self._refresh_if_late(kind), name=f"late {kind.plural}")

    async def check_definitions(self) -> None:
        """Look for our definitions. `NotDefined` where one is missing or about to go, `ApiError`."""
        for kind in KINDS:
            if not kind.is_ours:
                continue
            name = f"{kind.plural}.{kind.group}"
            definitions = await self._client.list_metadata(_DEFINITIONS, {"fieldSelector": f"metadata.name={name}"})
            if not definitions:
                raise NotDefined(f"the API server does not know {name}", 404)
            if "deletionTimestamp" in definitions[0]:
                raise NotDefined(f"the definition of {name} is being deleted", 404)

    async def _refresh_if_late(self, kind: WatchedKind) -> None:
        await asyncio.sleep(LATE)
        expected = self._expected.pop(kind.id)
        del self._late[kind.id]
        late = [uid for uid, version in expected.items() if not self._cache.is_current(kind, uid, version)]
        if late:
            logger.info("listing %s: the watch has not brought %d changes", kind.plural, len(late))
            try:
                await self.refresh(kind)
            except ApiError as error:
                # The reflector retries, and reports an outage.
                logger.info("listing %s: %s", kind.plural, error)

    def _all(self) -> Iterator[Reflector]:
        return (reflector for reflectors in self._reflectors.values() for reflector in reflectors)


def collections(kind: WatchedKind, settings: OperatorSettings) -> Iterator[Collection]:
    """Yield what is listed and watched of a kind."""
    query: dict[str, str] = {}
    if kind.of_gateway:
        namespaces: tuple[str, ...] = (settings.namespace,)
        query = {"labelSelector": settings.selector(kind.id)}
    else:
        namespaces = ("",) if kind.is_global else settings.namespaces or ("",)
    for namespace in namespaces:
        paths = tuple(path(group_version, kind.plural, namespace) for group_version in kind.paths)
        yield Collection(f"{kind.plural} in {namespace}" if namespace else kind.plural, paths, query, kind.is_optional)
    selector = _API_SERVER.get(kind.id)
    if selector is not None and settings.namespaces and _API_SERVER_NAMESPACE not in settings.namespaces:
        # Its addresses are endpoints of no Service, whichever namespaces count.
        paths = tuple(path(group_version, kind.plural, _API_SERVER_NAMESPACE) for group_version in kind.paths)
        yield Collection(f"{kind.plural} of the API server", paths, selector, may_be_forbidden=True)
