"""Pauses after failures, and what is told of an outage."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_dataplane.sources.backing_off import FIRST, LONGEST, MAX_RETRY_AFTER, BackOff
from inferway_dataplane.sources.contact import Contact


def test_pauses_double_to_a_limit_and_begin_anew() -> None:
    pauses = BackOff(lambda: 0.0)
    assert [pauses.pause() for _ in range(6)] == [0.2, 0.4, 0.8, 1.6, 2.5, 2.5]
    pauses.reset()
    assert pauses.pause() == 0.2


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_they_are_cut_by_half_at_most(shares: list[float]) -> None:
    rolled = iter(shares)
    pauses = BackOff(lambda: next(rolled))
    for _ in shares:
        assert FIRST / 2 <= pauses.pause() <= LONGEST


@given(st.floats(0, 1), st.floats(0, 1000))
def test_what_the_server_asks_for_is_never_undercut_up_to_a_minute(share: float, asked: float) -> None:
    pause = BackOff(lambda: share).pause(asked)
    assert pause >= min(asked, MAX_RETRY_AFTER)
    assert pause <= MAX_RETRY_AFTER * 1.1


def test_an_outage_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    contact = Contact()
    contact.answered("config")
    for who in ("config", "endpoints", "config"):
        contact.failed(who, f"{who} is refused")
    assert contact.trouble == "config is refused"
    contact.answered("config")
    assert contact.trouble == "endpoints is refused"
    contact.answered("endpoints")
    assert contact.trouble == ""
    assert [record.getMessage() for record in caplog.records] == [
        "the API server does not answer, what is served goes on",
        "the API server answers again",
    ]
