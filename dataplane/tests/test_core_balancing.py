"""Choices by weight and by load."""

import math
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_dataplane.core.upstreams.balancing import Weighted, least_request

JUST_BELOW_1 = math.nextafter(1.0, 0.0)
draws = st.floats(0, 1, exclude_max=True)


@dataclass(eq=False)
class Endpoint:
    """A member that is its own endpoint: the choice reads only its load."""

    active: int = 0

    @property
    def endpoint(self) -> "Endpoint":
        return self


@given(st.lists(st.integers(0, 7), min_size=1, max_size=6))
def test_weighted_choice_is_proportional_to_the_weights(weights: list[int]) -> None:
    choice = Weighted([(weight, index) for index, weight in enumerate(weights)])
    total = sum(weights)
    rounds = 20 * total
    counts = Counter(choice.choose((number + 0.5) / rounds) for number in range(rounds))
    assert counts == {index: 20 * weight for index, weight in enumerate(weights) if weight}


@given(st.lists(st.integers(0, 1_000_000), max_size=40), draws)
def test_weighted_choice_has_a_positive_weight(weights: list[int], draw: float) -> None:
    chosen = Weighted([(weight, index) for index, weight in enumerate(weights)]).choose(draw)
    assert chosen is None if not sum(weights) else weights[chosen or 0] > 0


@pytest.mark.parametrize("draw", [0.0, 0.5, JUST_BELOW_1])
def test_weighted_choice_never_takes_weight_0(draw: float) -> None:
    assert Weighted([(0, "a"), (1, "b"), (0, "c")]).choose(draw) == "b"
    assert Weighted([(0, "a"), (0, "b")]).choose(draw) is None
    assert Weighted[str]([]).choose(draw) is None


def test_weighted_choice_at_both_ends_of_the_draw_is_exact() -> None:
    choice = Weighted([(90, "a"), (10, "b")])
    assert [choice.choose(draw) for draw in (0.0, 0.8999, 0.9, JUST_BELOW_1)] == ["a", "a", "b", "b"]


@given(st.integers(2, 300), st.one_of(draws, st.just(JUST_BELOW_1)))
def test_least_request_picks_an_endpoint_for_every_draw(count: int, draw: float) -> None:
    endpoints = [Endpoint() for _ in range(count)]
    assert least_request.pick(endpoints, draw) in endpoints


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_least_request_draws_all_pairs_equally_often(count: int) -> None:
    # The first of an idle pair wins: over all pairs each endpoint is the first equally often.
    endpoints = [Endpoint() for _ in range(count)]
    pairs = count * (count - 1)
    counts = Counter(id(least_request.pick(endpoints, (number + 0.5) / pairs)) for number in range(pairs))
    assert set(counts.values()) == {count - 1}


@given(st.lists(st.integers(0, 9), min_size=2, max_size=9, unique=True), draws)
def test_least_request_never_picks_the_most_loaded_endpoint(loads: list[int], draw: float) -> None:
    endpoints = [Endpoint(load) for load in loads]
    chosen = least_request.pick(endpoints, draw)
    assert chosen.active < max(loads)


def test_least_request_picks_the_less_loaded_of_two() -> None:
    busy, idle = Endpoint(2), Endpoint(1)
    for draw in (0.0, 0.49, 0.5, JUST_BELOW_1):
        assert least_request.pick([busy, idle], draw) is idle


def test_least_request_picks_the_only_endpoint() -> None:
    only = Endpoint(99)
    assert least_request.pick([only], 0.7) is only
