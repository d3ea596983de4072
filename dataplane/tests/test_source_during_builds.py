"""The data plane on a real API server while it builds a config: endpoints are served, and the rest stays in order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from threading import Event
from time import monotonic
from typing import Any

import pytest
from cluster_gateway import ClusterGateway, cluster_gateway
from config_publisher import Publisher, config_with_backend, endpoints

from inferway_contract.acknowledgement import GATEWAY_LABEL, Acknowledgement, from_annotations
from inferway_dataplane.live import Live
from inferway_dataplane.sources.lease import Pod
from inferway_envtest import ApiServer
from inferway_fakes.upstream import Upstream
from inferway_testing.until import until

pytestmark = pytest.mark.outside
HELD = "default/held"
"""A config with a route of this name is built until `Build.release`."""


class Build:
    """The build of one config."""

    def __init__(self) -> None:
        self.began = Event()
        self.release = Event()
        self.times = 0


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Build:
    """That takes as long as a test wants."""
    compiling = Live._compiling
    held = Build()

    def holding(live: Live, config: Any, *rest: Any) -> Any:
        if all(route.id != HELD for route in config.routes):
            return (yield from compiling(live, config, *rest))
        held.times += 1
        built = yield from compiling(live, config, *rest)
        held.began.set()
        while not held.release.is_set():
            yield
        return built

    monkeypatch.setattr(Live, "_compiling", holding)
    return held


class Reported:
    """The Lease of the pod."""

    def __init__(self, api: ApiServer, namespace: str) -> None:
        self._api = api
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/gateway-0"

    def __call__(self) -> Acknowledgement:
        return from_annotations(self._api.ask("GET", self._path)["metadata"]["annotations"])


@pytest.fixture
def publisher(api_server: ApiServer, namespace: str) -> Publisher:
    return Publisher(api_server, namespace)


@pytest.fixture
def gateway(api_server: ApiServer, namespace: str) -> Iterator[ClusterGateway]:
    made = api_server.pod(namespace, "gateway-0", {GATEWAY_LABEL: "inferway"})
    pod = Pod("gateway-0", made["metadata"]["uid"], "inferway")
    with cluster_gateway(api_server.kubeconfig(), namespace, pod=pod) as running:
        yield running


@pytest.fixture
def reported(api_server: ApiServer, namespace: str) -> Reported:
    return Reported(api_server, namespace)


def begin_build(gateway: ClusterGateway, publisher: Publisher, build: Build, port: int) -> tuple[str, str]:
    """Serve a config with one endpoint, then begin to build another one. Returns the revisions of both."""
    live = publisher.publish(config_with_backend("default/a:80"), endpoints(a=[port]))
    until(lambda: gateway.why_not() == "ok", "it serves")
    held = publisher.config(config_with_backend("default/a:80", name=HELD))
    assert build.began.wait(10)
    return live, held


def debug(gateway: ClusterGateway) -> Any:
    return json.loads(gateway.ask("/debug/config", admin=True)[1])


def asks(gateway: ClusterGateway, upstream: Upstream) -> bool:
    """Whether a request reaches this one."""
    before = len(upstream.seen)
    return gateway.ask("/")[0] == 200 and len(upstream.seen) > before


def test_endpoints_are_served_and_reported_during_a_build(gateway, publisher, build, reported):
    with Upstream() as first, Upstream() as second, Upstream() as third:
        live, held = begin_build(gateway, publisher, build, first.port)
        for upstream in (second, third):
            revision = publisher.endpoints(endpoints(a=[upstream.port]))
            until(lambda upstream=upstream: asks(gateway, upstream), "the other endpoint is asked")
            assert not build.release.is_set()
            assert gateway.revision == live
            assert gateway.plane.source.state.endpoints_revision == revision
            assert str(upstream.port) in json.dumps(debug(gateway))
            until(lambda revision=revision: reported().endpoints == revision, "the Lease has them")
            assert (reported().config, reported().refused) == (live, "")
        build.release.set()
        until(lambda: gateway.revision == held, "the config is served")
        assert asks(gateway, third)
        until(lambda: (reported().config, reported().endpoints) == (held, revision), "the Lease has both")
        # Once, and the pass that takes the newer endpoints.
        assert build.times == 2
        assert gateway.rejected == 0


def test_refused_endpoints_are_reported_during_a_build(gateway, publisher, build, reported):
    with Upstream() as first:
        live, held = begin_build(gateway, publisher, build, first.port)
        publisher.index("endpoints", "{")
        until(lambda: "cannot be read" in reported().error, "the Lease has the error")
        assert (gateway.revision, reported().config) == (live, live)
        build.release.set()
        until(lambda: gateway.revision == held and gateway.rejected == 1, "the config is served, and the error counted")
        assert asks(gateway, first)
        assert "cannot be read" in debug(gateway)["lastError"]


def test_newer_config_during_a_build_is_served_after_it(gateway, publisher, build):
    with Upstream() as first, Upstream() as second:
        begin_build(gateway, publisher, build, first.port)
        publisher.endpoints(endpoints(a=[first.port], b=[second.port]))
        newest = publisher.config(config_with_backend("default/b:80"))
        until(lambda: "default/b:80" in json.dumps(debug(gateway)), "the newer endpoints are served")
        build.release.set()
        until(lambda: gateway.revision == newest, "the newest config is served")
        assert asks(gateway, second)
        assert gateway.rejected == 0


def test_removed_service_keeps_its_addresses_during_a_build(gateway, publisher, build):
    with Upstream() as first:
        _, held = begin_build(gateway, publisher, build, first.port)
        publisher.endpoints(endpoints(b=[1]))
        until(lambda: "default/b:80" in json.dumps(debug(gateway)), "the newer endpoints are served")
        assert asks(gateway, first)
        build.release.set()
        until(lambda: gateway.revision == held, "the config is served")
        assert asks(gateway, first)
        assert gateway.rejected == 0


def test_pod_that_stops_does_not_wait_for_a_build(api_server, namespace, publisher, build):
    with Upstream() as first, Upstream() as second:
        with cluster_gateway(api_server.kubeconfig(), namespace) as gateway:
            live, _ = begin_build(gateway, publisher, build, first.port)
            publisher.endpoints(endpoints(a=[second.port]))
            until(lambda: asks(gateway, second), "the other endpoint is asked")
            gateway.plane.gateway.drain()
            assert asks(gateway, second)  # requests are answered meanwhile
            stopped = monotonic()
        assert monotonic() - stopped < 5
        assert gateway.revision == live
