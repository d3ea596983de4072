"""What a broken pattern or path protects: everything that a corrected form of it may match, and little more."""

from itertools import islice, product
from typing import NamedTuple

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
    r"/a\\(": ("/a", True),
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
    "/a[b|c](d": ("", True),
    "/a[]|](d": ("", True),
    "/a[^]|](d": ("", True),
    r"/a[\]|](d": ("", True),
    r"/[|\Qa.b\E|[a-c]": ("", True),
    r"/a[]b](d": ("/a", True),
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


class Part(NamedTuple):
    """A pattern, and some texts that it matches."""

    pattern: str
    texts: tuple[str, ...]


def joined(parts: list[Part]) -> Part:
    texts = ("".join(chosen) for chosen in product(*(part.texts for part in parts)))
    return Part("".join(part.pattern for part in parts), tuple(islice(texts, 12)))


def either(parts: list[Part], group: str = "({})") -> Part:
    texts = tuple(text for part in parts for text in part.texts)
    return Part(group.format("|".join(part.pattern for part in parts)), texts[:12])


def repeated(part: Part, mark: str) -> Part:
    texts = {"*": ("", 1, 2), "?": ("", 1), "+": (1, 2), "{0,2}": ("", 2)}[mark]
    return Part(part.pattern + mark, tuple(text * count if count else "" for count in texts for text in part.texts))


SINGLE = st.sampled_from([Part("/", ("/",)), Part("x", ("x",)), Part(r"\.", (".",)), Part("é", ("é",))])
LITERALS = SINGLE | st.sampled_from(
    [Part("/admin", ("/admin",)), Part(r"\(", ("(",)), Part(r"\Qa.b\E", ("a.b",)), Part(r"\Qa|(\E", ("a|(",))]
)
CLASSES = st.sampled_from(
    [
        Part(".", ("a", "/")),
        Part("[a-c]", ("a", "c")),
        Part("[^/]", ("a",)),
        Part("[a|b]", ("|",)),
        Part(r"\d", ("1",)),
        Part("[]a]", ("]", "a")),
        Part(r"[\]|]", ("]", "|")),
    ]
)
ATOMS = st.recursive(
    LITERALS | CLASSES,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(joined)
        | st.lists(inner, min_size=1, max_size=3).map(either)
        | st.lists(inner, min_size=1, max_size=3).map(lambda parts: either(parts, "(?:{})"))
        | st.builds(lambda part, mark: repeated(either([part]), mark), inner, st.sampled_from("*?+"))
        | st.builds(repeated, SINGLE, st.sampled_from(["*", "?", "+", "{0,2}"]))
    ),
    max_leaves=6,
)
PATTERNS = st.builds(
    lambda flags, part: Part(flags + part.pattern, part.texts),
    st.sampled_from(["", "", "(?i)", "(?s)", "^", "(?i)^"]),
    ATOMS,
) | st.lists(ATOMS, min_size=2, max_size=3).map(lambda parts: either(parts, "{}"))


@st.composite
def broken_patterns(draw: st.DrawFn) -> tuple[str, Part]:
    """A pattern that RE2 may reject, and its corrected form: one edit apart."""
    whole = draw(PATTERNS)
    pattern = whole.pattern
    at = draw(st.integers(0, len(pattern)))
    assume(not pattern[:at].endswith("\\"))  # an escaped character is a literal, which is assumed to be right
    edit = draw(st.sampled_from(["insert", "delete", "replace", "cut"]))
    end = {"insert": at, "delete": at + 1, "replace": at + 1, "cut": len(pattern)}[edit]
    # A repetition or an alternative that is not there any more may have been anywhere.
    assume("|" not in pattern[at:end] and pattern[at:end][:1] not in ("*", "?", "+", "{"))
    inserted = draw(st.sampled_from(["(", ")", "[", "]", "*", "+", "?", "{", "\\", "(?!", "(?=", "a{2000}", "|"]))
    # A literal in front of a repetition would take the place of the one that it repeats.
    assume(inserted != "a{2000}" or pattern[end : end + 1] not in ("*", "?", "+", "{"))
    return pattern[:at] + (inserted if edit in ("insert", "replace") else "") + pattern[end:], whole


@given(broken_patterns())
@settings(max_examples=examples(500))
def test_broken_pattern_protects_all_texts_of_its_corrected_form(pair: tuple[str, Part]) -> None:
    check_protection(*pair)


@pytest.mark.slow
@pytest.mark.timeout(600)
@given(broken_patterns())
@settings(max_examples=5_000)
def test_many_broken_patterns_protect_their_corrected_forms(pair: tuple[str, Part]) -> None:
    check_protection(*pair)


def check_protection(broken: str, whole: Part) -> None:
    try:
        patterns.compiled(broken)
    except re2.error:
        pass
    else:
        assume(False)
    corrected, protected = patterns.compiled(whole.pattern), patterns.compiled(protection.beginning(broken).value)
    for text in whole.texts:
        assert corrected.fullmatch(text.encode()) is not None, "the test's own texts"
        assert protected.fullmatch(text.encode()) is not None


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
