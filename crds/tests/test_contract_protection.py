"""What a broken pattern or path protects: everything that a corrected form of it may match, and little more."""

import pytest
import re2
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from inferway_contract import patterns, protection
from inferway_contract.document import Match, PathMatch, Precedence, ValueMatch
from inferway_testing.examples import examples

BEGINNINGS = {
    "/admin/(": ("/admin/", True),
    "/secret(?!/public).*": ("/secret", True),
    "(?i)/admin[": ("/admin", False),
    "(?s)(?im)/admin[": ("/admin", False),
    "(?x)/admin[": ("", True),
    "(?i": ("", True),
    "^/a(": ("/a", True),
    "^^/a(": ("", True),
    "/a$(": ("/a", True),
    "/a.b(": ("/a", True),
    "/ab*(": ("/a", True),
    "/ab?(": ("/a", True),
    "/ab+(": ("/a", True),
    "/ab{2000}": ("/a", True),
    "/ab{2000}*": ("/", True),
    "/ab**": ("/a", True),
    r"/a\.b\/c(": ("/a.b/c", True),
    r"/a\.*(": ("/a", True),
    r"/a\d(": ("/a", True),
    r"/a\x62(": ("/a", True),
    "/a\\": ("/a", True),
    r"/a\Qb.c|d\E/e(": ("/ab.c|d/e", True),
    r"/a\Qbc\E*(": ("/ab", True),
    r"/a\Qbc(": ("/a", True),
    "a|b(": ("", True),
    "/a(b)|/c(": ("", True),
    r"/a\|b(": ("/a|b", True),
    "/a(b|c": ("", True),
    "/a(b|c)(d": ("/a", True),
    "/a(b|c))": ("", True),
    "/a[b|c](d": ("/a", True),
    "/a[]|](d": ("/a", True),
    "/a[^]|](d": ("/a", True),
    r"/a[\]|](d": ("/a", True),
    "/a[b|c": ("", True),
    "/a[b": ("/a", True),
    "/ab(*": ("/a", True),
    "/ab(?": ("/a", True),
    "/a)": ("", True),
    "/ä(": ("/ä", True),
    "/\ud800(": ("/", True),
    r"Qa.b\E": ("", True),
    "(?=look)": ("", True),
    "": ("", True),
}


@pytest.mark.parametrize("pattern", BEGINNINGS)
def test_literal_beginning_of_a_broken_pattern(pattern: str) -> None:
    assert protection.literal_beginning(pattern) == BEGINNINGS[pattern]


def matches(path: PathMatch, text: bytes) -> bool:
    return patterns.compiled(path.value).fullmatch(text) is not None


LITERALS = st.sampled_from(["/", "/a", "ab", "/admin", "x", r"\.", r"\/", r"\(", r"\Qa.b\E", "é"])
CLASSES = st.sampled_from([".", "[a-c]", "[^/]", "[a|b]", r"\d", "[]a]", r"[\]|]"])
ATOMS = st.recursive(
    LITERALS | CLASSES,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map("".join)
        | st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({'|'.join(parts)})")
        | inner.map(lambda part: f"(?:{part})")
        | st.tuples(inner.map(lambda part: f"({part})"), st.sampled_from("*?+")).map("".join)
        | st.tuples(LITERALS, st.sampled_from(["*", "?", "+", "{0,2}"])).map("".join)
    ),
    max_leaves=6,
)
PATTERNS = st.tuples(
    st.sampled_from(["", "", "(?i)", "(?s)", "^", "(?i)^"]),
    st.lists(ATOMS, min_size=1, max_size=4).map("|".join) | ATOMS,
).map("".join)
"""Patterns that RE2 and Python's `re` read alike, but for `\\Q`."""


@st.composite
def broken_patterns(draw: st.DrawFn) -> tuple[str, str]:
    """A pattern that RE2 rejects, and its corrected form: one edit apart."""
    whole = draw(PATTERNS)
    at = draw(st.integers(0, len(whole)))
    assume(not whole[:at].endswith("\\"))  # an escaped character is a literal, which is assumed to be right
    edit = draw(st.sampled_from(["insert", "delete", "replace", "cut"]))
    inserted = draw(st.sampled_from(["(", ")", "[", "]", "*", "+", "?", "{", "\\", "(?!", "(?=", "a{2000}", "|"]))
    if edit == "replace":
        # A repetition or an alternative that is not there any more may have been anywhere.
        assume(whole[at : at + 1] not in ("*", "?", "+", "{", "|"))
    rest = {"insert": whole[at:], "delete": whole[at + 1 :], "replace": whole[at + 1 :], "cut": ""}[edit]
    broken = whole[:at] + (inserted if edit in ("insert", "replace") else "") + rest
    return broken, whole


@given(broken_patterns(), st.data())
@settings(max_examples=examples(2000), deadline=None)
def test_broken_pattern_protects_all_texts_of_its_corrected_form(pair: tuple[str, str], data: st.DataObject) -> None:
    broken, whole = pair
    compiled = patterns.compiled(whole)
    try:
        patterns.compiled(broken)
    except re2.error:
        pass
    else:
        assume(False)
    for_python = whole.replace(r"\Qa.b\E", r"a\.b")
    text = data.draw(st.from_regex(for_python, fullmatch=True)).encode()
    assume(compiled.fullmatch(text) is not None)
    assert matches(protection.beginning(broken), text), (broken, text)


@pytest.mark.parametrize(
    ("value", "protected", "others"),
    [
        ("/a/../b", ["/a/b", "/b", "/"], ["x"]),
        ("/a/b/../c", ["/a/c", "/a/b/c", "/a/x"], ["/b"]),
        ("/a/./b", ["/a/b"], ["/b"]),
        ("/a\\b", ["/a/b", "/a-b", "/ab"], ["/b"]),
        ("/a/%2e%2e/b", ["/a/b", "/b"], []),
        ("/q?x=1", ["/q", "/q/x"], ["/p"]),
        ("/%FF", ["/é"], []),
        ("//", ["/", "/x"], []),
        ("no-slash", ["/no-slash", "/"], []),
        ("/" + "a" * 5000, ["/" + "a" * 300], ["/b"]),
    ],
)
def test_ambiguous_path_protects_its_readings(value: str, protected: list[str], others: list[str]) -> None:
    path = protection.beginning_of_path(value)

    assert [text for text in protected if not matches(path, text.encode())] == []
    assert [text for text in others if matches(path, text.encode())] == []


def test_protection_covers_bytes_that_are_not_utf8() -> None:
    assert matches(protection.beginning("/secret("), b"/secret/\xff")


def test_unreadable_conditions_are_left_out_in_their_place() -> None:
    match = Match(
        path=PathMatch(value="/admin"),
        method="GET",
        headers=(ValueMatch(name="a", value="("), ValueMatch(name="b", value="(", type="RegularExpression")),
        query=(ValueMatch(name="q", value="a**", type="RegularExpression"),),
    )

    broader = protection.protected(match)

    assert (broader.path, broader.method, broader.query) == (match.path, "GET", ())
    assert broader.headers == match.headers[:1]
    assert broader.precedence == Precedence(path_type="PathPrefix", path_length=6, has_method=True, headers=2, query=1)


def test_readable_match_is_returned_unchanged() -> None:
    match = Match(path=PathMatch(type="RegularExpression", value="/a.*"), headers=(ValueMatch(name="a", value="("),))

    assert protection.protected(match) is match
