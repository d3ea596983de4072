"""The plan of writes: whole documents after each of them, the same end wherever it is broken off, nothing when nothing differs."""

import pytest
from publish_cases import GATEWAY, Cluster, compilation, desired_state, route

from inferway_contract.document import Endpoint, Format, Route
from inferway_contract.sharding import SHARD_KEY
from inferway_operator.publish import plan as publish_plan
from inferway_operator.publish import published_state, size_limits

OLD = desired_state(route("one", "a"), route("two", "b"), a="10.0.0.1", b="10.0.0.2")
NEW = desired_state(route("one", "a", "c"), route("three", "d"), a="10.0.0.1", c="10.0.0.3")


def test_plan_writes_endpoints_first_and_shards_before_the_index() -> None:
    parts = [write.part for write in Cluster().plan(OLD)]
    assert parts == ["shard", "endpoints", "shard", "config"]


def test_plan_without_differences_is_empty() -> None:
    cluster = Cluster()
    cluster.publish(OLD)
    assert cluster.plan(OLD) == ()
    assert cluster.config() == OLD.config


@pytest.mark.case("K4")
def test_plan_writes_each_spoiled_config_map_once_more() -> None:
    """Its content is right, and it stays known: what was published last is not lost."""
    cluster = Cluster()
    cluster.publish(OLD)
    for name in cluster.maps:
        state = published_state.read(GATEWAY, cluster.maps, frozenset({name}))
        assert state.published.revision == OLD.layout.revision
        (write,) = publish_plan.plan(OLD, state.published, state.configs, frozenset(), GATEWAY)
        assert (write.name, write.data) == (name, cluster.maps[name])
        assert publish_plan.plan(OLD, write.after(state.published), state.configs, frozenset(), GATEWAY) == ()


@pytest.mark.parametrize("start", [None, OLD], ids=["empty", "published"])
@pytest.mark.parametrize("reports", [False, True], ids=["no reports", "pods report the old one"])
@pytest.mark.case("K2")
def test_interrupted_plan_leaves_whole_documents_and_converges(start: object, reports: bool) -> None:
    def begin() -> Cluster:
        cluster = Cluster()
        if start is not None:
            cluster.publish(OLD)
        return cluster

    reported = {OLD.layout.revision} if start is not None and reports else set()
    complete = begin()
    count = len(complete.publish(NEW, reported))
    assert count > 0
    complete.settle(NEW, reported)
    for broken_off in range(count + 1):
        cluster = begin()
        cluster.write(cluster.plan(NEW, reported)[:broken_off])
        config, endpoints = cluster.config(), cluster.endpoints()
        assert config in (None if start is None else OLD.config, NEW.config)
        if config is not None:
            assert endpoints is not None
            assert config.named_services() <= endpoints.services.keys()
        assert cluster.read().errors == ()
        cluster.settle(NEW, reported)
        assert cluster.maps == complete.maps


def test_plan_keeps_old_addresses_until_all_pods_switch() -> None:
    cluster = Cluster()
    cluster.publish(OLD)
    cluster.publish(NEW, {OLD.layout.revision})
    after = cluster.endpoints()
    assert after is not None
    assert [endpoint.address for endpoint in after.services["demo/b:80"]] == ["10.0.0.2"]
    writes = cluster.publish(NEW, {NEW.layout.revision})
    assert writes[-1].part == "endpoints"
    trimmed = cluster.endpoints()
    assert trimmed is not None
    assert "demo/b:80" not in trimmed.services
    assert cluster.plan(NEW, {NEW.layout.revision}) == ()


def test_history_keeps_configs_that_pods_may_serve() -> None:
    cluster = Cluster()
    cluster.publish(OLD)
    middle = desired_state(route("one", "a"))
    cluster.publish(middle, {OLD.layout.revision})
    cluster.publish(NEW, {OLD.layout.revision})
    state = cluster.read()
    assert [revision for revision, _ in state.published.history] == [middle.layout.revision, OLD.layout.revision]
    assert state.configs[OLD.layout.revision].fragments == OLD.parsed.fragments
    assert state.configs[OLD.layout.revision].services == OLD.parsed.services
    newest = desired_state(route("four"))
    cluster.publish(newest, {NEW.layout.revision})
    assert [revision for revision, _ in cluster.read().published.history] == [NEW.layout.revision]


def in_format(version: Format, *routes: Route) -> size_limits.DesiredState:
    return size_limits.desired_state(compilation(*routes), GATEWAY, None, version)


def test_history_keeps_the_last_config_of_an_older_format() -> None:
    cluster = Cluster()
    older = [in_format(1, route("one", "a")), in_format(1, route("one", "b"))]
    for want in (
        *older,
        *(in_format(2, route(f"route-{number}", "c")) for number in range(publish_plan.MAX_HISTORY + 3)),
    ):
        cluster.publish(want, {want.layout.revision})
    state = cluster.read()
    last = older[1].layout.revision
    assert [revision for revision, _ in state.published.history][1:] == [last]
    assert state.configs[last].version == 1
    # A pod of the version before that starts now can be served with it: its shards and the endpoints of its Services stay.
    due, rest = publish_plan.garbage(state.published, state.configs, frozenset(), {}, 0.0)
    assert not older[1].parsed.shards & ({*due} | rest.keys())
    assert older[0].parsed.shards - older[1].parsed.shards <= rest.keys()
    endpoints = cluster.endpoints()
    assert endpoints is not None
    assert {"demo/b:80", "demo/c:80"} <= endpoints.services.keys()
    assert "demo/a:80" not in endpoints.services


def test_full_history_keeps_the_last_config_of_an_older_format() -> None:
    cluster = Cluster()
    wants = [in_format(1, route("one")), *(in_format(2, route(f"route-{number}")) for number in range(15))]
    for want in wants:
        cluster.publish(want, {one.layout.revision for one in wants})
    history = [revision for revision, _ in cluster.read().published.history]
    assert len(history) == publish_plan.MAX_HISTORY
    assert history[-1] == wants[0].layout.revision


def test_history_ends_older_formats_with_the_same_format() -> None:
    cluster = Cluster()
    for number, version in enumerate((1, 2, 1, 1)):
        cluster.publish(in_format(1 if version == 1 else 2, route(f"route-{number}")))
    state = cluster.read()
    assert [state.configs[revision].version for revision, _ in state.published.history] == [1]


def test_change_of_format_changes_no_fragment() -> None:
    cluster = Cluster()
    for version in (2, 1):
        cluster.publish(
            in_format(1 if version == 1 else 2, route("one", "a")), {in_format(2, route("one", "a")).layout.revision}
        )
    configs = cluster.read().configs
    assert {config.version for config in configs.values()} == {1, 2}
    assert len({tuple(config.fragments.items()) for config in configs.values()}) == 1


def test_history_is_limited() -> None:
    cluster = Cluster()
    revisions: set[str] = set()
    for number in range(publish_plan.MAX_HISTORY + 5):
        want = desired_state(route(f"route-{number}"))
        cluster.publish(want, revisions)
        revisions.add(want.layout.revision)
    assert len(cluster.read().published.history) == publish_plan.MAX_HISTORY


def test_plan_updates_services_of_older_configs() -> None:
    cluster = Cluster()
    cluster.publish(OLD)
    cluster.publish(NEW, {OLD.layout.revision})
    state = cluster.read()
    moved = {"demo/b:80": (Endpoint(address="10.0.0.99", port=80),), "demo/z:80": ()}
    [*_, write] = publish_plan.plan(NEW, state.published, state.configs, {OLD.layout.revision}, GATEWAY, moved)
    assert write.part == "endpoints"
    assert write.changes["addresses"]["demo/b:80"] == moved["demo/b:80"]
    assert "demo/z:80" not in write.changes["addresses"], "no pod serves a config that names it"


def test_history_drops_oldest_configs_at_the_size_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    wants = [desired_state(route(f"route-{number}")) for number in range(5)]
    size = len(wants[0].parsed.index)
    monkeypatch.setattr(size_limits, "MAX_INDEX_BYTES", 4 * size)
    cluster = Cluster()
    for number, want in enumerate(wants):
        cluster.publish(want, {one.layout.revision for one in wants[:number]})
    kept = [revision for revision, _ in cluster.read().published.history]
    assert kept == [one.layout.revision for one in reversed(wants[:-1])][: len(kept)]
    assert 1 <= len(kept) <= 3
    assert sum(map(len, cluster.maps["inferway-config"].values())) <= 4 * size


def test_oversized_index_keeps_the_published_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size_limits, "MAX_INDEX_BYTES", len(OLD.parsed.index) - 1)
    many = [route(f"route-{number}", "a") for number in range(200)]
    refused = size_limits.desired_state(compilation(*many), GATEWAY, OLD.config)
    assert refused.config == OLD.config
    assert refused.too_large.keys() == {f"GatewayRoute/demo/route-{number}" for number in range(200)}


def test_plan_for_one_changed_route_writes_one_shard() -> None:
    routes = [route(f"route-{number}", "a") for number in range(500)]
    before = desired_state(*routes, a="10.0.0.1")
    cluster = Cluster()
    cluster.publish(before)
    routes[250] = route("route-250", "a", path="/changed")
    writes = cluster.publish(desired_state(*routes, a="10.0.0.1"))
    assert [write.part for write in writes] == ["shard", "config"]


@pytest.mark.parametrize("damage", ["gone", "changed"])
@pytest.mark.case("K4")
def test_plan_restores_a_damaged_shard(damage: str) -> None:
    cluster = Cluster()
    cluster.publish(OLD)
    whole = dict(cluster.maps)
    name = next(name for name, data in cluster.maps.items() if '"routes"' in data.get(SHARD_KEY, ""))
    if damage == "gone":
        del cluster.maps[name]
    else:
        cluster.maps[name] = {SHARD_KEY: cluster.maps[name][SHARD_KEY][:-5]}
    state = cluster.read()
    assert name in state.errors[0]
    assert state.config is None
    cluster.publish(OLD)
    assert cluster.maps.keys() == whole.keys()
    assert cluster.config() == OLD.config


GARBAGE = [
    pytest.param((), {}, 0.0, "none due", id="unneeded only now"),
    pytest.param((), "old", 60.0, "due", id="unneeded for a minute"),
    pytest.param((OLD.layout.revision,), "old", 60.0, "none at all", id="a pod serves it"),
    pytest.param(("ffffffffff",), "old", 60.0, "due", id="a pod serves an unknown config"),
]


@pytest.mark.parametrize(("reported", "since", "now", "expected"), GARBAGE)
def test_plan_deletes_unreferenced_shards_after_a_delay(
    reported: tuple[str, ...], since: object, now: float, expected: str
) -> None:
    cluster = Cluster()
    cluster.publish(OLD)
    cluster.publish(NEW, {OLD.layout.revision})
    state = cluster.read()
    old = OLD.parsed.shards - NEW.parsed.shards
    assert old
    unneeded_since = dict.fromkeys(sorted(old), 0.0) if since == "old" else {}
    due, rest = publish_plan.garbage(state.published, state.configs, frozenset(reported), unneeded_since, now)
    assert GATEWAY  # names of shards begin with it
    match expected:
        case "none due":
            assert old <= rest.keys()
            assert due == ()
        case "due":
            assert old <= set(due)
            assert not old & rest.keys()
        case _:
            assert not old & ({*due} | rest.keys())
