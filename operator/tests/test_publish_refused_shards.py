"""Whose objects are the reason that a shard is refused: found by trials, as few as it takes."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from publish_cases import GATEWAY

from inferway_contract.document import (
    Backend,
    ConfigDocument,
    DirectResponse,
    Endpoint,
    EndpointsDocument,
    Format,
    Match,
    PathMatch,
    Route,
    Rule,
)
from inferway_contract.sharding import SHARD_KEY, lay_out_config, lay_out_endpoints
from inferway_operator.compiler import Compilation
from inferway_operator.publish import held_objects, refused_shards, size_limits
from inferway_operator.publish.plan import Write

NAMES = [f"team-{number}" for number in range(30)]


def route(namespace: str, text: str = "fine", service: str | None = None) -> Route:
    action = (
        {"backends": (Backend(service=service),)}
        if service
        else {"respond": DirectResponse(status=200, body=text, content_type="text/plain")}
    )
    rule = Rule.model_validate({"name": "r", "matches": (Match(path=PathMatch(value="/")),), **action})
    return Route(id=f"{namespace}/route", rules=(rule,))


def shard_of(*routes: Route, version: Format = 2) -> Write:
    (item,) = lay_out_config(ConfigDocument(routes=routes), GATEWAY, version=version).shards.items()
    return Write("shard", item[0], {SHARD_KEY: item[1].decode()})


class Policy:
    """Refuses a shard that has a word at least n times; counts the trials."""

    def __init__(self, word: str, least: int = 1) -> None:
        self.word, self.least, self.trials = word, least, 0

    async def refuses(self, write: Write) -> bool:
        self.trials += 1
        return write.data[SHARD_KEY].count(self.word) >= self.least


def culprits(shard: Write, policy: Policy) -> frozenset[str] | None:
    return asyncio.run(refused_shards.culprits(shard, GATEWAY, policy.refuses))


@given(st.sets(st.sampled_from(NAMES), max_size=5))
def test_culprits_are_the_namespaces_with_the_word(some: set[str]) -> None:
    shard = shard_of(*(route(name, "word" if name in some else "fine") for name in NAMES))
    assert culprits(shard, Policy("word")) == some


def test_few_trials_find_one_of_many() -> None:
    policy = Policy("word")
    assert culprits(shard_of(*(route(name, "word" if name == "team-7" else "fine") for name in NAMES)), policy) == {
        "team-7"
    }
    assert policy.trials <= 12


def test_trials_are_bounded_and_the_rest_counts_together() -> None:
    policy, names = Policy("word"), [f"n{number}" for number in range(200)]
    found = culprits(shard_of(*(route(name, "word") for name in names)), policy)
    assert found == set(names)
    assert policy.trials <= refused_shards.MAX_TRIALS + 1


def test_refusal_of_an_empty_shard_is_about_none() -> None:
    assert culprits(shard_of(route("a"), route("b")), Policy("{")) is None


def test_namespaces_refused_only_together_are_not_culprits() -> None:
    assert culprits(shard_of(route("a", "word"), route("b", "word")), Policy("word", 2)) == frozenset()


@pytest.mark.parametrize("version", [1, 2])
def test_shard_of_some_namespaces_is_as_if_written_for_them(version: Format) -> None:
    kept = shard_of(route("a", "é"), version=version)
    whole = shard_of(route("a", "é"), route("b"), version=version)
    assert refused_shards.only(whole, {"a"}, GATEWAY) == kept
    assert refused_shards.namespaces(whole.data[SHARD_KEY]) == {"a", "b"}


def test_owners_of_a_service_are_the_routes_that_name_it() -> None:
    services = {"x/s:80": (Endpoint(address="10.0.0.1", port=80),), "y/s:80": ()}
    (item,) = lay_out_endpoints(EndpointsDocument(services=services), GATEWAY).shards.items()
    shard = Write("shard", item[0], {SHARD_KEY: item[1].decode()})
    config = ConfigDocument(routes=(route("a", service="x/s:80"), route("b", service="y/s:80")))
    assert refused_shards.namespaces(shard.data[SHARD_KEY]) == {"x", "y"}
    assert refused_shards.owners(shard, {"x"}, config) == {"a"}
    assert json.loads(refused_shards.only(shard, {"y"}, GATEWAY).data[SHARD_KEY])["services"].keys() == {"y/s:80"}


def test_held_namespace_has_its_published_objects_and_addresses() -> None:
    addresses = {
        key: (Endpoint(address=address, port=80),)
        for key, address in (("a/old:80", "10.0.0.1"), ("b/s:80", "10.0.0.2"))
    }
    last = ConfigDocument(routes=(route("a", service="a/old:80"), route("b", "before")))
    newest = ConfigDocument(routes=(route("a", service="a/word:80"), route("b", service="b/s:80")))
    endpoints = EndpointsDocument(replicas=3, services={"a/word:80": (), "b/s:80": addresses["b/s:80"]})
    desired = size_limits.desired_state(Compilation(newest, endpoints, ()), GATEWAY, last)
    held = held_objects.with_published(desired, last, {"a": "why"}, GATEWAY, {"a/old:80": addresses["a/old:80"]})
    assert held.config.routes == (last.routes[0], newest.routes[1])
    assert held.endpoints == EndpointsDocument(replicas=3, services=addresses)
    assert held.unpublished == {"GatewayRoute/a/route": "why"}
    assert held.parsed.services == {"a/old:80", "b/s:80"}
