"""A budget of the bytes that changes of each namespace write: a namespace that changes all the time is held back alone.

A publication is one index, so it has the newest objects of every namespace that is within its budget, and of the others those
that were published last. Without I/O; times are seconds of a monotonic clock.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from inferway_contract.sharding import ConfigIndex, Layout
from inferway_operator.publish.plan import Write
from inferway_operator.world.objects import PolicyObject, RouteObject
from inferway_operator.world.world import World

_MINUTE: Final = 60.0

Item = TypeVar("Item", bound=RouteObject | PolicyObject)


@dataclass(slots=True)
class _Account:
    """Bytes that may still be written; below 0 nothing more is, until time has made up for it."""

    rate: float
    most: float
    level: float
    at: float

    def now(self, moment: float) -> float:
        """Bring the level up to date and return it."""
        self.level = min(self.most, self.level + (moment - self.at) * self.rate)
        self.at = moment
        return self.level


@dataclass(slots=True)
class WriteBudget:
    """Token buckets of a minute's bytes: one for each namespace, and one for all."""

    of_namespace: int
    """Bytes a minute."""
    of_all: int
    longest: float = _MINUTE * 60
    """Seconds of a namespace's own rate that one publication may take in advance: it waits no longer for that."""
    _all: _Account | None = None
    _accounts: dict[str, _Account] = field(default_factory=dict)

    def spend(self, costs: Mapping[str, int], written: int, moment: float) -> None:
        """Count the bytes that a publication has written: by the namespaces whose changes were the reason, and in all."""
        total = self._total(moment)
        total.now(moment)
        total.level -= written
        for namespace, cost in costs.items():
            account = self._accounts.setdefault(namespace, _full(self.of_namespace, moment))
            account.now(moment)
            account.level = max(account.level - cost, -account.rate * self.longest)
        for namespace in [name for name, account in self._accounts.items() if account.now(moment) >= account.most]:
            del self._accounts[namespace]

    def held(self, moment: float) -> Mapping[str, float]:
        """Return the namespaces that are held back, with the seconds until they no longer are.

        While the budget of all is used up, those are held back that have used half of their own. So a change of a namespace
        that changes seldom is never held back.
        """
        is_empty = self._total(moment).now(moment) < 0
        held = {}
        for namespace, account in self._accounts.items():
            least = account.most / 2 if is_empty else 0.0
            if account.now(moment) < least:
                held[namespace] = (least - account.level) / account.rate
        return held

    def _total(self, moment: float) -> _Account:
        if self._all is None:
            self._all = _full(self.of_all, moment)
        return self._all


def _full(most: int, moment: float) -> _Account:
    return _Account(most / _MINUTE, most, most, moment)


def costs(
    writes: Iterable[Write], layout: Layout[ConfigIndex], before: Mapping[str, str]
) -> tuple[Mapping[str, int], int]:
    """Return the bytes that a config's writes cost, by the namespaces that changed, and in all.

    `before`: fragments of the config that was published last. A shard counts for each namespace with a changed object in it,
    and anything else of the config for all of them. Endpoints do not count: to hold the changes of routes back would not
    make them fewer, and those of one namespace may be written with the change of another.
    """
    changed: dict[str, set[str]] = {}
    for key in layout.fragments.keys() | before.keys():
        if layout.fragments.get(key) != before.get(key):
            changed.setdefault(key.split("/")[1], set()).add(layout.homes.get(key, ""))
    spent, written = dict.fromkeys(changed, 0), 0
    for write in writes:
        if write.part == "endpoints" or (write.part == "shard" and write.name not in layout.shards):
            continue
        size = sum(map(len, write.data.values()))
        written += size
        owners = [namespace for namespace, homes in changed.items() if write.name in homes]
        for namespace in owners or changed:
            spent[namespace] += size
    return spent, written


def endpoints_costs(writes: Iterable[Write]) -> tuple[Mapping[str, int], int]:
    """Return the bytes that writes of endpoints cost, by the namespaces whose endpoints have changed, and in all."""
    spent: dict[str, int] = {}
    written = 0
    for write in writes:
        size = sum(map(len, write.data.values())) if write.causes else 0
        written += size
        for namespace in write.causes:
            spent[namespace] = spent.get(namespace, 0) + size
    return spent, written


def with_older(world: World, older: World, held: Set[str]) -> World:
    """Return the world with the routes and policies of these namespaces as they are in an older world.

    What was deleted since is in neither, also if another object has its name by now: a deletion never waits. All other
    kinds, such as grants, are the newest ones.
    """

    def mixed(new: tuple[Item, ...], old: Iterable[Item]) -> tuple[Item, ...]:
        existing = {item.meta.age for item in new}
        kept = [item for item in new if item.meta.namespace not in held]
        return (*kept, *[item for item in old if item.meta.namespace in held and item.meta.age in existing])

    return replace(world, routes=mixed(world.routes, older.routes), policies=mixed(world.policies, older.policies))
