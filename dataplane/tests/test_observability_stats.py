"""Stats: histograms agree with a plain count, counters outlive their rules."""

from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_contract.document import Timeouts
from inferway_dataplane.observability.stats import BOUNDS, Histogram, Stats, count_in

durations = st.one_of(st.sampled_from(BOUNDS), st.floats(0, 100), st.sampled_from([0.0, 60.0000001, 1e9]))


@given(st.lists(st.lists(durations, max_size=30), max_size=4))
def test_histogram_agrees_with_a_naive_count(batches: list[list[float]]) -> None:
    histogram = Histogram()
    for batch in batches:
        for value in batch:
            histogram.observe(value)
        histogram.settle()
        histogram.settle()  # a second time changes nothing
    values = [value for batch in batches for value in batch]
    naive = [0] * (len(BOUNDS) + 1)
    for value in values:
        naive[next((index for index, bound in enumerate(BOUNDS) if value <= bound), len(BOUNDS))] += 1
    assert histogram.counts == naive
    assert histogram.total == pytest.approx(fsum(values))


def test_buckets_reach_from_the_own_share_to_long_answers() -> None:
    assert (BOUNDS[0], BOUNDS[-1]) == (0.0005, 900.0)
    assert sorted(BOUNDS) == list(BOUNDS)
    default = Timeouts()
    assert (
        max(default.request, default.stream_idle) / 1000 in BOUNDS
    )  # a request at its limit differs from a longer one


def test_stats_of_one_rule_are_one_object() -> None:
    stats = Stats()
    assert stats.of("demo/a", "r") is stats.of("demo/a", "r")
    assert stats.of("demo/a", "r") is not stats.of("demo/a", "s")


def test_requests_are_counted_by_method_and_status() -> None:
    rule = Stats().of("demo/a", "r")
    for method, status in ((b"GET", 200), (b"GET", 200), (b"GET", 599), (b"POST", 200)):
        rule.by_method[method][status] += 1
    assert (rule.by_method[b"GET"][200], rule.by_method[b"GET"][599], rule.by_method[b"POST"][200]) == (2, 1, 1)


def test_settle_reaches_every_histogram() -> None:
    stats = Stats()
    rule = stats.of("demo/a", "r")
    for histogram in (stats.overhead, rule.duration, rule.upstream):
        histogram.observe(0.02)
    stats.settle()
    for histogram in (stats.overhead, rule.duration, rule.upstream):
        assert sum(histogram.counts) == 1


def test_labels_are_counted() -> None:
    counts: dict[str, int] = {}
    for label in ("a", "b", "a"):
        count_in(counts, label)
    assert counts == {"a": 2, "b": 1}


def test_stats_of_removed_rules_are_dropped() -> None:
    stats = Stats()
    kept, gone = stats.of("demo/a", "kept"), stats.of("demo/a", "gone")
    stats.keep_only([kept])
    assert stats.of("demo/a", "kept") is kept
    assert stats.of("demo/a", "gone") is not gone
    assert stats.rules[("", "")] is stats.unrouted
