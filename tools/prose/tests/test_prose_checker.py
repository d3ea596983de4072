"""The checker of the project's English: which sentences and names are hits, and on which line."""

import subprocess
from pathlib import Path

import pytest

from inferway_prose.__main__ import check_prose, check_python, main

BAD = {
    "tell": ["The condition tells the author.", "Pods are told of it.", "12 times before, untold"],
    "say": ["It says why.", "As said above, it stops."],
    "speak of": ["The document speaks of pods."],
    "nobody": ["Nobody reads it.", "It is kept for somebody else."],
    "who": [
        "Who reads it waits.",
        "The lock is free: whoever asks has it.",
        "who has it keeps it",
        "It is closed; who was late is refused.",
        "A seat is kept for who comes next.",
    ],
    "mend": ["Mend the route."],
    "anew": ["The watch begins anew."],
    "beside": ["Beside the operator there is one plane."],
    "is no": ["The answer is no\n    list.", "These were no requests.", "What is no `Lease` is skipped."],
    "for = because": [
        "It is listed again, for it may have changed.",
        "Nothing is published, for kopf has not listed it.",
        "It is kept, for of those none was sent.",
        "It must work without a descriptor, for then it is needed.",
    ],
    "for ever": ["It waits for ever."],
    "so many": ["After so many failures it is ejected.", "the so-manieth address"],
    "go on": ["Traffic goes on.", "Without it there is no going on."],
    "not foreseen": ["It failed in a way that is not foreseen."],
    "mistake of ours": ["This is a mistake of ours."],
    "hence": ["Hence the limit."],
    "lest": ["It waits lest a pod be lost."],
    "till": ["It waits till the end."],
    "in stead": ["It answers in its stead."],
    "as yet": ["It has none as yet."],
    "come to rest": ["It waits until files have come to rest."],
}
GOOD = [
    "Retry after the pod is no longer ready; there is no other way. Where there\n    is no pod, it waits.",
    "It is no more than a number, no fewer than two, and no larger than the first.",
    "The author, who wrote the route, reads the condition. Who may import whom?",
    "Install it, for example, with pip. The key, for this request, is the path.",
    "A value for the header that was sent is used, for a list of names.",
    "The mode is switched on. It goes on the wire. Gone are the days.",
    "Almost all amendments, tellers and sayings, recommendations; hotel, beneath, forever, until, besides.",
    "Use `mend` or ``who says`` here, or [this](https://example.com/who-says?told=nobody).",
    "Before.\n\n```\nnobody tells `x`\n```\n\n  ~~~yaml\n  told: who\n  ~~~\nAfter.",
]
SOURCE = '''"""The module says nothing."""

LIMIT = 1  # a limit that
# goes
# on
"""What the limit
tells."""


def check(told: int, *, found: str = "found") -> None:
    """Check."""
    made = own = f"{told} so {found}many things are told"
    raise ValueError("nothing", f"the answer is {'no'} list" "and there is nobody", made, own)
'''


def hits(text: str, path: str) -> list[tuple[int, str]]:
    """Line and rule of each hit in Python source."""
    return sorted((hit.line, hit.rule) for hit in check_python(text, path))


@pytest.mark.parametrize(("rule", "sentence"), [(rule, text) for rule, texts in BAD.items() for text in texts])
def test_bad_sentence_is_a_hit(rule: str, sentence: str) -> None:
    assert rule in {hit.rule for hit in check_prose(sentence)}


@pytest.mark.parametrize("sentence", GOOD)
def test_plain_sentence_has_no_hit(sentence: str) -> None:
    assert list(check_prose(sentence)) == []


def test_hit_has_its_line_its_words_and_a_better_one() -> None:
    [hit] = check_prose("One.\n\n`mend`\nThe answer is\n    no list, so what.\n", first_line=10)
    assert (hit.line, hit.words, hit.better) == (13, "is no", "is not a")


def test_product_source_is_checked_in_strings_and_names() -> None:
    assert hits(SOURCE, "dataplane/src/inferway_dataplane/check.py") == [
        (1, "say"),
        (4, "go on"),
        (7, "tell"),
        (10, "empty name"),
        (10, "empty name"),
        (12, "empty name"),
        (12, "empty name"),
        (12, "tell"),
        (13, "nobody"),
    ]


def test_tests_are_checked_in_comments_and_docstrings_only() -> None:
    assert hits(SOURCE, "dataplane/tests/test_check.py") == [(1, "say"), (4, "go on"), (7, "tell")]


def test_test_name_over_sixty_characters_is_a_hit() -> None:
    names = ["test_" + "x" * 55, "test_" + "x" * 56, "x" * 61]
    source = "\n".join(f"async def {name}(): ..." for name in names)
    assert hits(source, "e2e/features/test_feature.py") == [(2, "test name")]


def test_command_reads_what_git_tracks_or_would_add(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    monkeypatch.chdir(tmp_path)
    for name in ("README.md", "docs/a.md", "docs/ignored.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("It waits.\n")
    (tmp_path / ".gitignore").write_text("ignored.md\n")
    (tmp_path / "docs/ignored.md").write_text("Nobody mends it.\n")
    assert main([]) == 0
    (tmp_path / "docs/a.md").write_text("It waits\nfor ever.\n")
    assert main([]) == 1
    assert capsys.readouterr().out == "docs/a.md:2: for ever -> forever\n"
    assert main(["--counts"]) == 1
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["all", "docs"],
        ["for", "ever", "1", "1"],
    ]
