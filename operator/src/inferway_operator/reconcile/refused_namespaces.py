"""Namespaces whose objects the API server refuses in a shard: they keep what was published last, and others are published.

They are tried again after a pause that grows, and at once when their objects change.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from inferway_contract.canonical import digest
from inferway_contract.problem_log import ProblemLog
from inferway_contract.sharding import SHARD_KEY
from inferway_kube.errors import ApiError
from inferway_operator.publish import obstacle, refused_shards
from inferway_operator.publish.config_maps import ConfigMaps
from inferway_operator.publish.plan import Write
from inferway_operator.publish.size_limits import DesiredState
from inferway_operator.reconcile.term import Term

logger = logging.getLogger(__name__)

FIRST_PAUSE: Final = 2.0
LONGEST_PAUSE: Final = 60.0
"""Seconds between two attempts with the same objects."""


@dataclass(slots=True)
class _Refusal:
    why: str
    objects: str
    """Hash of all fragments of the namespace, as they were refused."""
    pause: float
    due: float
    """When it is tried again, in monotonic seconds."""


class RefusedNamespaces:
    """What was refused; wakes the reconciler when an attempt is due."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._refusals: dict[str, _Refusal] = {}
        self._problem = ProblemLog(logger)
        self._timer: asyncio.TimerHandle | None = None

    def begin_term(self) -> None:
        """Forget everything: another operator may have published since."""
        self._refusals.clear()

    def held(self, compiled: Mapping[str, str], now: float) -> Mapping[str, str]:
        """Return the namespaces to hold, with the reasons. `compiled`: fragments of the newest objects."""
        if not self._refusals:
            return {}
        objects = _objects(compiled)
        return {
            namespace: refusal.why
            for namespace, refusal in self._refusals.items()
            if now < refusal.due and refusal.objects == objects.get(namespace, "")
        }

    def add(self, refused: Mapping[str, str], compiled: Mapping[str, str], now: float) -> None:
        """Note the namespaces that were refused with these fragments, and why."""
        objects = _objects(compiled) if refused else {}
        for namespace, why in refused.items():
            before = self._refusals.get(namespace)
            pause = FIRST_PAUSE if before is None else min(2 * before.pause, LONGEST_PAUSE)
            self._refusals[namespace] = _Refusal(why, objects.get(namespace, ""), pause, now + pause)

    def note_published(self, held: Mapping[str, str]) -> None:
        """Forget those that were published, and be woken when the next of the others is due."""
        self._refusals = {name: refusal for name, refusal in self._refusals.items() if name in held}
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._refusals:
            self._problem.clear()
            return
        reasons = sorted({refusal.why for refusal in self._refusals.values()})
        self._problem.report(
            logging.WARNING,
            f"objects of namespaces stay as published, the API server refuses them: {', '.join(sorted(self._refusals))}",
            error="; ".join(reasons),
        )
        rest = min(refusal.due for refusal in self._refusals.values()) - time.monotonic()
        self._timer = asyncio.get_running_loop().call_later(max(0.0, rest), self._wake)


async def to_hold(
    shard: Write, error: ApiError, term: Term, wanted: DesiredState, config_maps: ConfigMaps, gateway: str
) -> Mapping[str, str]:
    """Return the namespaces without whose changes a refused shard would be accepted, and why.

    None if any shard would be refused, or no change is the reason.
    """

    async def is_refused(write: Write) -> bool:
        return await config_maps.refusal(write) is not None

    refused = await refused_shards.culprits(shard, gateway, is_refused)
    if refused is None:
        return {}
    published = term.configs.get(term.published.revision)
    before, newest = published.fragments if published is not None else {}, wanted.parsed.fragments
    changed = {key.split("/")[1] for key in before.keys() | newest.keys() if before.get(key) != newest.get(key)}
    some = refused_shards.owners(shard, refused, wanted.config)
    if not some or not some <= changed:
        # Only together, or for what is published already: then only a shard that exists can be kept, whole.
        together = refused_shards.owners(shard, refused_shards.namespaces(shard.data[SHARD_KEY]), wanted.config)
        some |= await asyncio.to_thread(refused_shards.neighbours, together, term.config, wanted.version)
    return dict.fromkeys(sorted(some & changed), obstacle.described("the objects of the namespace", error))


def _objects(fragments: Mapping[str, str]) -> Mapping[str, str]:
    """Return a hash of the fragments of each namespace."""
    lines: dict[str, list[str]] = {}
    for key, fragment in sorted(fragments.items()):
        lines.setdefault(key.split("/")[1], []).append(f"{key} {fragment}")
    return {namespace: digest("\n".join(parts).encode()) for namespace, parts in lines.items()}
