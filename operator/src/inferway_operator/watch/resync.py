"""Auditing: what is observed compared with what the API server lists. `observed` says why that is needed."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from inferway_operator.kube import client as kube_client
from inferway_operator.settings import OperatorSettings
from inferway_operator.watch.kinds import KINDS, LEASES, WatchedKind
from inferway_operator.watch.object_cache import ObjectCache

logger = logging.getLogger(__name__)

_PATIENCE: Final = 2.0
"""Seconds until a list is asked for again, when the watches have not brought all of it: some may be deleted since."""
_GLANCE: Final = 0.02
"""Seconds between two looks whether they have."""
_RELIST_DELAY: Final = 0.5
"""Seconds from the first sign that kopf lists again: it does so object by object, and kind by kind."""


_DEFINITIONS: Final = kube_client.path("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions")


@dataclass(frozen=True, slots=True)
class Missing:
    """An object that exists, and that has not been seen, or only an older version of it."""

    kind: WatchedKind
    uid: str
    version: str
    name: str


class Resync:
    """Asks for metadata only: some thousand objects are no more than a megabyte or two."""

    def __init__(self, client: kube_client.Kube, observed: ObjectCache, settings: OperatorSettings) -> None:
        self._kube = client
        self._observed = observed
        self._settings = settings
        self._last = float("-inf")
        self._missing: list[Missing] = []

    @property
    def due(self) -> float:
        """Seconds until `run` should be called again."""
        wait = self._settings.audit_interval
        if self._observed.listed_again_at is not None:
            wait = min(wait, self._observed.listed_again_at + _RELIST_DELAY - self._last)
        return max(0.0, self._last + wait - time.monotonic())

    async def wait(self) -> None:
        """Until `run` should be called again."""
        while (rest := self.due) > 0:
            if self._observed.listed_again_at is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(rest):
                        await self._observed.relisting.wait()
            else:
                await asyncio.sleep(rest)

    async def compare(self) -> None:
        """`run`, and tell of what the watches have not brought since the comparison before."""
        late = [item for item in self._missing if not self._observed.has(item.kind, item.uid, item.version)]
        self._missing = await self.run()
        uids = {item.uid for item in self._missing}
        late = [item for item in late if item.uid in uids]
        if late:
            names = ", ".join(f"{item.kind.plural} {item.name}" for item in late[:3])
            logger.warning("the watches have not brought %d objects yet (%s)", len(late), names)

    async def complete(self) -> None:
        """Return once everything has been seen that existed when this was called."""
        told = time.monotonic()
        while missing := await self.run():
            until = time.monotonic() + _PATIENCE
            while missing and time.monotonic() < until:
                await asyncio.sleep(_GLANCE)
                missing = [item for item in missing if not self._observed.has(item.kind, item.uid, item.version)]
            if not missing:
                return
            if time.monotonic() - told > 5 * _PATIENCE:
                told = time.monotonic()
                logger.warning(
                    "nothing is published yet, for kopf has not listed %d objects (%s): do the flags of `kopf run` cover"
                    " INFERWAY_OPERATOR_NAMESPACES and INFERWAY_OPERATOR_NAMESPACE?",
                    len(missing),
                    ", ".join(f"{item.kind.plural} {item.name}" for item in missing[:3]),
                )

    async def listen(self) -> None:
        """Ask for the Leases: a pod that seems to be silent may be one that a frozen watch does not tell of.

        Where nobody answers, nobody is silent: all are awaited anew.
        """
        where = kube_client.path(LEASES.paths[0], LEASES.plural, self._settings.namespace)
        try:
            found = await self._kube.get(where, labelSelector=self._settings.selector(LEASES.id))
        except kube_client.KubeError:
            self._observed.excuse_silence()
            raise
        for item in found.get("items") or ():
            meta = item["metadata"]
            if not self._observed.has(LEASES, meta["uid"], meta["resourceVersion"]):
                self._observed.notice(LEASES, item)

    async def run(self) -> list[Missing]:
        """Forget what does not exist any more; returns what has not been seen yet."""
        self._observed.listed_again_at = None
        self._observed.relisting.clear()
        missing: list[Missing] = []
        for kind in KINDS:
            before = self._observed.uids(kind)
            items = await self._list(kind)
            behind = self._observed.audit(kind, before, {item["uid"]: item["resourceVersion"] for item in items})
            names = {item["uid"]: (item["resourceVersion"], _named(item)) for item in items} if behind else {}
            missing += [Missing(kind, uid, *names[uid]) for uid in behind]
        self._last = time.monotonic()
        return missing

    async def _list(self, kind: WatchedKind) -> list[dict[str, str]]:
        for group_version in kind.paths:
            try:
                return [
                    item
                    for namespace, query in self._places(kind)
                    for item in await self._kube.metadata(
                        kube_client.path(group_version, kind.plural, namespace), **query
                    )
                ]
            except kube_client.KubeError as error:
                if error.status != HTTPStatus.NOT_FOUND:
                    raise
        if kind.is_optional:
            return []
        # Without the definition there may be objects again in a moment, and until then the last good config is served.
        raise kube_client.NotDefined(f"the API server knows no {kind.plural}.{kind.group}")

    async def check_definitions(self) -> None:
        """`NotDefined` where one of ours is missing or about to go: then its objects go too, one after the other, and who has
        taken the definition away has not said that they are to be served no more."""
        for kind in KINDS:
            if not kind.is_ours:
                continue
            name = f"{kind.plural}.{kind.group}"
            found = await self._kube.metadata(_DEFINITIONS, fieldSelector=f"metadata.name={name}")
            if not found:
                raise kube_client.NotDefined(f"the API server knows no {name}")
            if "deletionTimestamp" in found[0]:
                raise kube_client.NotDefined(f"the definition of {name} is being deleted")

    def _places(self, kind: WatchedKind) -> Iterator[tuple[str, dict[str, str]]]:
        """Namespaces to list ("" = all of them, or the kind has none), with parameters."""
        if kind.of_gateway:
            yield self._settings.namespace, {"labelSelector": self._settings.selector(kind.id)}
        elif kind.is_global or not self._settings.namespaces:
            yield "", {}
        else:
            for namespace in self._settings.namespaces:
                yield namespace, {}


def _named(item: dict[str, str]) -> str:
    return f"{item['namespace']}/{item['name']}" if "namespace" in item else item["name"]
