"""A search for the pattern that takes RE2 longest to compile, accepted or refused, and longest for its size."""

from __future__ import annotations

from itertools import count
from time import thread_time

import pytest
from hypothesis import given, settings, target
from hypothesis import strategies as st

from inferway_contract import patterns
from inferway_testing.examples import examples

LONGEST = 0.020
"""Seconds of CPU time for a pattern. The search has found 1.8 ms."""
LONGEST_UNIT = 10e-6
"""Seconds for a unit of size, by which sums are bounded. The search has found 1.6 µs."""
CHARACTERS = 512
"""The most that a pattern may have by the schema."""

ATOMS = st.sampled_from(
    [
        *("a", ".", "é", "路", "^", "$", r"\b", r"\w", r"\W", r"\D", r"\S", r"\C", "(?i)", "(?s)", "(?U)"),
        *(r"\pL", r"\PN", r"\p{Han}", r"\p{Cyrillic}", r"\pC", r"\PC", r"[\pL\PL]"),
        *("[^a]", "[a-z]", "[[:^ascii:]]", "[[:word:]]", "[^路é]", r"[\W\d]", r"[\x{80}-\x{10ffff}]", "[ -\U0010ffff]"),
        *("(?i:k)", r"(?i:\w)", "(?i:[^k])", "(?i:[à-ſ])", r"(?i:[\x{0}-\x{10ffff}])"),
        "[" + "".join(map(chr, range(0x100, 0x280, 3))) + "]",
        "(?i:[" + "".join(map(chr, range(0x100, 0x280, 2))) + "])",
    ]
)
REPETITIONS = st.sampled_from(["*", "+", "?", "*?", *(f"{{{kind}}}" for n in (2, 5, 20, 100, 1000) for kind in (n, f"0,{n}", f"{n},"))])  # fmt: skip
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=6).map("".join),
        st.lists(inner, min_size=2, max_size=6).map(lambda parts: f"({'|'.join(parts)})"),
        st.builds(lambda part, times: f"(?:{part}){times}", inner, REPETITIONS),
        st.builds(lambda part, times: part * times, inner, st.sampled_from([2, 8, 40])),
    ),
    max_leaves=12,
).map(lambda pattern: pattern[:CHARACTERS])
_attempts = count()


def seconds_of(pattern: str) -> float:
    """Return the CPU time of compiling it; the number at its end makes it a new one."""
    text = f"{pattern}{next(_attempts)}"
    began = thread_time()
    patterns.check(text)
    return thread_time() - began


def check_pattern(pattern: str) -> None:
    """Compile it, again if that was slow: a busy machine makes single measurements longer, never shorter."""
    size = patterns.size(pattern)
    allowed = min(LONGEST, size * LONGEST_UNIT)
    fastest = seconds_of(pattern)
    target(fastest, label="seconds of a pattern")
    target(fastest / size, label="seconds of a unit")
    for _ in range(4):
        if fastest <= allowed:
            return
        fastest = min(fastest, seconds_of(pattern))
    assert fastest <= allowed


@settings(max_examples=examples(60))
@given(PATTERNS)
def test_search_finds_no_pattern_that_takes_long(pattern: str) -> None:
    check_pattern(pattern)


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(max_examples=2_000)
@given(PATTERNS)
def test_long_search_finds_no_pattern_that_takes_long(pattern: str) -> None:
    check_pattern(pattern)
