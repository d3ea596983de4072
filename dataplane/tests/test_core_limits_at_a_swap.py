"""Rate limits at a change of their terms: between any two steps of the swap requests are admitted, and none is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_contract.document import (
    ConfigDocument,
    DirectResponse,
    EndpointsDocument,
    KeyPart,
    Limit,
    Policy,
    Route,
    Rule,
)
from inferway_dataplane.core.limits.token_bucket import Bucket, check
from inferway_dataplane.core.steps import completed
from inferway_dataplane.engine.clock import Clock
from inferway_dataplane.gateway import Gateway
from inferway_dataplane.observability.access_log import AccessLog
from inferway_dataplane.settings import Settings

BURST = 6
KEYS = "abcdefgh"


def config_with_rate(requests: int, max_keys: int = 100) -> ConfigDocument:
    """Two limits, so that there are steps between them."""
    limits = tuple(
        Limit(
            name=name,
            requests=requests,
            per=1000,
            burst=BURST,
            key=(KeyPart(type="header", name="x"),),
            max_keys=max_keys,
        )
        for name in ("one", "two")
    )
    rule = Rule(name="r", respond=DirectResponse(status=200, content_type="text/plain"))
    return ConfigDocument(routes=(Route(id="n/r", rules=(rule,)),), policies=(Policy(id="n/p", limits=limits),))


def live_buckets(gateway: Gateway) -> list[Bucket]:
    """Those that a request would be charged to now."""
    runtime = gateway.context.runtime
    assert runtime is not None
    return list(runtime.buckets.values())


@pytest.mark.parametrize(("rate", "max_keys"), [(3, 100), (1, 50)], ids=["another rate", "another number of keys"])
@given(before=st.lists(st.sampled_from(KEYS), max_size=30), data=st.data())
def test_no_admission_is_lost_at_a_change_of_terms(rate: int, max_keys: int, before: list[str], data) -> None:
    # Time stands still, so nothing is refilled. A key that was not used before starts full.
    gateway = Gateway(Settings(), AccessLog(0, enabled=False), clock=Clock(lambda: 100.0))
    completed(gateway.live.accepting(config_with_rate(1), EndpointsDocument()))
    admitted = dict.fromkeys(KEYS, 0)

    def ask(key: str) -> None:
        refusing, _ = check([(bucket, key, 1) for bucket in live_buckets(gateway)], 100.0)
        assert (refusing is None) is (admitted[key] < BURST)
        admitted[key] += refusing is None

    for key in before:
        ask(key)
    for _ in gateway.live.accepting(config_with_rate(rate, max_keys), EndpointsDocument()):
        for key in data.draw(st.lists(st.sampled_from(KEYS), max_size=4)):
            ask(key)
    for key in KEYS * (BURST + 1):
        ask(key)
    assert set(admitted.values()) == {BURST}
