"""A starting pod that cannot read the newest config serves an older one that was published."""

from __future__ import annotations

from time import sleep
from typing import Any

import pytest
from cluster_gateway import QUICK, cluster_gateway
from config_publisher import GATEWAY, Publisher, config_with_backend, config_with_bodies, endpoints

from inferway_contract.acknowledgement import GATEWAY_LABEL, from_annotations
from inferway_contract.canonical import canonical
from inferway_contract.document import EndpointsDocument
from inferway_contract.sharding import HISTORY, HISTORY_KEY, INDEX_KEY, lay_out_config
from inferway_dataplane.sources.lease import Pod
from inferway_envtest import ApiServer
from inferway_testing.until import until

pytestmark = pytest.mark.outside
NEWER = '{"format":9,"shards":[]}'


class OlderConfigs(Publisher):
    """Publishes a config of a later version, with older ones in its history."""

    def __init__(self, api: ApiServer, namespace: str) -> None:
        super().__init__(api, namespace)
        self.namespace = namespace

    def history(self, *configs: Any, newest: str = NEWER) -> list[str]:
        """Publish; returns the older configs' revisions. A text stands for an index as it is."""
        indexes = []
        for config in configs:
            if isinstance(config, str):
                indexes.append(("f" * 10, config))
                continue
            layout = lay_out_config(config, GATEWAY)
            for name, content in layout.shards.items():
                self.shard(name, content)
            indexes.append((layout.revision, canonical(layout.index).decode()))
        data = {INDEX_KEY: newest, HISTORY_KEY: HISTORY.dump_json(tuple(indexes)).decode()}
        self.put(f"{GATEWAY}-config", data)
        return [revision for revision, _ in indexes]


@pytest.fixture
def publisher(api_server: ApiServer, namespace: str) -> OlderConfigs:
    return OlderConfigs(api_server, namespace)


def test_fresh_pod_serves_the_newest_readable_config(api_server, namespace, publisher):
    made = api_server.pod(namespace, "gateway-0", {GATEWAY_LABEL: "inferway"})
    publisher.endpoints(EndpointsDocument())
    missing = canonical(lay_out_config(config_with_bodies("gone"), GATEWAY).index).decode()
    assert "shards" in missing
    _, _, expected, _ = publisher.history("{", missing, config_with_bodies("second"), config_with_bodies("third"))
    pod = Pod("gateway-0", made["metadata"]["uid"], "inferway")
    with cluster_gateway(api_server.kubeconfig(), namespace, pod=pod) as gateway:
        gateway.serves("second")
        assert gateway.revision == expected
        lease = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/gateway-0"

        def reported() -> Any:
            return from_annotations(api_server.ask("GET", lease)["metadata"]["annotations"])

        until(lambda: reported().config == expected, "the Lease has what is served")
        assert reported().refused not in ("", expected)
        assert "format" in reported().error
        assert reported().formats == (1, 2)
        assert gateway.ask("/readyz", admin=True)[0] == 200
        # What it can read takes over, as ever.
        publisher.config(config_with_bodies("news"))
        gateway.serves("news")
        until(lambda: (reported().refused, reported().error) == ("", ""), "the refusal is over")


def test_pod_with_a_live_config_keeps_it(api_server, namespace, publisher):
    publisher.publish(config_with_bodies("live"))
    with cluster_gateway(api_server.kubeconfig(), namespace) as gateway:
        gateway.serves("live")
        publisher.history(config_with_bodies("older"))
        until(lambda: gateway.rejected == 1, "the newest one is refused")
        sleep(2 * QUICK.patience)
        assert gateway.says("live")


def test_older_config_without_its_endpoints_is_passed_over(api_server, namespace, publisher):
    publisher.endpoints(endpoints(a=[1]))
    publisher.history(config_with_backend("default/gone:80"), config_with_bodies("third"))
    with cluster_gateway(api_server.kubeconfig(), namespace) as gateway:
        gateway.serves("third")


@pytest.mark.parametrize("history", ["", "{", "[]", '[["a"]]', '[["ffffffffff", "{"]]'])
def test_pod_without_a_readable_config_waits(api_server, namespace, publisher, history):
    publisher.endpoints(EndpointsDocument())
    publisher.put(f"{GATEWAY}-config", {INDEX_KEY: NEWER, HISTORY_KEY: history})
    with cluster_gateway(api_server.kubeconfig(), namespace) as gateway:
        until(
            lambda: "the document was refused: the index cannot be read: format" in gateway.why_not(), "it is refused"
        )
        assert gateway.ask("/readyz", admin=True)[0] == 503
        publisher.config(config_with_bodies("readable"))
        gateway.serves("readable")


def test_last_good_copy_is_preferred_to_the_history(api_server, namespace, publisher, tmp_path):
    publisher.publish(config_with_bodies("copied"))
    with cluster_gateway(api_server.kubeconfig(), namespace, state=tmp_path) as gateway:
        gateway.serves("copied")
        until(lambda: (tmp_path / "last-good-config").exists(), "it is copied")
    publisher.history(config_with_bodies("history"))
    with cluster_gateway(api_server.kubeconfig(), namespace, state=tmp_path) as gateway:
        gateway.serves("copied")
