"""Pauses after failures, and what is told of an outage."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_dataplane.sources.api import Unavailable
from inferway_dataplane.sources.api_health import ApiHealth
from inferway_dataplane.sources.api_responses import failure
from inferway_dataplane.sources.backoff import FIRST, LONGEST, MAX_RETRY_AFTER, Backoff


def test_pauses_double_to_a_limit_and_begin_anew() -> None:
    pauses = Backoff(lambda: 0.0)
    assert [pauses.pause() for _ in range(6)] == [0.2, 0.4, 0.8, 1.6, 2.5, 2.5]
    pauses.reset()
    assert pauses.pause() == 0.2


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_they_are_cut_by_half_at_most(shares: list[float]) -> None:
    rolled = iter(shares)
    pauses = Backoff(lambda: next(rolled))
    for _ in shares:
        assert FIRST / 2 <= pauses.pause() <= LONGEST


@given(st.floats(0, 1), st.floats(0, 1000))
def test_what_the_server_asks_for_is_never_undercut_up_to_a_minute(share: float, asked: float) -> None:
    pause = Backoff(lambda: share).pause(asked)
    assert pause >= min(asked, MAX_RETRY_AFTER)
    assert pause <= MAX_RETRY_AFTER * 1.1


def test_an_outage_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    contact = ApiHealth()
    contact.answered("config")
    for who in ("config", "endpoints", "config"):
        contact.failed(who, Unavailable(f"{who} is not answered"))
    assert contact.trouble == "the API server cannot be reached: config is not answered"
    contact.answered("config")
    assert contact.trouble == "the API server cannot be reached: endpoints is not answered"
    contact.answered("endpoints")
    assert contact.trouble == ""
    assert [record.getMessage() for record in caplog.records] == [
        "the API server does not answer, what is served goes on",
        "the API server answers again",
    ]


def refused(status: int, message: str) -> Unavailable:
    """As the API server refuses."""
    found = failure(status, "", json.dumps({"message": message}).encode())
    assert isinstance(found, Unavailable)
    return found


REFUSALS = {
    "no role": (
        403,
        'configmaps "inferway-config" is forbidden',
        "its Role or the binding is missing, apply the manifests",
    ),
    "another pod's Lease": (
        403,
        "ValidatingAdmissionPolicy 'inferway-gateway-leases' denied",
        "let POD_NAME come from",
    ),
    "no token": (401, "Unauthorized", "let Kubernetes mount it"),
}


@pytest.mark.parametrize(("status", "message", "mend"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_says_what_mends_it(caplog: pytest.LogCaptureFixture, status: int, message: str, mend: str) -> None:
    contact = ApiHealth()
    contact.failed("config", refused(status, message))
    [record] = caplog.records
    assert record.getMessage() == "the API server refuses what this pod asks for, what is served goes on"
    assert mend in vars(record)["mend"]
    assert message in contact.trouble
    assert mend in contact.trouble
    assert refused(500, message).mend == "", "asking again is all that helps"
