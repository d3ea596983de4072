"""The format of the documents: never one that a pod cannot read, back at once, forth after a while without such a pod."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_contract.acknowledgement import Acknowledgement
from inferway_contract.document import FORMAT
from inferway_operator.publish.format_choice import HOLD, LONGEST_HOLD, FormatChoice, newest_common
from inferway_operator.world.pods import LeaseState, PodState, known_formats

OLD, NEW, NEWER, FUTURE = (1,), (1, 2), (1, 2, 3), (3, 4)
ANY = st.frozensets(st.sampled_from([1, 2, 3, 7]), min_size=1, max_size=3).map(sorted).map(tuple)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        pytest.param([], FORMAT, id="no pod"),
        pytest.param([NEW], 2, id="a pod of this version"),
        pytest.param([NEW, NEWER], 2, id="a pod of a later version"),
        pytest.param([OLD], 1, id="a pod of the version before"),
        pytest.param([NEW, OLD, NEWER], 1, id="one of them is older"),
        pytest.param([(2, 3)], 2, id="a later version without format 1"),
        pytest.param([FUTURE], FORMAT, id="no choice helps it"),
        pytest.param([FUTURE, OLD], 1, id="no choice helps one of them"),
        pytest.param([OLD, (2,)], 1, id="nothing in common"),
        pytest.param([(2,), OLD], 1, id="nothing in common, in another order"),
    ],
)
def test_newest_common_format(known: list[tuple[int, ...]], expected: int) -> None:
    assert newest_common(known) == expected


def test_choice_goes_back_at_once_and_forth_after_the_hold() -> None:
    choice = FormatChoice(2, hold=HOLD / 2).with_pods([NEW, OLD], 100.0)
    assert (choice.version, choice.remaining(100.0)) == (1, None)
    choice = choice.with_pods([NEW], 101.0)
    assert (choice.version, choice.remaining(104.0)) == (1, HOLD - 3)
    # A pod of the version before starts and goes again: the hold begins again.
    choice = choice.with_pods([NEW, OLD], 105.0).with_pods([NEW], 106.0)
    assert choice.with_pods([NEW], 106.0 + HOLD - 0.1).version == 1
    assert choice.with_pods([NEW], 106.0 + HOLD) == FormatChoice(2)


def test_hold_grows_with_each_return_to_an_older_format() -> None:
    """A pod that reports one format and another in turn makes the documents be written again ever more seldom."""
    choice, now, changes = FormatChoice(2), 0.0, []
    while now < 3600:
        before, now = choice, now + 1
        choice = choice.with_pods([NEW if choice.version == 1 else OLD], now)
        if choice.version > before.version:
            changes.append(now)
    assert [later - earlier for earlier, later in pairwise(changes)][-2:] == [LONGEST_HOLD + 2] * 2
    assert len(changes) <= 12


@given(st.lists(st.tuples(st.floats(0, 2 * HOLD), st.lists(ANY, max_size=4)), max_size=30), st.sampled_from([1, 2]))
def test_choice_is_readable_and_does_not_flap(steps: list[tuple[float, list[tuple[int, ...]]]], start: int) -> None:
    choice, now, possible_since = FormatChoice(1 if start == 1 else 2), 0.0, 0.0
    for pause, known in steps:
        before, now = choice, now + pause
        choice = choice.with_pods(known, now)
        # Never newer than what every pod reads that can be served at all.
        assert choice.version <= newest_common(known)
        if newest_common(known) <= before.version:
            possible_since = now
        if choice.version > before.version:
            assert now >= possible_since + HOLD
    assert choice.with_pods([], now).with_pods([], now + LONGEST_HOLD).version == FORMAT


@given(st.lists(ANY, max_size=4), ANY)
def test_further_pod_never_raises_the_format(known: list[tuple[int, ...]], further: tuple[int, ...]) -> None:
    assert newest_common([*known, further]) <= newest_common(known)


def pod(name: str, *, is_terminating: bool = False, is_ready: bool = True) -> PodState:
    return PodState(name, f"{name}-uid", is_terminating, is_ready)


def lease(name: str, formats: tuple[int, ...], holder: str = "") -> LeaseState:
    return LeaseState(name, holder or f"{name}-uid", 0.0, Acknowledgement(formats=formats))


@pytest.mark.parametrize(
    ("pods", "leases", "expected"),
    [
        pytest.param([pod("a")], [lease("a", NEW)], {NEW}, id="ready"),
        pytest.param([pod("a", is_ready=False)], [lease("a", OLD)], {OLD}, id="starting"),
        pytest.param([pod("a"), pod("b")], [lease("a", NEW)], {NEW}, id="one has no Lease yet"),
        pytest.param(
            [pod("a"), pod("b", is_terminating=True)], [lease("a", NEW), lease("b", OLD)], {NEW}, id="one ends"
        ),
        pytest.param([pod("a")], [lease("a", OLD, "of an earlier pod")], set(), id="Lease of an earlier pod"),
        pytest.param([], [lease("a", OLD)], set(), id="the pod is gone"),
    ],
)
def test_pods_whose_formats_count(
    pods: list[PodState], leases: list[LeaseState], expected: set[tuple[int, ...]]
) -> None:
    assert known_formats(pods, leases) == expected
