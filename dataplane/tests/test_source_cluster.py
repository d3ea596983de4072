"""The data plane on a real API server: published documents are served, and broken ones rejected and reported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_gateway import ClusterGateway, cluster_gateway
from config_publisher import Publisher, config_with_backend, config_with_bodies, endpoints

from inferway_contract.canonical import digest
from inferway_contract.document import EndpointsDocument
from inferway_contract.sharding import ConfigIndex, ShardRef, lay_out_config
from inferway_dataplane.live import Live
from inferway_dataplane.sources import Refused
from inferway_dataplane.sources.last_good import CONFIG, ENDPOINTS
from inferway_envtest import ApiServer, User
from inferway_fakes.upstream import Upstream
from inferway_testing.until import until

MAY = [
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "patch"]},
]
"""All that a pod may do. docs/cluster-source.md has the same."""


@pytest.fixture
def user(api_server: ApiServer, namespace: str) -> User:
    """The pods' ServiceAccount."""
    return api_server.service_account(namespace, "gateway", MAY)


@pytest.fixture
def publisher(api_server: ApiServer, namespace: str) -> Publisher:
    """In the test's namespace."""
    return Publisher(api_server, namespace)


@pytest.fixture
def gateway(api_server: ApiServer, namespace: str, user: User) -> Iterator[ClusterGateway]:
    """One that waits for its first document, without a last good copy."""
    with cluster_gateway(api_server.kubeconfig(user), namespace) as running:
        yield running


def test_source_waits_for_a_document_then_serves_changes(gateway, publisher):
    until(lambda: "no ConfigMap inferway-config" in gateway.why_not(), "it says what it waits for")
    assert gateway.ask("/healthz", admin=True) == (200, "ok\n")
    with pytest.raises(ConnectionRefusedError):
        gateway.ask("/")
    for body in ("one", "two"):
        revision = publisher.publish(config_with_bodies(body))
        gateway.serves(body)
        assert gateway.revision == revision
    assert gateway.ask("/readyz", admin=True) == (200, "ok\n")
    assert gateway.rejected == 0


def test_config_without_endpoints_waits_for_them_by_name(gateway, publisher):
    publisher.endpoints(endpoints(a=[]))
    publisher.config(config_with_backend("default/b:80"))
    until(lambda: "waiting for endpoints of default/b:80" in gateway.why_not(), "it says what it waits for")
    assert gateway.rejected == 0
    publisher.endpoints(endpoints(b=[]))
    until(lambda: gateway.ask("/readyz", admin=True)[0] == 200, "it serves")
    assert gateway.ask("/")[0] == 503


def test_endpoints_of_the_live_config_outlive_their_removal(gateway, publisher):
    with Upstream() as first, Upstream() as second:
        publisher.publish(config_with_backend("default/a:80"), endpoints(a=[first.port]))
        until(lambda: gateway.why_not() == "ok", "it serves")
        assert gateway.ask("/")[0] == 200
        publisher.endpoints(endpoints(a=[second.port]))
        until(lambda: gateway.ask("/")[0] == 200 and second.seen, "the other endpoint is asked")
        # The Service goes from the endpoints although the config still names it.
        publisher.endpoints(endpoints(b=[]))
        until(lambda: "default/b:80" in gateway.ask("/debug/config", admin=True)[1], "newer endpoints")
        assert gateway.ask("/")[0] == 200
        assert gateway.rejected == 0


def test_unchanged_shards_are_not_read_again(gateway, publisher, api_server, user):
    bodies = [f"body {place}{' ' * 1000}" for place in range(400)]
    publisher.publish(config_with_bodies(*bodies))
    gateway.serves(bodies[399], "/399")
    shards = len(lay_out_config(config_with_bodies(*bodies)).shards)
    assert shards > 3
    mark = api_server.mark()
    bodies[7] = "changed"
    publisher.publish(config_with_bodies(*bodies))
    gateway.serves("changed", "/7")
    assert [seen.verb for seen in api_server.requests(mark, user=user, resource="configmaps")] == ["get"]


# --- what is broken --------------------------------------------------------------------------------------------------


def index_of_broken_shard(publisher: Publisher, content: bytes, told: str) -> ConfigIndex:
    """A shard whose index has the hash `told`."""
    name = f"inferway-{digest(content)[:10]}"
    publisher.shard(name, content)
    return ConfigIndex(shards=(ShardRef(name=name, digest=told),))


GOOD = next(iter(lay_out_config(config_with_bodies("new")).shards.values()))
BROKEN = {
    "truncated": (GOOD[:-7], digest(GOOD), "does not have the hash"),
    "another hash": (GOOD, "0" * 64, "does not have the hash"),
    "no shard": (b"[]", digest(b"[]"), "cannot be read"),
    "an unknown field": (b'{"surprises":[]}', digest(b'{"surprises":[]}'), "cannot be read: surprises"),
}


@pytest.mark.case("K4")
@pytest.mark.parametrize(("content", "told", "error"), BROKEN.values(), ids=BROKEN)
def test_shard_with_another_content_is_refused(gateway, publisher, content, told, error):
    index = index_of_broken_shard(publisher, content, told)
    publisher.endpoints(EndpointsDocument())
    # First with nothing live, then with something.
    publisher.index("config", index)
    until(lambda: error in gateway.why_not(), f"/readyz tells the error; it says {gateway.why_not()}")
    publisher.config(config_with_bodies("old"))
    gateway.serves("old")
    rejected = gateway.rejected
    publisher.index("config", index)
    until(lambda: gateway.rejected == rejected + 1, "the refusal is counted")
    assert error in json.loads(gateway.ask("/debug/config", admin=True)[1])["lastError"]
    assert gateway.says("old")
    # What is taken back is served and no error any more.
    publisher.config(config_with_bodies("old"))
    until(lambda: not json.loads(gateway.ask("/debug/config", admin=True)[1])["lastError"], "the error is over")
    assert gateway.rejected == rejected + 1


@pytest.mark.parametrize("text", ["{", '{"format":2,"novelties":true}', '{"shards":[{}]}', ""])
def test_unreadable_index_is_rejected(gateway, publisher, text):
    publisher.publish(config_with_bodies("old"))
    gateway.serves("old")
    publisher.index("config", text)
    until(lambda: gateway.rejected == 1, "the refusal is counted")
    assert gateway.says("old")
    publisher.config(config_with_bodies("new"))
    gateway.serves("new")


def test_index_ahead_of_its_shards_is_served_when_they_arrive(gateway, publisher):
    publisher.publish(config_with_bodies("old"))
    gateway.serves("old")
    layout = lay_out_config(config_with_bodies("new"))
    publisher.index("config", layout.index)
    until(lambda: gateway.rejected == 1, "the missing shard is told")
    assert "is not there" in json.loads(gateway.ask("/debug/config", admin=True)[1])["lastError"]
    assert gateway.says("old")
    for name, content in layout.shards.items():
        publisher.shard(name, content)
    gateway.serves("new")
    assert gateway.rejected == 1


def test_endpoints_change_while_a_config_cannot_be_built(gateway, publisher, monkeypatch):
    accepting = Live.accepting

    def accepting_unless_bad(live, config, *rest):
        if any(route.id == "default/bad" for route in config.routes):
            live.reject("default/bad does not fit")
            raise Refused("default/bad does not fit")
        return accepting(live, config, *rest)

    monkeypatch.setattr(Live, "accepting", accepting_unless_bad)  # every document that is read fits, so far
    with Upstream() as first, Upstream() as second:
        publisher.publish(config_with_backend("default/a:80"), endpoints(a=[first.port]))
        until(lambda: gateway.why_not() == "ok", "it serves")
        publisher.config(config_with_backend("default/a:80", name="default/bad"))
        until(lambda: gateway.rejected == 1, "the refusal is counted")
        publisher.endpoints(endpoints(a=[second.port]))
        until(lambda: gateway.ask("/")[0] == 200 and second.seen, "the other endpoint is asked")
        assert gateway.rejected == 1
        assert "default/bad" in json.loads(gateway.ask("/debug/config", admin=True)[1])["lastError"]
        # The gateway itself keeps the error with newer endpoints.
        assert "default/bad" in gateway.plane.gateway.live.last_error
        publisher.config(config_with_backend("default/a:80"))
        until(lambda: not gateway.plane.gateway.live.last_error, "the error is over")


def test_deleted_config_maps_leave_the_served_document(gateway, publisher):
    publisher.publish(config_with_bodies("old"))
    gateway.serves("old")
    publisher.delete("inferway-config")
    publisher.delete("inferway-endpoints")
    publisher.publish(config_with_bodies("new"))
    gateway.serves("new")
    assert gateway.rejected == 0


# --- a copy on disk --------------------------------------------------------------------------------------------------


def test_restart_without_a_document_serves_the_last_good_copy(api_server, namespace, user, publisher, tmp_path):
    kubeconfig = api_server.kubeconfig(user)
    state = tmp_path / "state"
    revision = publisher.publish(config_with_bodies("kept"), endpoints(a=[1]))
    with cluster_gateway(kubeconfig, namespace, state=state) as gateway:
        gateway.serves("kept")
        until(lambda: (state / CONFIG).exists(), "the copy is written")
    publisher.delete("inferway-config")
    with cluster_gateway(kubeconfig, namespace, state=state) as gateway:
        gateway.serves("kept")
        assert gateway.revision == revision
        publisher.config(config_with_bodies("new"))
        gateway.serves("new")


@pytest.mark.case("K4")
@pytest.mark.parametrize("harm", ["config truncated", "endpoints truncated", "endpoints gone"])
def test_damaged_last_good_copy_is_rejected_and_reported(api_server, namespace, user, publisher, tmp_path, harm):
    kubeconfig = api_server.kubeconfig(user)
    publisher.publish(config_with_bodies("kept"), endpoints(a=[1]))
    with cluster_gateway(kubeconfig, namespace, state=tmp_path) as gateway:
        until(lambda: (tmp_path / CONFIG).exists(), "the copy is written")
    publisher.delete("inferway-config")
    damage_copy(tmp_path, harm)
    with cluster_gateway(kubeconfig, namespace, state=tmp_path) as gateway:
        until(lambda: "the last good copy was refused" in gateway.why_not(), "it is told")
        with pytest.raises(ConnectionRefusedError):
            gateway.ask("/")
        publisher.config(config_with_bodies("new"))
        gateway.serves("new")


def damage_copy(state: Path, harm: str) -> None:
    """Damage one file of a copy."""
    target = state / (CONFIG if harm.startswith("config") else ENDPOINTS)
    if harm.endswith("gone"):
        target.unlink()
    else:
        target.write_bytes(target.read_bytes()[:-3])
