"""Pauses between attempts: the series, its random part, and what a server asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_kube.backoff import FIRST, LONGEST, LONGEST_RETRY_AFTER, Backoff


def test_backoff_doubles_up_to_its_limit_and_resets() -> None:
    backoff = Backoff(lambda: 0.0)
    assert [backoff.pause() for _ in range(6)] == [0.2, 0.4, 0.8, 1.6, 2.5, 2.5]
    backoff.reset()
    assert backoff.pause() == 0.2


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_backoff_is_cut_by_half_at_most(shares: list[float]) -> None:
    rolled = iter(shares)
    backoff = Backoff(lambda: next(rolled))
    for _ in shares:
        assert FIRST / 2 <= backoff.pause() <= LONGEST


@given(st.floats(0, 1), st.floats(0, 1000))
def test_backoff_honours_retry_after_up_to_its_bound(share: float, asked: float) -> None:
    pause = Backoff(lambda: share).pause(asked)
    assert min(asked, LONGEST_RETRY_AFTER) <= pause <= LONGEST_RETRY_AFTER * 1.1


@pytest.mark.parametrize(("asked", "expected"), [(1.0, 1.0), (5.0, 5.0), (3600.0, 5.0)])
def test_backoff_bounds_retry_after_as_configured(asked: float, expected: float) -> None:
    assert Backoff(lambda: 0.0, longest_retry_after=5.0).pause(asked) == expected
