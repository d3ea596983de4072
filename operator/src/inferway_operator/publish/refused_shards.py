"""Whose objects a shard has that the API server refuses for its content, and the shards to find it out. Pure but for trials.

An admission policy may refuse any text of a tenant. Shards have objects of several namespaces, and a document needs all its
shards: only those namespaces may be held back whose objects are the reason.
"""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Set
from typing import Any, Final

from inferway_contract.canonical import REVISION_DIGITS, digest
from inferway_contract.document import ConfigDocument, Format
from inferway_contract.sharding import SHARD_KEY, lay_out_config
from inferway_operator.publish.plan import Write

MAX_TRIALS: Final = 64
"""For one shard; namespaces that are not separated by then count as the reason together."""

Trial = Callable[[Write], Awaitable[bool]]
"""Whether the API server would refuse a shard."""


def namespaces(content: str) -> frozenset[str]:
    """Return the namespaces of the objects, or of the Services, in a shard."""
    return frozenset(_namespace(key) for key in _keys(json.loads(content)))


def only(shard: Write, kept: Set[str], gateway: str) -> Write:
    """Return the shard with the parts of these namespaces alone."""
    content: dict[str, Any] = json.loads(shard.data[SHARD_KEY])
    for part in ("routes", "policies"):
        if part in content:
            content[part] = [item for item in content[part] if _namespace(item["id"]) in kept]
    if "services" in content:
        content["services"] = {key: value for key, value in content["services"].items() if _namespace(key) in kept}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return Write("shard", f"{gateway}-{digest(text.encode())[:REVISION_DIGITS]}", {SHARD_KEY: text})


async def culprits(shard: Write, gateway: str, is_refused: Trial) -> frozenset[str] | None:
    """Return the namespaces whose parts are refused alone; none if only all together are. None = any shard is refused."""
    if await is_refused(only(shard, frozenset(), gateway)):
        return None
    refused: set[str] = set()
    waiting, trials = [sorted(namespaces(shard.data[SHARD_KEY]))], 0
    while waiting:
        some = waiting.pop()
        if trials >= MAX_TRIALS:
            refused.update(some)
            continue
        trials += 1
        if not await is_refused(only(shard, frozenset(some), gateway)):
            continue
        if len(some) == 1:
            refused.update(some)
        else:
            middle = len(some) // 2
            waiting += [some[middle:], some[:middle]]
    return frozenset(refused)


def owners(shard: Write, refused: Set[str], config: ConfigDocument) -> frozenset[str]:
    """Return the namespaces of the objects that bring the parts of these namespaces into the shard.

    A Service is in the endpoints for the routes that name it, which may be of other namespaces.
    """
    content = json.loads(shard.data[SHARD_KEY])
    if "services" not in content:
        return frozenset(refused)
    services = {key for key in _keys(content) if _namespace(key) in refused}
    return frozenset(
        _namespace(route.id)
        for route in config.routes
        if any(backend.service in services for rule in route.rules for backend in rule.backends)
    )


def neighbours(some: Set[str], last: ConfigDocument | None, version: Format) -> frozenset[str]:
    """Return also the namespaces that share shards of the published config with these: held together, it stays as it is."""
    shards = lay_out_config(last, version=version).shards if last is not None else {}
    of_shards = (namespaces(content.decode()) for content in shards.values())
    return frozenset(some).union(*(names for names in of_shards if names & some))


def _keys(content: Mapping[str, Any]) -> Iterator[str]:
    for part in ("routes", "policies"):
        yield from (item["id"] for item in content.get(part, ()))
    yield from content.get("services", ())


def _namespace(key: str) -> str:
    return key.partition("/")[0]
