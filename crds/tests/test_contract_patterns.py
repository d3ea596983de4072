"""What a pattern may cost, and that patterns as people write them are accepted."""

from time import thread_time

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from inferway_contract import patterns
from inferway_contract.document import Match, PathMatch, ValueMatch
from inferway_contract.pattern_bounds import Excess, PatternBounds, excesses, patterns_of, sum_of

USUAL = [
    "[a-z0-9-]{1,63}",
    r"\pL+",
    r"[\pL\pN_.-]+",
    r"[\pL\pN]+(-[\pL\pN]+)*",
    ".*",
    ".{1,255}",
    r"\w{1,255}",
    r"[^/]{1,128}",
    "/v1/[^/]+/.*",
    "(?i)/api/(users|orders|items)/\\d+",
    "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    r"[\w.-]+@[\w.-]+\.\w{2,63}",
    r"^(?:(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)\.){3}(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)$",
    r"Bearer [A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,500}\.[A-Za-z0-9_-]{20,100}",
    r"\p{Han}{1,30}",
    r"[\p{Greek}\p{Cyrillic}]+",
    "|".join(f"/path/item{number}" for number in range(300)),
    "x" * 4000,
]
COSTLY = [
    r"\pL{55}|7",
    r"\pL{20}",
    r"(\pL{5}){5}",
    r"\pL{1000}" * 8,
    r"\pL" * 2000,
    r"\pL|" * 1000,
    r"(?i)\PL|" * 500,
    r"(?i)\PL|" * 8,
    r"[\pL\PL]" * 4,
    r"[\pL\PL]" * 500,
    "a{1000}" * 580,
    "a{1000}" * 5,
    "a{0,1000}" * 5,
    "a{1000,}" * 5,
    "(?:a?){1000}" * 300,
    "((a{10}){10}){10}" * 5,
    "(?i)" + "[ -\U0010ffff]" * 400,
]
LONGEST = 0.020
"""Seconds of CPU time. About 1 ms is expected; with a limit of 1 MiB the first pattern takes 30 ms and those of many classes 75."""


@pytest.mark.parametrize("pattern", USUAL)
def test_pattern_that_people_write_is_accepted(pattern: str) -> None:
    assert patterns.error_of(pattern) is None
    assert patterns.OBJECT_SIZE < patterns.size(pattern) < 10_000


@pytest.mark.parametrize("pattern", COSTLY, ids=lambda pattern: pattern[:20])
def test_costly_pattern_takes_little_time_refused_or_not(pattern: str) -> None:
    fastest = min(_seconds(pattern + " " * attempt) for attempt in range(3))
    assert fastest < LONGEST


def _seconds(pattern: str) -> float:
    started = thread_time()
    patterns.check(pattern)
    return thread_time() - started


def test_size_grows_with_program_text_and_classes() -> None:
    assert patterns.size("[a-z0-9-]{1,60}") > patterns.size("[a-z0-9-]{1,6}")
    assert patterns.size(r"[\pL\PL]|[\pL\PL]") > patterns.size(r"[\pL\PL]") + 2 * patterns.UNICODE_CLASS_SIZE
    assert patterns.size("x" * 3000) > 6000
    assert patterns.size("(") == patterns.size(r"\pL{100}") == patterns.REFUSED_SIZE


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"\pL" * 9, "it has 9 Unicode classes, of which there may be 8"),
        ("a{1000}" * 6, "the sum of its repetitions is 6000, and may be 5000"),
        (r"\pL{55}", "pattern too large"),
        ("/(", "missing )"),
        ("/\ud800", "not valid UTF-8"),
    ],
)
def test_refused_pattern_has_a_reason_of_its_own(pattern: str, reason: str) -> None:
    assert reason in (patterns.error_of(pattern) or "")
    assert not patterns.is_readable(pattern)
    with pytest.raises(re2.error):
        patterns.compiled(pattern)


def test_pattern_is_attempted_once_by_all_its_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[bytes] = []
    compiler = re2.compile

    def counting(pattern: bytes, options: re2.Options) -> object:
        attempts.append(pattern)
        return compiler(pattern, options)

    monkeypatch.setattr(re2, "compile", counting)
    for refused in (r"\pL{91}", "/(91"):
        for ask in (patterns.check, patterns.size, patterns.error_of, patterns.is_readable):
            ask(refused)
        with pytest.raises(re2.error):
            patterns.compiled(refused)
    assert attempts == [rb"\pL{91}", b"/(91"]


def test_memo_of_patterns_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "_memo", {})
    monkeypatch.setattr(patterns, "_MEMO_BOUND", 10)
    for number in range(30):
        patterns.check(f"/bounded{number}")
    assert len(patterns._memo) == 10


def test_patterns_of_a_match_are_path_headers_and_query() -> None:
    conditions = [ValueMatch(name=name, value=f"{name}.*", type="RegularExpression") for name in "hq"]
    plain = ValueMatch(name="p", value="p.*")
    match = Match(
        path=PathMatch(type="RegularExpression", value="/a"),
        headers=(conditions[0], plain),
        query=(plain, conditions[1]),
    )
    assert list(patterns_of([match, Match()])) == ["/a", "h.*", "q.*"]


def test_sum_counts_a_pattern_once_and_stops_at_the_limit() -> None:
    asked: list[str] = []

    def size(pattern: str) -> int:
        asked.append(pattern)
        return 10

    assert sum_of(["a", "b", "a"], 100, size) == 20
    assert sum_of((str(number) for number in range(1000)), 35, size) == 40
    assert len(asked) == 6


BOUNDS = PatternBounds(route=10, namespace=15, document=20)


@pytest.mark.parametrize(
    ("routes", "excess"),
    [
        ([("a", 10)], None),
        ([("a", 11)], Excess("route", 11, 10)),
        ([("a", 10), ("a", 6)], Excess("namespace", 16, 15)),
        ([("a", 10), ("c", 1), ("b", 10)], Excess("document", 10, 9)),
        ([("a", 10), ("b", 10), ("c", 1)], None),
        ([("a", None)], Excess("namespace", 16, 15)),
        ([("a", 15), ("a", 0)], None),
        ([("a", 10), ("a", 11), ("a", 6), ("a", 5)], None),
    ],
)
def test_route_is_admitted_within_the_bounds(routes: list[tuple[str, int | None]], excess: Excess | None) -> None:
    assert excesses(routes, BOUNDS)[-1] == excess
    if excess is not None:
        assert f"take {excess.size} instructions of RE2, and may take {excess.limit}" in str(excess)


SIZES = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12)))


@given(SIZES)
def test_admitted_sums_never_exceed_a_bound(routes: list[tuple[str, int]]) -> None:
    found = excesses(routes, BOUNDS)
    admitted = [(namespace, size) for (namespace, size), excess in zip(routes, found, strict=True) if excess is None]
    assert sum(size for _, size in admitted) <= BOUNDS.document
    for one in "abc":
        assert sum(size for namespace, size in admitted if namespace == one) <= BOUNDS.namespace
    assert all(size <= BOUNDS.route for _, size in admitted)


@given(SIZES, SIZES)
def test_namespace_within_its_share_loses_nothing(
    routes: list[tuple[str, int]], further: list[tuple[str, int]]
) -> None:
    """Whatever the others write, and however old it is."""
    own = [(namespace, size) for namespace, size in routes if namespace == "a"]
    alone = excesses(own, BOUNDS)
    used = sum(size for (_, size), excess in zip(own, alone, strict=True) if excess is None)
    others = [(namespace, size) for namespace, size in further if namespace != "a"]
    together = excesses([*others, *own], BOUNDS)[len(others) :]
    if used <= BOUNDS.document // 3:
        assert together == alone
