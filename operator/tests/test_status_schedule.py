"""The order of status writes: fair among namespaces, bounded for one object, and a refusal is that object's alone."""

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferway_operator.status.schedule import BURST, EVERY, LONGEST_RETRY, MOST_LATER, MOST_OF_NAMESPACE, StatusSchedule
from inferway_testing.examples import examples


def crowd(
    schedule: StatusSchedule, number: int, now: float, *, is_first: bool = False, namespace: str = "crowd"
) -> None:
    for index in range(number):
        schedule.mark(f"{namespace}{index}", namespace, 1, now, is_first=is_first)


def write(schedule: StatusSchedule, now: float, most: int = 10_000) -> list[str]:
    """Write one after the other at this moment."""
    written = []
    while len(written) < most and (uid := schedule.take(now)) is not None:
        schedule.wrote(uid, now)
        written.append(uid)
    return written


@given(
    st.integers(1, 40),
    st.integers(1, 8),
    st.lists(st.booleans(), min_size=1, max_size=60),
    st.booleans(),
    st.booleans(),
)
@settings(deadline=None, max_examples=examples(300))
def test_schedule_writes_another_namespace_within_one_round(
    number: int, namespaces: int, before: list[bool], crowd_is_new: bool, other_is_new: bool
) -> None:
    """Namespaces full of objects that change all the time delay another one by one write each, and one of the other lane."""
    schedule = StatusSchedule()
    now = 0.0
    for is_again in before:
        for index in range(namespaces):
            crowd(schedule, number, now, is_first=crowd_is_new, namespace=f"crowd{index}-")
        write(schedule, now, most=3)
        now += 0.4 * is_again
    schedule.mark("other", "other", 1, now, is_first=other_is_new)
    written: list[str] = []
    while "other" not in written:
        written += write(schedule, now, most=1) or [""]
        crowd(schedule, number, now, is_first=crowd_is_new, namespace="crowd0-")
        now += 0.003
    most = namespaces + 1 if other_is_new or not crowd_is_new else 4 * (namespaces + 1)
    assert len(written) <= most * (4 / 3 if other_is_new else 1) + 1


@given(st.integers(1, 30), st.integers(2, 30))
@settings(deadline=None, max_examples=examples(100))
def test_schedule_starves_no_object_of_a_changing_crowd(number: int, per_round: int) -> None:
    """Each round all are marked again in the same order, and fewer are written than were marked."""
    schedule = StatusSchedule()
    written: Counter[str] = Counter()
    for turn in range(3 * number):
        crowd(schedule, number, turn * 0.4)
        written.update(write(schedule, turn * 0.4, per_round))
    assert len(written) == number


def test_schedule_bounds_the_writes_of_one_object() -> None:
    schedule = StatusSchedule()
    written = 0
    for step in range(1000):  # 10 s
        schedule.mark("a", "n", step, step / 100, is_first=True)
        written += len(write(schedule, step / 100))
    assert BURST + 10 - 1 <= written <= BURST + 10 / EVERY + 1
    quiet = 9.99 + BURST * EVERY + 1
    assert schedule.wait(quiet) == 0.0
    assert write(schedule, quiet) == ["a"], "the newest state is not forgotten"
    assert schedule.wait(quiet) == float("inf")


def test_schedule_writes_new_objects_of_a_namespace_first() -> None:
    schedule = StatusSchedule()
    crowd(schedule, 20, 0.0)
    schedule.mark("new", "crowd", 1, 0.0, is_first=True)
    written = write(schedule, 0.0)
    assert "new" in written[:2]
    assert len(written) == 21


def test_schedule_lets_later_statuses_through_a_crowd_of_new() -> None:
    schedule = StatusSchedule()
    crowd(schedule, 100, 0.0, is_first=True)
    schedule.mark("old", "crowd", 1, 0.0, is_first=False)
    assert "old" in write(schedule, 0.0, most=4)


def test_schedule_retries_a_refused_object_alone() -> None:
    schedule = StatusSchedule()
    crowd(schedule, 3, 0.0)
    refused = schedule.take(0.0)
    assert refused == "crowd0"
    schedule.failed(refused, 0.0, is_own=True)
    assert write(schedule, 0.0) == ["crowd1", "crowd2"]
    attempts = []
    now = 0.0
    while now < 300:
        now += schedule.wait(now)
        assert schedule.take(now) == refused
        schedule.failed(refused, now, is_own=True)
        attempts.append(now)
    pauses = [later - earlier for earlier, later in itertools.pairwise(attempts)]
    assert attempts[0] == 0.5
    assert max(pauses) == LONGEST_RETRY
    assert pauses == sorted(pauses)
    schedule.mark(refused, "crowd", 2, now, is_first=True)
    assert schedule.take(now) == refused, "its author has changed it"


def test_schedule_rests_a_namespace_that_is_refused_as_a_whole() -> None:
    schedule = StatusSchedule()
    crowd(schedule, 100, 0.0)
    schedule.mark("other", "other", 1, 0.0, is_first=False)
    attempts, now = 0, 0.0
    while now < 10:
        while (uid := schedule.take(now)) is not None:
            if uid == "other":
                schedule.wrote(uid, now)
            else:
                schedule.failed(uid, now, is_own=False)
                attempts += 1
        now += 0.01
    assert 3 <= attempts <= 8
    assert schedule.take(now + LONGEST_RETRY) is not None
    now += LONGEST_RETRY
    crowd(schedule, 100, now)
    assert len(write(schedule, now)) <= 100


@pytest.mark.parametrize(("is_first", "most"), [(True, MOST_OF_NAMESPACE), (False, MOST_LATER)])
def test_schedule_bounds_concurrent_writes_of_a_namespace(is_first: bool, most: int) -> None:
    """Of a namespace whose last write failed, or that has none yet, one at a time."""
    schedule = StatusSchedule()
    crowd(schedule, 20, 0.0, is_first=is_first)
    first = schedule.take(0.0)
    assert first is not None
    assert schedule.take(0.0) is None
    schedule.wrote(first, 0.0)
    taken = [schedule.take(0.0) for _ in range(most + 1)]
    assert taken[-1] is None
    assert None not in taken[:-1]
    schedule.mark("other", "other", 1, 0.0, is_first=False)
    assert schedule.take(0.0) == "other"


def test_schedule_writes_an_object_once_at_a_time() -> None:
    schedule = StatusSchedule()
    schedule.mark("a", "n", 1, 0.0, is_first=True)
    assert schedule.take(0.0) == "a"
    schedule.mark("a", "n", 2, 0.0, is_first=True)
    assert schedule.take(0.0) is None
    schedule.wrote("a", 0.0)
    assert schedule.take(0.0) == "a"
    schedule.passed("a", 0.0)
    assert schedule.take(0.0) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["mark", "unmark", "take", "wrote", "passed", "own", "shared", "keep"]),
            st.integers(0, 5),
            st.booleans(),
            st.floats(0, 2),
        ),
        max_size=80,
    )
)
@settings(deadline=None, max_examples=examples(400))
def test_schedule_loses_nothing_in_any_history(steps: list[tuple[str, int, bool, float]]) -> None:
    """Against a model: what is dirty is offered in the end, and nothing else."""
    schedule = StatusSchedule()
    dirty: set[str] = set()
    taken: list[str] = []
    now = 0.0
    for step, number, flag, seconds in steps:
        uid, now = f"u{number}", now + seconds
        match step:
            case "mark":
                schedule.mark(uid, f"n{number % 3}", number + flag, now, is_first=flag)
                dirty.add(uid)
            case "unmark":
                schedule.unmark(uid)
                dirty.discard(uid)
            case "take":
                found = schedule.take(now)
                if found is not None:
                    assert found in dirty
                    assert found not in taken
                    dirty.remove(found)
                    taken.append(found)
            case "keep":
                kept = frozenset(f"u{index}" for index in range(number, 6))
                schedule.keep(kept)
                dirty &= kept | set(taken)
            case _ if taken:
                found = taken.pop(number % len(taken))
                if step in ("wrote", "passed"):
                    getattr(schedule, step)(found, now)
                else:
                    schedule.failed(found, now, is_own=step == "own")
                    dirty.add(found)
    for uid in taken:
        schedule.passed(uid, now)
    offered: set[str] = set()
    while (pause := schedule.wait(now)) < float("inf"):
        now += pause
        found = schedule.take(now)
        if found is None:
            assert schedule.wait(now) > 0, "its namespace rests longer than the object"
            continue
        schedule.wrote(found, now)
        offered.add(found)
    assert offered == dirty
