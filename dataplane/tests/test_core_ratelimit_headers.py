"""RateLimit header fields: structured fields with the values of vectors.md, or the legacy ones."""

from typing import cast

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_core_token_bucket import level_of

from inferway_dataplane.core.limits import decision
from inferway_dataplane.core.limits.ratelimit_headers import RateLimitHeaders, Style, window
from inferway_dataplane.core.limits.token_bucket import SHARED_KEY, Bucket, check
from inferway_dataplane.core.messages.request_head import RequestHead

Told = dict[str, dict[str, int]]


def bucket(requests: int, per: float, burst: int, name: str = "global", policy: str = "demo/p") -> Bucket:
    return Bucket(policy, name, requests, per, burst, 1000)


def fields(lines: bytes) -> dict[bytes, bytes]:
    assert lines.endswith(b"\r\n")
    return dict(line.split(b": ", 1) for line in lines[:-2].split(b"\r\n"))


def parse_items(value: bytes) -> Told:
    return {str(item): dict(parameters) for item, parameters in http_sf.parse(value, tltype="list")}


def ratelimit_fields(
    *buckets: Bucket, now: float, taken: int, style: Style = "Standard", retry_after: int = 0
) -> dict[bytes, bytes]:
    """Take `taken` requests at 0, then one more at `now`."""
    telling = RateLimitHeaders([(one, style) for one in buckets])
    for _ in range(taken):
        check([(one, None, 1) for one in buckets], 0.0)
    refusing, tats = check([(one, None, 1) for one in buckets], now)
    return fields(telling.lines(tats, now, refusing, retry_after))


def test_standard_fields_match_the_reference_line() -> None:
    lines = ratelimit_fields(bucket(150, 1.0, 300), now=0.0, taken=249)
    assert lines == {b"ratelimit-policy": b'"global";q=300;w=2', b"ratelimit": b'"global";r=50;t=0'}


STANDINGS = {  # (requests, per, burst), taken at 0, asked at, Retry-After -> q, w, r, t
    "first of five": ((1, 1.0, 5), 0, 0.0, 0, (5, 5, 4, 0)),
    "last of five": ((1, 1.0, 5), 4, 0.0, 0, (5, 5, 0, 1)),
    "refused": ((1, 1.0, 5), 5, 0.0, 1, (5, 5, 0, 1)),
    "the last unit of a slow limit": ((1, 60.0, 1), 0, 0.0, 0, (1, 60, 0, 60)),
    "refused by a slow limit": ((1, 60.0, 1), 1, 18.5, 42, (1, 60, 0, 42)),
    "half a unit left": ((1, 1.0, 2), 2, 1.5, 0, (2, 2, 0, 1)),
    "a fast limit": ((150, 1.0, 300), 299, 0.0, 0, (300, 2, 0, 1)),
    "a window is at least a second": ((1000, 1.0, 10), 0, 0.0, 0, (10, 1, 9, 0)),
    "a window is rounded up": ((2, 1.0, 5), 0, 0.0, 0, (5, 3, 4, 0)),
    "deny all": ((0, 1.0, 5), 0, 0.0, 0, (5, 5, 0, 0)),
    "refused just before a unit is there": ((1, 1.0, 1), 1, 0.9995, 1, (1, 1, 0, 1)),
}


@pytest.mark.parametrize(("limit", "taken", "now", "retry", "expected"), STANDINGS.values(), ids=STANDINGS)
def test_r8_standard_fields_show_the_level_of_the_bucket(
    limit: tuple[int, float, int], taken: int, now: float, retry: int, expected: tuple[int, int, int, int]
) -> None:
    lines = ratelimit_fields(bucket(*limit), now=now, taken=taken, retry_after=retry)
    policy, counters = parse_items(lines[b"ratelimit-policy"])["global"], parse_items(lines[b"ratelimit"])["global"]
    assert (policy["q"], policy["w"], counters["r"], counters["t"]) == expected


@pytest.mark.parametrize(("limit", "taken", "now", "retry", "expected"), STANDINGS.values(), ids=STANDINGS)
def test_legacy_fields_carry_the_same_values(
    limit: tuple[int, float, int], taken: int, now: float, retry: int, expected: tuple[int, int, int, int]
) -> None:
    lines = ratelimit_fields(bucket(*limit), now=now, taken=taken, retry_after=retry, style="Legacy")
    assert lines == {
        b"x-ratelimit-limit": b"%d" % expected[0],
        b"x-ratelimit-remaining": b"%d" % expected[2],
        b"x-ratelimit-reset": b"%d" % expected[3],
    }


def test_items_are_in_document_order() -> None:
    lines = ratelimit_fields(bucket(1, 1.0, 5, "per-ip"), bucket(1, 60.0, 2, "global"), now=0.0, taken=1)
    assert lines[b"ratelimit-policy"] == b'"per-ip";q=5;w=5, "global";q=2;w=120'
    assert lines[b"ratelimit"] == b'"per-ip";r=3;t=0, "global";r=0;t=60'


def test_limits_of_equal_names_are_qualified_by_policy() -> None:
    lines = ratelimit_fields(
        bucket(1, 1.0, 5, "global", "demo/a"),
        bucket(1, 1.0, 6, "other", "demo/a"),
        bucket(1, 1.0, 7, "global", "demo/b"),
        now=0.0,
        taken=0,
    )
    assert list(parse_items(lines[b"ratelimit"])) == ["demo/a/global", "other", "demo/b/global"]
    assert list(parse_items(lines[b"ratelimit-policy"])) == ["demo/a/global", "other", "demo/b/global"]


@pytest.mark.parametrize(
    ("levels", "violated"),
    [((0, 1), ["demo/a/same"]), ((1, 0), ["demo/b/same"]), ((0, 0), ["demo/a/same", "demo/b/same"])],
)
@pytest.mark.parametrize("style", ["Standard", "Off"])
def test_violated_policies_are_all_limits_that_refuse(
    levels: tuple[int, int], violated: list[str], style: Style
) -> None:
    buckets = [bucket(1, 10.0, 1, "same", "demo/a"), bucket(1, 60.0, 1, "same", "demo/b")]
    for each, level in zip(buckets, levels, strict=True):
        each.tats[SHARED_KEY] = 100.0 + (1 - level) * each.interval
    headers = RateLimitHeaders([(each, style) for each in buckets])
    unread = cast(RequestHead, None)  # limits without a key do not look at the request
    refusal = decision.decide([(each, None) for each in buckets], headers, unread, "192.0.2.1", 100.0)
    assert isinstance(refusal, decision.LimitRefusal)
    assert list(refusal.violated) == violated
    assert refusal.bucket is buckets[0 if violated == ["demo/a/same"] else 1]  # the longest wait
    named = refusal.lines.partition(b"ratelimit: ")[0]
    assert all(f'"{name}"'.encode() in named for name in violated) is (style == "Standard")


def test_only_the_rejecting_limit_shows_the_retry() -> None:
    one, other = bucket(1, 1.0, 3, "one"), bucket(1, 60.0, 2, "other")
    lines = ratelimit_fields(one, other, now=0.0, taken=2, retry_after=60)
    assert parse_items(lines[b"ratelimit"]) == {"one": {"r": 1, "t": 0}, "other": {"r": 0, "t": 60}}


def test_each_policy_has_fields_of_its_own_style() -> None:
    one, other, third = bucket(1, 1.0, 5, "one"), bucket(1, 60.0, 9, "other"), bucket(1, 1.0, 7, "third")
    telling = RateLimitHeaders([(one, "Standard"), (other, "Legacy"), (third, "Off")])
    _, tats = check([(one, None, 1), (other, None, 1), (third, None, 1)], 0.0)
    lines = fields(telling.lines(tats, 0.0))
    assert lines == {
        b"ratelimit-policy": b'"one";q=5;w=5',
        b"ratelimit": b'"one";r=4;t=0',
        b"x-ratelimit-limit": b"9",
        b"x-ratelimit-remaining": b"8",
        b"x-ratelimit-reset": b"0",
    }


def test_legacy_fields_show_the_limit_nearest_to_its_end() -> None:
    wide, narrow = bucket(1, 1.0, 100, "wide"), bucket(1, 1.0, 4, "narrow")
    lines = ratelimit_fields(wide, narrow, now=0.0, taken=1, style="Legacy")
    assert (lines[b"x-ratelimit-limit"], lines[b"x-ratelimit-remaining"]) == (b"4", b"2")


def test_percent_sign_in_a_limit_name_is_unchanged() -> None:
    assert list(parse_items(ratelimit_fields(bucket(1, 1.0, 5, "50%d"), now=0.0, taken=0)[b"ratelimit"])) == ["50%d"]


@pytest.mark.parametrize(
    ("requests", "per", "burst", "seconds"),
    [(150, 1.0, 300, 2), (20, 1.0, 40, 2), (1000, 60.0, 50, 3), (1, 1.0, 1, 1), (10**6, 1.0, 1, 1), (7, 1.0, 21, 3)],
)
def test_window_is_the_time_to_fill_an_empty_bucket(requests: int, per: float, burst: int, seconds: int) -> None:
    assert window(bucket(requests, per, burst)) == seconds


@given(
    st.integers(1, 5000), st.sampled_from([1.0, 60.0, 3600.0]), st.integers(1, 500), st.integers(0, 20),
    st.floats(0, 10), st.floats(0, 1e6),
)  # fmt: skip
def test_standard_fields_parse_and_agree_with_the_bucket(
    requests: int, per: float, burst: int, taken: int, wait: float, start: float
) -> None:
    limit = bucket(requests, per, burst)
    telling = RateLimitHeaders([(limit, "Standard")])
    for _ in range(taken):
        check([(limit, None, 1)], start)
    refusing, tats = check([(limit, None, 1)], start + wait)
    level = level_of(limit, tats[0], start + wait, 1, limited=refusing is not None)
    lines = fields(telling.lines(tats, start + wait, refusing, max(1, round(level.retry))))
    policy, counters = parse_items(lines[b"ratelimit-policy"])["global"], parse_items(lines[b"ratelimit"])["global"]
    assert policy["q"] == burst
    assert policy["w"] >= 1
    if refusing is None:
        assert counters["r"] == level.remaining
        assert (counters["t"] == 0) is (counters["r"] > 0)
    else:
        assert (counters["r"], counters["t"]) == (0, max(1, round(level.retry)))
