"""Endpoints that arrive while a config is built: served at once, and nothing that the build has is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from config_publisher import endpoints
from hypothesis import given
from hypothesis import strategies as st

from inferway_contract.document import (
    Backend,
    ConfigDocument,
    EndpointsDocument,
    KeyPart,
    Limit,
    Match,
    PathMatch,
    Policy,
    Route,
    Rule,
)
from inferway_dataplane.core.limits.token_bucket import check
from inferway_dataplane.core.runtime import Runtime
from inferway_dataplane.core.steps import completed
from inferway_dataplane.core.upstreams.members import Member
from inferway_dataplane.gateway import Gateway
from inferway_dataplane.observability.access_log import AccessLog
from inferway_dataplane.settings import Settings
from inferway_dataplane.sources import NewerEndpoints, Refused

OLD = endpoints(a=[8001, 8002], b=[8001])
BURST = 5


def config(*changed: int, rate: int = 1) -> ConfigDocument:
    """Rules with both Services and one limit; those that are named differ from `config()`."""
    backends = (Backend(service="default/a:80", weight=1), Backend(service="default/b:80", weight=1))
    rules = tuple(
        Rule(
            name=f"r{number}",
            matches=(Match(path=PathMatch(value=f"/{'changed' if number in changed else ''}{number}")),),
            backends=backends,
        )
        for number in range(4)
    )
    limit = Limit(name="l", requests=rate, per=3_600_000, burst=BURST, key=(KeyPart(type="header", name="x"),))
    policies = (Policy(id="n/p", limits=(limit,)),)
    return ConfigDocument(address_policy="Standalone", routes=(Route(id="n/r", rules=rules),), policies=policies)


@pytest.fixture
def gateway() -> Gateway:
    """One that serves `config()` with the old endpoints."""
    return serving()


def serving() -> Gateway:
    gateway = Gateway(Settings(), AccessLog(0, enabled=False))
    completed(gateway.live.accepting(config(), OLD, "first"))
    return gateway


def live(gateway: Gateway) -> Runtime:
    runtime = gateway.context.runtime
    assert runtime is not None
    return runtime


def members(gateway: Gateway) -> dict[tuple[str, str], Member]:
    """The members that requests use, by rule and by backend with address."""
    return {
        (rule.name, f"{backend.name} {member.name}"): member
        for rule in live(gateway).rules
        for backend in rule.backend_set.backends
        for member in backend.members
    }


def arriving(
    *documents: EndpointsDocument, every: int, served: list[EndpointsDocument]
) -> Callable[[], NewerEndpoints | None]:
    """One of the documents each time that this number of steps was taken."""
    steps = 0
    waiting: Iterator[EndpointsDocument] = iter(documents)

    def newer() -> NewerEndpoints | None:
        nonlocal steps
        steps += 1
        document = next(waiting, None) if steps % every == 0 else None
        return document and NewerEndpoints(document, document, lambda: served.append(document))

    return newer


PORTS = st.lists(st.integers(8001, 8005), max_size=3, unique=True)


@given(
    arrivals=st.lists(st.tuples(PORTS, PORTS), min_size=1, max_size=4),
    first=st.tuples(PORTS, PORTS),
    changed=st.sets(st.integers(0, 3)),
    every=st.integers(1, 6),
)
def test_members_of_the_live_config_stay_at_the_swap(arrivals, first, changed, every) -> None:
    gateway = serving()
    served: list[EndpointsDocument] = []
    documents = [endpoints(a=a, b=b) for a, b in arrivals]
    newer = arriving(*documents, every=every, served=served)
    before = members(gateway)
    counters = {rule.name: rule.breaker.counters for rule in live(gateway).rules}
    for _ in gateway.live.accepting(config(*changed), endpoints(a=first[0], b=first[1]), "second", "", newer):
        if gateway.live.revision == "first":
            assert live(gateway).config == config()
            assert live(gateway).endpoints == (served[-1] if served else OLD)
            assert all(before[key] is member for key, member in members(gateway).items() if key in before) or served
            before = members(gateway)
    last = served[-1] if served else endpoints(a=first[0], b=first[1])
    assert live(gateway).config == config(*changed)
    assert live(gateway).endpoints == last
    after = members(gateway)
    expected = {
        (f"r{number}", f"{service} {item.address}:{item.port}")
        for number in range(4)
        for service, items in last.services.items()
        for item in items
    }
    assert after.keys() == expected
    # A member has the requests under way and the failures of its endpoint: requests of both configs share it.
    assert [key for key in after.keys() & before.keys() if after[key] is not before[key]] == []
    assert [rule.name for rule in live(gateway).rules if rule.breaker.counters is not counters[rule.name]] == []
    assert live(gateway).members.keys() == {
        ("n/r", f"r{number}", name) for number in range(4) for name in last.services
    }
    assert {member.endpoint for member in after.values()} == live(gateway).upstreams
    assert len(gateway.stats.rules) == 5


@pytest.mark.parametrize("rate", [1, 7], ids=["the same terms", "other terms"])
@pytest.mark.parametrize("every", [1, 3, 9])
def test_admissions_during_a_build_are_charged(gateway: Gateway, rate: int, every: int) -> None:
    admitted = 0
    newer = arriving(endpoints(a=[8003], b=[]), endpoints(a=[], b=[8004]), every=every, served=[])
    for _ in gateway.live.accepting(config(0, rate=rate), OLD, "second", "", newer):
        (bucket,) = live(gateway).buckets.values()
        refusing, _ = check([(bucket, "key", 1)], gateway.clock.now())
        admitted += refusing is None
    assert admitted == BURST
    (bucket,) = live(gateway).buckets.values()
    assert bucket.interval == 3600 / rate


def test_flapping_endpoints_do_not_starve_a_config(gateway: Gateway) -> None:
    """The steps of a build are not taken twice, however often endpoints arrive."""
    quiet = sum(1 for _ in gateway.live.accepting(config(1), OLD, "second"))
    asked = 0

    def newer() -> NewerEndpoints:
        nonlocal asked
        asked += 1
        document = endpoints(a=[8001 + asked % 2], b=[])
        return NewerEndpoints(document, document, lambda: None)

    for _ in gateway.live.accepting(config(2), OLD, "third", "", newer):
        assert asked <= quiet
    assert gateway.live.revision == "third"
    assert live(gateway).endpoints == endpoints(a=[8001 + asked % 2], b=[])


def test_refused_config_leaves_the_newer_endpoints(gateway: Gateway) -> None:
    missing = config(1).model_copy(
        update={
            "routes": (
                *config(1).routes,
                Route(id="n/s", rules=(Rule(name="s", backends=(Backend(service="default/c:80", weight=1),)),)),
            )
        }
    )
    served: list[EndpointsDocument] = []
    newest = endpoints(a=[8003], b=[])
    with pytest.raises(Refused, match="default/c:80"):
        completed(gateway.live.accepting(missing, OLD, "second", "", arriving(newest, every=3, served=served)))
    assert served == [newest]
    assert gateway.live.revision == "first"
    assert (live(gateway).config, live(gateway).endpoints) == (config(), newest)
    assert len(live(gateway).rules) == 4
    assert {member.name for member in members(gateway).values()} == {"127.0.0.1:8003"}


def test_endpoints_that_do_not_fit_are_not_served(gateway: Gateway) -> None:
    served: list[EndpointsDocument] = []
    partial = endpoints(a=[8003])
    completed(gateway.live.accepting(config(1), OLD, "second", "", arriving(partial, every=3, served=served)))
    assert served == []
    assert (gateway.live.revision, live(gateway).endpoints) == ("second", OLD)
