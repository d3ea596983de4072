"""Every sentence of the user pages is held by a test: promises.yaml names it, and both exist."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from inferway_reference.pages import statements

ROOT = Path(__file__).parents[3]
PROMISES: dict[str, dict[str, str]] = yaml.safe_load(
    Path(__file__).with_name("promises.yaml").read_text(encoding="utf-8")
)
TESTS = {
    name
    for folder in (
        "crds",
        "kube",
        "operator",
        "dataplane",
        "cli",
        "e2e",
        "tools",
        "manifests",
        "bench",
        "services",
        "tests",
    )
    for path in (ROOT / folder).rglob("test_*.py")
    for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
}
CORPUS = {path.stem for path in (ROOT / "dataplane/tests/corpus/requests").glob("*.yaml")}


def sentences(page: str) -> list[str]:
    """Return the sentences of a page; of the README those before the design targets, of tables the rows with a meaning."""
    text = (ROOT / page).read_text(encoding="utf-8").partition("\n## Targets\n")[0]
    return [sentence for sentence in statements(text) if not sentence.endswith(" | ")]


@pytest.mark.parametrize("page", PROMISES)
def test_every_sentence_has_an_entry(page: str) -> None:
    keys = tuple(PROMISES[page])
    missing = [sentence for sentence in sentences(page) if not sentence.startswith(keys)]
    assert missing == [], (
        f"name the tests that hold these sentences in promises.yaml, or remove the sentences from {page}"
    )


@pytest.mark.parametrize("page", PROMISES)
def test_every_entry_has_a_sentence(page: str) -> None:
    written = sentences(page)
    stale = [key for key in PROMISES[page] if not any(sentence.startswith(key) for sentence in written)]
    assert stale == []


@pytest.mark.parametrize("page", PROMISES)
def test_every_entry_names_existing_tests(page: str) -> None:
    unknown = []
    for key, value in PROMISES[page].items():
        words = value.split()
        assert words, key
        files = {name for word, name in pairwise(words) if word == "corpus"}
        tests = [word for word in words if word != "corpus" and word not in files]
        assert files <= CORPUS, key
        unknown += [(key, test) for test in tests if test != "-" and test not in TESTS]
    assert unknown == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# Head\n\nOne. Two `a` three!\nFour", ["One.", "Two `a` three!", "Four"]),
        ("- one\n  two;\n- **Three.** Four", ["one two;", "**Three.", "Four"]),
        ("1. First. Second", ["First.", "Second"]),
        ("| a | b |\n|---|---|\n| c | d\\|e |\n", ["a | b", "c | d\\|e"]),
        ("Before:\n\n```\ncode. Code\n```\n\nAfter", ["Before:", "After"]),
    ],
)
def test_statements_of_a_page(text: str, found: list[str]) -> None:
    assert list(statements(text)) == found
