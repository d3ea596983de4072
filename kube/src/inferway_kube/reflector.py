"""One collection of the API server, reflected into a store by list and watch (the reflector of client-go).

The store always holds one state that the API server once had: a list replaces all of it, so what was deleted while no
watch was open goes too, and a watch continues from the list's version. Listed again: after 410, after any answer that is
an error (an etcd that was restored knows no version of ours), and on `refresh`.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from inferway_kube.api_health import ApiHealth
from inferway_kube.backoff import Backoff
from inferway_kube.client import Client
from inferway_kube.errors import ApiError, Cause, Gone, NotFound
from inferway_kube.events import Manifest, Page

logger = logging.getLogger(__name__)

_TURN: Final = 0.01
"""Seconds of events before other tasks have a turn."""
SHORT: Final = 1.0
"""Seconds: a watch that ended sooner counts as a failure, or a server that ends each at once would be asked without pause."""


class Store(Protocol):
    """What a reflector feeds, one call after the other. No manifest is changed afterwards."""

    async def replace(self, manifests: Sequence[Manifest]) -> None:
        """The collection holds exactly these objects. A long list may be taken in pieces; if cancelled, it is listed again."""

    def upsert(self, manifest: Manifest) -> None:
        """An object was created, or changed."""

    def remove(self, manifest: Manifest) -> None:
        """An object was deleted; this was its last state."""


@dataclass(frozen=True, slots=True)
class Collection:
    """What is listed and watched."""

    name: str
    """For people: `services in demo`."""
    paths: tuple[str, ...]
    """Of the versions of its kind, with the namespace; the first that the API server knows is used."""
    query: Mapping[str, str] = field(default_factory=dict)
    """`labelSelector`, `fieldSelector`."""
    is_optional: bool = False
    """The API server need not know the kind. Then it is empty."""
    absent_pause: float = 8.0
    """Seconds between two lists while the API server does not know an optional kind, or forbids to list it."""
    may_be_forbidden: bool = False
    """Without the right to list it, it is empty."""


class Reflector:
    """Lists and watches a collection until it is stopped, whatever the API server answers."""

    def __init__(
        self, client: Client, collection: Collection, store: Store, health: ApiHealth, backoff: Backoff
    ) -> None:
        self.collection = collection
        self.synced = asyncio.Event()
        """The store holds what a list brought."""
        self._client = client
        self._store = store
        self._health = health
        self._backoff = backoff
        self._path = collection.paths[0]
        self._version = ""
        """From where a watch continues; "" = list first."""
        self._watching_since: float | None = None
        """The loop's time; None = there is no watch."""
        self._is_absent = False
        """The API server did not know the kind when it was asked last."""
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._refreshing = asyncio.Lock()

    def start(self) -> None:
        """Reflect from now on: from a list, or from the last known version."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"reflector of {self.collection.name}")

    async def stop(self) -> None:
        """Reflect no longer, also after a `refresh` that still runs. The store keeps what it has."""
        self._is_stopped = True
        await self._pause()

    async def _pause(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def refresh(self) -> None:
        """List now, past a watch that may lag behind: the store then holds everything that existed before. `ApiError`."""
        async with self._refreshing:
            try:
                await self._pause()
                await self._list()
            finally:
                if not self._is_stopped:
                    self.start()

    async def _run(self) -> None:
        while True:
            self._watching_since = None
            retry_after, is_absent = 0.0, False
            try:
                if not self._version:
                    await self._list()
                is_absent = self._is_absent
                if self._version:
                    await self._watch()
                    if self._has_lasted():
                        self._backoff.reset()
                        continue
            except Gone:
                self._version = ""  # no trouble: so the API server asks for a new list
            except ApiError as error:
                if error.is_answer:
                    self._version = ""
                retry_after = error.retry_after
                self._health.failed(self.collection.name, error)
            except Exception as error:
                # A bug in a store must not end the watch: the next list may not meet it.
                logger.exception("unexpected error while reflecting %s", self.collection.name)
                self._version = ""
                self._health.failed(self.collection.name, ApiError(f"internal error: {type(error).__name__}"))
            if self._has_lasted():
                self._backoff.reset()
            await asyncio.sleep(self.collection.absent_pause if is_absent else self._backoff.pause(retry_after))

    def _has_lasted(self) -> bool:
        """Whether a watch was open long enough for the API server to count as working."""
        since = self._watching_since
        return since is not None and asyncio.get_running_loop().time() - since > SHORT

    async def _list(self) -> None:
        page = await self._first_known()
        was_absent, self._is_absent = self._is_absent, page is None
        self._version = ""
        if page is None and self.synced.is_set() and not was_absent:
            return  # a kind that was there may be missing once by mistake (a proxy's 404), but not twice in a row
        await self._store.replace(page.items if page else ())
        self._version = page.version if page else ""
        self._health.answered(self.collection.name)
        self.synced.set()

    async def _first_known(self) -> Page | None:
        """List by the first path that the API server knows. None = it knows none, or forbids it, and that is allowed."""
        for path in self.collection.paths:
            try:
                page = await self._client.list_all(path, self.collection.query)
            except NotFound as error:
                missing = error
                continue
            except ApiError as error:
                if error.cause is Cause.NO_ROLE and self.collection.may_be_forbidden:
                    return None
                raise
            self._path = path
            return page
        if not self.collection.is_optional:
            raise missing
        return None

    async def _watch(self) -> None:
        async with self._client.watch(self._path, self.collection.query, self._version) as watch:
            self._watching_since = asyncio.get_running_loop().time()
            self._health.answered(self.collection.name)
            turn = asyncio.get_running_loop().time()
            async for event in watch:
                if event.type == "DELETED":
                    self._store.remove(event.manifest)
                elif event.type != "BOOKMARK":  # of which only the version counts
                    self._store.upsert(event.manifest)
                self._version = event.version
                if asyncio.get_running_loop().time() - turn > _TURN:
                    # Events that have arrived together are read without a pause.
                    await asyncio.sleep(0)
                    turn = asyncio.get_running_loop().time()
