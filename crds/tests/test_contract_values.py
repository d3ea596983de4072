"""Durations, sizes and the forms of names: what is one, what is none, and what it amounts to."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_contract import values

DURATIONS = [
    ("0s", 0),
    ("0h0m0s0ms", 0),
    ("1ms", 1),
    ("500ms", 500),
    ("10s", 10_000),
    ("1m", 60_000),
    ("1h30m", 5_400_000),
    ("1m1ms", 60_001),
    ("30s2h", 7_230_000),
    ("1s1s", 2_000),
    ("99999h", 99_999 * 3_600_000),
    ("1h2m3s4ms", 3_723_004),
]
NO_DURATIONS = [
    "",
    "1",
    "s",
    "1 s",
    " 1s",
    "1s ",
    "1s\n",
    "-1s",
    "+1s",
    "1.5s",
    "1d",
    "1us",
    "1S",
    "100000s",
    "1h1m1s1ms1h",
    "١s",
]


@pytest.mark.parametrize(("written", "amount"), DURATIONS)
def test_duration_parses_to_milliseconds(written: str, amount: int) -> None:
    assert values.milliseconds(written) == amount


@pytest.mark.parametrize("written", NO_DURATIONS)
def test_invalid_duration_is_rejected(written: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        values.milliseconds(written)


SIZES = [
    (0, 0),
    (1048576, 1048576),
    ("0", 0),
    ("64Ki", 65_536),
    ("10Mi", 10_485_760),
    ("1Gi", 1_073_741_824),
    ("1k", 1_000),
    ("2M", 2_000_000),
    ("3G", 3_000_000_000),
    ("007", 7),
    ("999999999999", 999_999_999_999),
]
NO_SIZES = [
    "",
    "10MB",
    "10mb",
    "1.5Mi",
    "-1",
    "+1",
    "1e3",
    "10 Mi",
    "Mi",
    "1K",
    "1Ti",
    "1m",
    "1000000000000",
    "1\n",
    -1,
]


@pytest.mark.parametrize(("written", "amount"), SIZES)
def test_size_parses_to_bytes(written: int | str, amount: int) -> None:
    assert values.size(written) == amount


@pytest.mark.parametrize("written", NO_SIZES)
def test_invalid_size_is_rejected(written: int | str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        values.size(written)


@given(st.from_regex(values.DURATION_PATTERN, fullmatch=True))
def test_text_matching_the_duration_pattern_parses(written: str) -> None:
    # hypothesis lets `$` stand before a line break; the patterns are RE2's, where it never does.
    written = written.removesuffix("\n")
    assert values.milliseconds(written) >= 0
    assert len(written) <= 32, "the CRD's maxLength would refuse it"


@given(st.from_regex(values.QUANTITY_PATTERN, fullmatch=True))
def test_text_matching_the_size_pattern_parses(written: str) -> None:
    written = written.removesuffix("\n")
    assert values.size(written) >= 0
    assert len(written) <= 14, "the CRD's maxLength would refuse it"


FORMS = [
    (values.TOKEN_PATTERN, ["x-a", "X_A", "a.b", "*", "!#$%&'*+-.^_`|~"], ["", "a b", "a:", "ä", "a\x00", '"a"']),
    (
        values.FIELD_VALUE_PATTERN,
        ["", "a", "a b", "a\tb", "ä", '"', "\x80"],
        [" a", "a ", "\ta", "a\nb", "a\x00", "\x7f"],
    ),
    (
        values.HOSTNAME_PATTERN,
        ["a", "a.b", "*.a", "*.a-b.c", "1.2"],
        ["", "*", "*a.b", "a.*", "A", "a_b", "a.", ".a", "a:1"],
    ),
    (values.SUBDOMAIN_PATTERN, ["a", "a.b", "0", "a-b.c-d"], ["", "*.a", "-a", "a-", "a..b", "A", "a/b"]),
    (values.LABEL_PATTERN, ["a", "0", "a-b"], ["", "a.b", "-a", "a-", "A"]),
    (
        values.REPLACEMENT_PATH_PATTERN,
        ["", "/", "/a/b", "/%C3%A4", '/"', "/a;b=1"],
        ["a", "/a b", "/a?b", "/a#b", "/a\\b", "/ä"],
    ),
    (
        values.URL_PATTERN,
        ["http://a", "https://a.b:443/c", "http://127.0.0.1:1", "http://[::1]:65535/", "https://A-b.c"],
        [
            "a",
            "ftp://a",
            "http://",
            "http://a:0",
            "http://a:65536",
            "http://a?b",
            "http://u@a",
            "http://-a",
            "http://a/ä",
        ],
    ),
    (
        values.ORIGIN_PATTERN,
        [
            "*",
            "null",
            "http://a",
            "https://*.a.b",
            "https://*",
            "http://*:8080",
            "http://[::1]:80",
            "http://localhost:3000",
        ],
        [
            "",
            "a",
            "https://a/",
            "https://a.*",
            "https://*a",
            "ftp://a",
            "https://a:*",
            "https://a:99999",
            "https://a,b",
        ],
    ),
]


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [(pattern, text, True) for pattern, good, _ in FORMS for text in good]
    + [(pattern, text, False) for pattern, _, bad in FORMS for text in bad],
)
def test_pattern_accepts_or_rejects_the_listed_text(pattern: str, text: str, fits: bool) -> None:
    assert (re.search(pattern, text) is not None) == fits
