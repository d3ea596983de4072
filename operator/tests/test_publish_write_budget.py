"""The budget of bytes: a namespace that changes all the time waits alone, and what is written is bounded."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from publish_cases import Cluster, compilation, route

from inferway_contract.sharding import lay_out_config
from inferway_operator.publish import size_limits, write_budget
from inferway_operator.publish.plan import plan
from inferway_operator.publish.write_budget import WriteBudget
from inferway_operator.world.world import World, from_manifests
from inferway_testing.examples import examples

MINUTE = 60.0


@given(st.lists(st.tuples(st.floats(0, 2), st.sampled_from("abc"), st.integers(1, 200)), max_size=200))
@settings(max_examples=examples(100), deadline=None)
def test_namespace_writes_its_budget_and_one_publication_more(changes: list[tuple[float, str, int]]) -> None:
    budget = WriteBudget(of_namespace=600, of_all=1 << 30)
    moment, written = 1000.0, dict.fromkeys("abc", 0)
    for pause, namespace, size in changes:
        moment += pause
        if namespace not in budget.held(moment):
            budget.spend({namespace: size}, size, moment)
            written[namespace] += size
    for total in written.values():
        assert total <= 600 + (moment - 1000.0) * 10 + 200


def test_flapping_namespace_is_held_alone_and_released() -> None:
    budget = WriteBudget(of_namespace=600, of_all=1 << 30)
    budget.spend({"evil": 1000, "quiet": 10}, 1010, 0.0)
    assert budget.held(0.0) == {"evil": 40.0}
    assert budget.held(39.0).keys() == {"evil"}
    assert budget.held(40.0) == {}


def test_budget_of_all_holds_only_those_that_use_much() -> None:
    budget = WriteBudget(of_namespace=600, of_all=1000)
    for namespace in ("a", "b", "c"):
        budget.spend({namespace: 400}, 400, 0.0)
    budget.spend({"quiet": 10}, 10, 0.0)
    assert budget.held(0.0).keys() == {"a", "b", "c"}
    assert budget.held(MINUTE) == {}


def test_shards_cost_the_namespaces_that_changed_in_them() -> None:
    """Another namespace's object in the same shard, and the index, cost nothing without a change of it."""
    cluster = Cluster()
    old = size_limits.desired_state(compilation(route("a"), route("b")), "inferway", None)
    cluster.maps.update({write.name: dict(write.data) for write in cluster.plan(old)})
    new = size_limits.desired_state(compilation(route("a", path="/new"), route("b")), "inferway", None)
    writes = cluster.plan(new)
    costs, written = write_budget.costs(writes, new.layout, old.layout.fragments)
    assert costs == {"demo": written}
    assert written == sum(len(text) for write in writes for text in write.data.values())
    assert write_budget.costs((), new.layout, new.layout.fragments) == ({}, 0)


def test_endpoints_in_a_publication_cost_no_namespace() -> None:
    """Their owner may be another namespace, whose pods come and go all the time."""
    cluster = Cluster()
    old = size_limits.desired_state(compilation(route("a", "s"), s="10.0.0.1"), "inferway", None)
    cluster.write(cluster.plan(old))
    new = size_limits.desired_state(compilation(route("a", "s", path="/new"), s="10.0.0.2"), "inferway", None)
    writes = cluster.plan(new)
    of_config = [write for write in writes if write.name in new.layout.shards or write.part == "config"]
    assert len(of_config) == 2 < len(writes)
    costs, written = write_budget.costs(writes, new.layout, old.layout.fragments)
    assert costs == {"demo": written}
    assert written == sum(len(text) for write in of_config for text in write.data.values())


def test_endpoints_cost_the_namespaces_whose_endpoints_changed() -> None:
    cluster = Cluster()
    old = size_limits.desired_state(compilation(route("a", "s", "t"), s="10.0.0.1", t="10.0.0.1"), "inferway", None)
    cluster.write(cluster.plan(old))
    route_only = size_limits.desired_state(
        compilation(route("a", "s", "t", path="/new"), s="10.0.0.1", t="10.0.0.1"), "inferway", None
    )
    assert write_budget.endpoints_costs(cluster.plan(route_only)) == ({}, 0)
    new = size_limits.desired_state(
        compilation(route("a", "s", "t", "u"), s="10.0.0.2", t="10.0.0.1", u="10.0.0.3"), "inferway", None
    )
    writes = [write for write in cluster.plan(new) if write.name not in new.layout.shards and write.part != "config"]
    costs, written = write_budget.endpoints_costs(writes)
    assert costs == {"demo": written}
    assert written == sum(len(text) for write in writes for text in write.data.values()) > 0


def test_held_endpoints_stay_as_they_were_published() -> None:
    """A Service that is new for a config is published nevertheless: the config needs it."""
    cluster = Cluster()
    cluster.settle(size_limits.desired_state(compilation(route("a", "s"), s="10.0.0.1"), "inferway", None))
    new = size_limits.desired_state(compilation(route("a", "s", "t"), s="10.0.0.2", t="10.0.0.2"), "inferway", None)
    for held, address in (({"demo"}, "10.0.0.1"), (set[str](), "10.0.0.2")):
        state = cluster.read()
        cluster.write(plan(new, state.published, state.configs, frozenset(), "inferway", None, held))
        published = cluster.read().published.addresses
        assert [one.address for one in published["demo/s:80"]] == [address]
        assert [one.address for one in published["demo/t:80"]] == ["10.0.0.2"]


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 100_000)), max_size=50))
@settings(max_examples=examples(50), deadline=None)
def test_debt_lasts_no_longer_than_its_bound(changes: list[tuple[float, int]]) -> None:
    budget = WriteBudget(of_namespace=600, of_all=1000, longest=15.0)
    moment = 0.0
    for pause, size in changes:
        moment += pause
        budget.spend({"evil": size}, size, moment)
        assert all(seconds <= 15.0 + MINUTE / 2 + 0.01 for seconds in budget.held(moment).values())


def test_home_of_each_object_is_the_shard_that_has_it() -> None:
    routes = tuple(route(f"r{number}", path="/" + "x" * 900) for number in range(400))
    layout = lay_out_config(compilation(*routes).config)
    assert len(layout.shards) > 4
    for item in routes:
        assert item.id.encode() in layout.shards[layout.homes[f"GatewayRoute/{item.id}"]]


def a_world(*names: str, created: str = "2026-01-01T00:00:00Z") -> World:
    """Return a world with a route and a policy of each name, and a grant of each namespace."""
    manifests = []
    for namespace, name in (text.split("/") for text in names):
        metadata = {"name": name, "namespace": namespace, "creationTimestamp": created}
        grant = {
            "from": [{"group": "inferway.dev", "kind": "GatewayRoute", "namespace": "z"}],
            "to": [{"group": "", "kind": "Service"}],
        }
        for version, kind, spec in (
            ("inferway.dev/v1alpha1", "GatewayRoute", {"rules": [{"filters": []}]}),
            ("inferway.dev/v1alpha1", "RateLimitPolicy", {"limits": []}),
            ("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", grant),
        ):
            manifests.append({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
    return from_manifests(manifests, standalone=False)


def ids(world: World) -> set[str]:
    routes, policies = ({item.meta.id for item in items} for items in (world.routes, world.policies))
    assert routes == policies
    return routes


def test_held_namespace_keeps_its_older_objects() -> None:
    older, newer = a_world("x/kept", "y/old"), a_world("x/kept", "x/new", "y/new")
    changed = replace(newer, routes=tuple(replace(item, hostnames=("new.example",)) for item in newer.routes))
    mixed = write_budget.with_older(changed, older, {"x"})
    assert ids(mixed) == {"x/kept", "y/new"}
    assert {item.meta.id: item.hostnames for item in mixed.routes} == {"x/kept": (), "y/new": ("new.example",)}


def test_deletion_takes_effect_in_a_held_namespace() -> None:
    older = a_world("x/deleted", "x/kept", "gone/route")
    newer = a_world("x/kept")
    assert len(older.grants) > len(newer.grants)
    mixed = write_budget.with_older(newer, older, {"x", "gone"})
    assert ids(mixed) == {"x/kept"}
    assert mixed.grants == newer.grants


def test_object_that_took_a_deleted_name_waits() -> None:
    """The deleted one is gone nevertheless: it is not the same object."""
    older, newer = a_world("x/again"), a_world("x/again", created="2026-01-02T00:00:00Z")
    assert ids(write_budget.with_older(newer, older, {"x"})) == set()


@given(
    *[st.sets(st.tuples(st.sampled_from("xyz"), st.sampled_from("abcd"))) for _ in range(2)],
    st.sets(st.sampled_from("xyz")),
)
@settings(max_examples=examples(50), deadline=None)
def test_mixed_world_has_nothing_that_was_deleted(
    old: set[tuple[str, str]], new: set[tuple[str, str]], held: set[str]
) -> None:
    older, newer = (a_world(*("/".join(item) for item in items)) for items in (old, new))
    mixed = ids(write_budget.with_older(newer, older, held))
    assert mixed <= ids(newer)
    assert mixed == {"/".join(item) for item in new if item[0] not in held or item in old}
