"""The match path: what is decoded, what is kept, what is refused, and what can never happen."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inferway_contract.paths import AmbiguousPath, match_path

DECODED = [
    (b"/", b"/"),
    (b"/infer", b"/infer"),
    (b"//a///b/", b"//a///b/"),
    (b"/my%20path", b"/my path"),
    (b"/%41%42", b"/AB"),
    (b"/%7Euser", b"/~user"),
    (b"/%C3%A4", b"/\xc3\xa4"),
    (b"/\xc3\xa4", b"/\xc3\xa4"),
    (b"/%ff%FE", b"/\xff\xfe"),
    (b"/a%3Fb%23c", b"/a?b#c"),
    # Decoding these would invent a separator, or end a string somewhere behind us.
    (b"/a%2Fb", b"/a%2Fb"),
    (b"/a%2fb", b"/a%2Fb"),
    (b"/a%5cb", b"/a%5Cb"),
    (b"/a%00b", b"/a%00b"),
    # Decoded once; other text stays.
    (b"/%2541", b"/%41"),
    (b"/%252F", b"/%2F"),
    (b"/%%341", b"/%41"),
    (b"/%zz", b"/%zz"),
    (b"/%4", b"/%4"),
    (b"/100%", b"/100%"),
    # Dots that are not dot segments.
    (b"/...", b"/..."),
    (b"/.hidden", b"/.hidden"),
    (b"/a./b..", b"/a./b.."),
    (b"/%2Ehidden", b"/.hidden"),
    (b"/..%2F", b"/..%2F"),
]
REFUSED = [
    b"/.",
    b"/..",
    b"/a/../b",
    b"/a/./b",
    b"/%2e",
    b"/%2E%2e/a",
    b"/.%2e",
    b"/a\\b",
    b"/..\\a",
    b"/a\x00b",
    b"/a\x1fb",
    b"/a\x7fb",
    b"/a%0Ab",
    b"/a%0d%0aHost:",
    b"/%7F",
]

paths = st.lists(
    st.sampled_from([b"/", b"%", b"2", b"F", b"f", b"5", b"C", b"0", b"4", b"1", b".", b"a", b"\\", b"\xff"])
)
paths_or_bytes = st.one_of(paths.map(b"".join), st.binary()).map(lambda tail: b"/" + tail)


@pytest.mark.parametrize(("raw", "expected"), DECODED)
def test_match_path_decodes_each_segment_once(raw: bytes, expected: bytes) -> None:
    assert match_path(raw) == expected


@pytest.mark.parametrize("raw", REFUSED)
def test_match_path_rejects_an_ambiguous_path(raw: bytes) -> None:
    with pytest.raises(AmbiguousPath):
        match_path(raw)


def attempt(raw: bytes) -> bytes | None:
    try:
        return match_path(raw)
    except AmbiguousPath:
        return None


@given(paths_or_bytes)
def test_match_path_keeps_the_number_of_separators(raw: bytes) -> None:
    found = attempt(raw)
    assert found is None or found.count(b"/") == raw.count(b"/")


@given(paths_or_bytes)
def test_match_path_has_no_dot_segments_or_control_bytes(raw: bytes) -> None:
    found = attempt(raw)
    if found is not None:
        assert not {b".", b".."} & set(found.split(b"/"))
        assert re.search(rb"[\x00-\x1f\x7f\\]", found) is None


@given(paths_or_bytes)
@example(b"/%2541")
@example(b"/%%341")
def test_match_path_is_idempotent_without_new_escapes(raw: bytes) -> None:
    found = attempt(raw)
    if found is not None and re.search(rb"%(?!2F|5C|00)[0-9A-Fa-f]{2}", found) is None:
        assert match_path(found) == found


@given(paths_or_bytes)
def test_match_path_of_a_fully_escaped_path_is_the_same(raw: bytes) -> None:
    found = attempt(raw)
    if found is None or b"%" in raw:
        return
    escaped = b"".join(b"/" if byte == 0x2F else b"%%%02x" % byte for byte in raw)
    assert match_path(escaped) == found


@given(paths_or_bytes)
def test_match_path_ignores_the_case_of_escapes(raw: bytes) -> None:
    folded = re.sub(rb"%[0-9A-Fa-f]{2}", lambda escape: escape[0].lower(), raw)
    assert attempt(folded) == attempt(re.sub(rb"%[0-9A-Fa-f]{2}", lambda escape: escape[0].upper(), raw))


@given(paths_or_bytes)
def test_match_path_treats_segments_independently(raw: bytes) -> None:
    parts = [attempt(b"/" + segment) for segment in raw[1:].split(b"/")]
    whole = attempt(raw)
    assert whole == (None if None in parts else b"".join(part for part in parts if part is not None))
