"""Shards and indexes: what is cut comes together again, small changes touch few shards, and what was tampered with is refused."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferway_contract import sharding
from inferway_contract.canonical import canonical, digest
from inferway_contract.document import ConfigDocument, DirectResponse, Endpoint, EndpointsDocument, Policy, Route, Rule
from inferway_testing.examples import examples


def route(number: int, body: str = "ok") -> Route:
    """A route that answers by itself."""
    answer = DirectResponse(status=200, content_type="text/plain", body=body)
    return Route(id=f"demo/route-{number}", hostnames=(f"h{number}.example",), rules=(Rule(name="a", respond=answer),))


def config(numbers: range | list[int], policies: int = 0, **bodies: str) -> ConfigDocument:
    """A config of these routes; `bodies` are those of some, by `r<number>`."""
    return ConfigDocument(
        routes=tuple(route(number, bodies.get(f"r{number}", "ok")) for number in numbers),
        policies=tuple(Policy(id=f"demo/policy-{number}") for number in range(policies)),
    )


def reassembled(layout: sharding.Layout[sharding.ConfigIndex]) -> ConfigDocument:
    """Read a laid-out config back."""
    index = sharding.read_index(sharding.ConfigIndex, canonical(layout.index).decode())
    return sharding.config_of(
        index, lambda ref: sharding.read_shard(sharding.ConfigShard, ref, layout.shards[ref.name])
    )


@given(st.lists(st.integers(0, 10_000), unique=True, max_size=300), st.integers(0, 80))
@settings(max_examples=examples(30), deadline=None)
def test_config_split_into_shards_reassembles(numbers: list[int], policies: int) -> None:
    written = config(numbers, policies)
    document = ConfigDocument(
        routes=tuple(sorted(written.routes, key=lambda route: route.age)),
        policies=tuple(sorted(written.policies, key=lambda policy: policy.age)),
    )
    layout = sharding.lay_out_config(document)
    assert reassembled(layout) == document
    assert len(layout.fragments) == len(numbers) + policies
    older = sharding.lay_out_config(document, version=1)
    # Format 1 has the policies of rules only.
    assert reassembled(older) == (document if numbers else document.model_copy(update={"policies": ()}))
    assert older.fragments == layout.fragments
    assert all(b'"format"' not in content for content in (canonical(older.index), *older.shards.values()))


def test_shards_are_canonical_and_named_by_their_digest() -> None:
    layout = sharding.lay_out_config(config(range(3000), 300))
    assert len(layout.shards) > 4
    for name, content in layout.shards.items():
        assert content == canonical(sharding.ConfigShard.model_validate_json(content))
        assert name == f"inferway-{digest(content)[:10]}"


def test_empty_config_has_a_revision_and_no_shards() -> None:
    layout = sharding.lay_out_config(ConfigDocument())
    assert layout.shards == {}
    assert len(layout.revision) == 10
    assert reassembled(layout) == ConfigDocument()


@pytest.mark.parametrize("changed", [0, 1, 500, 1999])
def test_changed_route_replaces_one_shard(changed: int) -> None:
    before = sharding.lay_out_config(config(range(2000)))
    after = sharding.lay_out_config(config(range(2000), **{f"r{changed}": "new"}))
    assert len(before.shards.keys() - after.shards.keys()) == 1
    assert len(after.shards.keys() - before.shards.keys()) == 1
    assert before.revision != after.revision
    assert {key for key in before.fragments if before.fragments[key] != after.fragments[key]} == {
        f"GatewayRoute/demo/route-{changed}"
    }


def test_added_or_removed_route_replaces_at_most_two_shards() -> None:
    before = sharding.lay_out_config(config(range(2000)))
    for without in (0, 700, 1999):
        after = sharding.lay_out_config(config([number for number in range(2000) if number != without]))
        assert len(before.shards.keys() - after.shards.keys()) <= 2
        assert len(after.shards.keys() - before.shards.keys()) <= 1


SIZES = st.dictionaries(
    st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 30)), st.integers(0, 60_000), min_size=1, max_size=40
)
"""Bytes of routes, by namespace and number: the sizes at which shards are divided, and any mix of them."""


def of_sizes(sizes: dict[tuple[str, int], int]) -> ConfigDocument:
    return ConfigDocument(
        routes=tuple(
            Route(
                id=f"{namespace}/route-{number}",
                rules=(Rule(name="a", respond=DirectResponse(status=200, content_type="", body="x" * size)),),
            )
            for (namespace, number), size in sizes.items()
        )
    )


def namespaces_by_shard(layout: sharding.Layout[sharding.ConfigIndex]) -> dict[str, set[str]]:
    shards = {
        ref.name: sharding.read_shard(sharding.ConfigShard, ref, layout.shards[ref.name]) for ref in layout.index.shards
    }
    return {name: {route.id.split("/")[0] for route in shard.routes} for name, shard in shards.items()}


@given(SIZES, SIZES, st.randoms(use_true_random=False))
@settings(max_examples=examples(50), deadline=None)
def test_changes_of_a_namespace_stay_within_its_shards(
    others: dict[tuple[str, int], int], changed: dict[tuple[str, int], int], chance: random.Random
) -> None:
    """Of the others at most one group is divided or joined, where a tree over few small namespaces does that."""
    neighbours = {place: size for place, size in others.items() if place[0] != "a"}
    before, after = (
        sharding.lay_out_config(
            of_sizes({**neighbours, **{place: size for place, size in part.items() if place[0] == "a"}})
        )
        for part in (others, changed)
    )
    for layout, rest in ((before, after), (after, before)):
        namespaces = namespaces_by_shard(layout)
        strange = [name for name in layout.shards.keys() - rest.shards.keys() if "a" not in namespaces[name]]
        assert sum(len(layout.shards[name]) for name in strange) <= 66 << 10
    # Where parts are depends on the parts alone.
    shuffled = list(of_sizes(changed).routes)
    chance.shuffle(shuffled)
    assert sharding.lay_out_config(ConfigDocument(routes=tuple(shuffled))) == sharding.lay_out_config(of_sizes(changed))


def test_growing_namespace_changes_no_shard_of_another_large_one() -> None:
    """Shards that are cut where they are full would all change behind a part that grows."""
    large = {("b", number): 20_000 for number in range(60)}
    before = sharding.lay_out_config(of_sizes(large | {("a", number): 20_000 for number in range(60)}))
    kept = {name for name, namespaces in namespaces_by_shard(before).items() if namespaces == {"b"}}
    assert len(kept) > 10
    for size in range(0, 60_000, 7_000):
        after = sharding.lay_out_config(of_sizes(large | {("a", number): size for number in range(40)}))
        assert kept <= after.shards.keys()


def test_shards_of_large_routes_stay_below_the_size_limit() -> None:
    layout = sharding.lay_out_config(ConfigDocument(routes=tuple(route(number, "x" * 200_000) for number in range(30))))
    assert all(len(content) <= sharding.MAX_SHARD_BYTES for content in layout.shards.values())
    assert len(reassembled(layout).routes) == 30


def test_object_larger_than_a_shard_is_named_in_the_error() -> None:
    with pytest.raises(sharding.TooLarge, match="GatewayRoute/demo/route-7 takes 8"):
        sharding.lay_out_config(ConfigDocument(routes=(route(7, "x" * 800_000),)))


def test_endpoints_split_into_shards_reassemble() -> None:
    services = {
        f"demo/service-{number}:80": tuple(
            Endpoint(address=f"10.{number // 250}.{number % 250}.{last}", port=80) for last in range(3)
        )
        for number in range(1000)
    }
    services["demo/empty:80"] = ()
    document = EndpointsDocument(replicas=7, services=services)
    layout = sharding.lay_out_endpoints(document)
    assert len(layout.shards) > 1
    for content in layout.shards.values():
        assert content == canonical(sharding.EndpointsShard.model_validate_json(content))
    read = sharding.endpoints_of(
        layout.index, lambda ref: sharding.read_shard(sharding.EndpointsShard, ref, layout.shards[ref.name])
    )
    assert read == document
    assert sharding.lay_out_endpoints(EndpointsDocument(replicas=8, services=services)).shards == layout.shards


def test_endpoints_of_format_1_have_one_address_each() -> None:
    dual = Endpoint(address="10.0.0.1", port=80, further=("2001:db8::1",))
    layouts = [
        sharding.lay_out_endpoints(EndpointsDocument(services={"demo/a:80": (dual,)}), version=version)
        for version in (1, 2)
    ]
    assert [content for layout in layouts for content in layout.shards.values()] == [
        b'{"services":{"demo/a:80":[{"address":"10.0.0.1","port":80}]}}',
        b'{"format":2,"services":{"demo/a:80":[{"address":"10.0.0.1","further":["2001:db8::1"],"port":80}]}}',
    ]


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda content: content[:-1], "truncated or was changed"),
        (lambda content: content.replace(b"ok", b"no"), "truncated or was changed"),
        (lambda content: b"", "truncated or was changed"),
    ],
)
def test_shard_with_changed_bytes_is_rejected(harm: Callable[[bytes], bytes], message: str) -> None:
    layout = sharding.lay_out_config(config(range(3)))
    ref = layout.index.shards[0]
    with pytest.raises(ValueError, match=message):
        sharding.read_shard(sharding.ConfigShard, ref, harm(layout.shards[ref.name]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"format":3}', "format: Input should be 1 or 2"),
        (b'{"format":2,"routes":[{"id":"a/b","rules":[{"name":"r","policies":[]}]}]}', "policies: Extra inputs"),
        (b'{"routes":[{"id":"a/b","what":1}]}', "routes.0.what: Extra inputs are not permitted"),
        (b"[]", "cannot be read"),
        (b"{", "cannot be read: Invalid JSON"),
    ],
)
def test_shard_with_an_invalid_structure_is_rejected(content: bytes, message: str) -> None:
    ref = sharding.ShardRef(name="inferway-x", digest=digest(content))
    with pytest.raises(ValueError, match=message):
        sharding.read_shard(sharding.ConfigShard, ref, content)


def test_index_with_a_shard_of_another_format_is_rejected() -> None:
    document = config(range(3))
    newest, older = (sharding.lay_out_config(document, version=version) for version in (2, 1))
    mixed = newest.index.model_copy(update={"shards": older.index.shards})
    with pytest.raises(ValueError, match="the index has format 2, and a shard another one"):
        sharding.config_of(mixed, lambda ref: sharding.read_shard(sharding.ConfigShard, ref, older.shards[ref.name]))


@pytest.mark.parametrize(
    "content", ["", "{", "null", '{"format":9}', '{"shards":[{"name":"a"}]}', '{"replicas":"2"}', '{"more":1}']
)
def test_index_with_an_invalid_structure_is_rejected(content: str) -> None:
    with pytest.raises(ValueError, match="the index cannot be read"):
        sharding.read_index(sharding.EndpointsIndex, content)
