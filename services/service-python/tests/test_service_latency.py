"""Latency and failure depend only on the profile and the given random numbers."""

import dataclasses
import random
from statistics import fmean, median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service_python.latency import Decision, Distribution, Profile, decide

PROFILE = Profile(distribution="lognormal", latency_ms=20, sigma=0.25, jitter_ms=1, max_ms=1000, error_rate=0)
NAMES: tuple[Distribution, ...] = ("constant", "uniform", "lognormal", "exponential")


def _decide(count: int, seed: int = 1, **changes: Any) -> list[Decision]:
    rng = random.Random(seed)
    profile = dataclasses.replace(PROFILE, **changes)
    return [decide(profile, rng) for _ in range(count)]


def _milliseconds(count: int, **changes: Any) -> list[float]:
    return [each.seconds * 1000 for each in _decide(count, **changes)]


# The seed is fixed, so these tests are deterministic. 4,000 draws estimate within a few percent.


def test_constant_distribution_returns_the_latency() -> None:
    assert set(_milliseconds(100, distribution="constant", jitter_ms=0)) == {20.0}


def test_uniform_distribution_spreads_around_its_mean() -> None:
    drawn = _milliseconds(4000, distribution="uniform", jitter_ms=0)
    assert fmean(drawn) == pytest.approx(20, rel=0.05)
    assert 0 <= min(drawn) < 1
    assert 39 < max(drawn) <= 40


def test_lognormal_distribution_has_its_median_and_tail() -> None:
    drawn = sorted(_milliseconds(4000, jitter_ms=0))
    assert median(drawn) == pytest.approx(20, rel=0.05)
    assert drawn[3960] == pytest.approx(20 * 1.79, rel=0.05)  # p99 = 20 exp(2.326 * 0.25)


def test_exponential_distribution_has_its_mean() -> None:
    drawn = _milliseconds(4000, distribution="exponential", jitter_ms=0)
    assert fmean(drawn) == pytest.approx(20, rel=0.05)
    assert median(drawn) == pytest.approx(20 * 0.693, rel=0.05)


def test_jitter_spreads_to_both_sides() -> None:
    drawn = _milliseconds(1000, distribution="constant", jitter_ms=5)
    assert 15 <= min(drawn) < 16
    assert 24 < max(drawn) <= 25


@given(
    distribution=st.sampled_from(NAMES),
    latency_ms=st.floats(0, 600_000),
    sigma=st.floats(0, 5),
    jitter_ms=st.floats(0, 600_000),
    max_ms=st.floats(0, 600_000),
    seed=st.integers(0),
)
def test_latency_stays_between_zero_and_the_maximum(
    distribution: Distribution, latency_ms: float, sigma: float, jitter_ms: float, max_ms: float, seed: int
) -> None:
    profile = Profile(
        distribution=distribution,
        latency_ms=latency_ms,
        sigma=sigma,
        jitter_ms=jitter_ms,
        max_ms=max_ms,
        error_rate=0.5,
    )
    assert 0 <= decide(profile, random.Random(seed)).seconds <= max_ms / 1000


@pytest.mark.parametrize("distribution", NAMES)
def test_latencies_repeat_with_the_seed(distribution: Distribution) -> None:
    assert _decide(50, distribution=distribution) == _decide(50, distribution=distribution)
    assert _decide(50, distribution=distribution) != _decide(50, seed=2, distribution=distribution)


def test_errors_occur_at_the_error_rate() -> None:
    assert not any(each.fails for each in _decide(1000))
    assert all(each.fails for each in _decide(1000, error_rate=1))
    assert fmean(each.fails for each in _decide(4000, error_rate=0.1)) == pytest.approx(0.1, abs=0.02)


def test_error_rate_leaves_the_latencies_unchanged() -> None:
    assert _milliseconds(50, error_rate=0.5) == _milliseconds(50)
