"""The section of the changelog for a tag, and the errors of tags that are not releases."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferway_contract import __version__
from inferway_release import changelog
from inferway_release.__main__ import ROOT, main

TEXT = """# Changelog

## [Unreleased]

### Added
- Something to come.

## [0.2.0] - 2026-12-01

### Fixed
- A [link](https://example.com) stays.

## [0.2.0rc1] - 2026-11-30

- Nearly.

## [0.1.0]

- No date.

## [0.0.1] - 2026-01-01

[0.2.0]: https://example.com/compare/v0.1.0...v0.2.0
"""


def test_notes_are_the_text_between_the_headings() -> None:
    notes = changelog.notes("v0.2.0", "0.2.0", TEXT)
    assert notes == changelog.Notes("0.2.0", False, "### Fixed\n- A [link](https://example.com) stays.\n")


def test_release_candidate_is_a_prerelease() -> None:
    assert changelog.notes("v0.2.0rc1", "0.2.0rc1", TEXT).prerelease


@pytest.mark.parametrize(
    ("tag", "package", "why"),
    [
        ("0.2.0", "0.2.0", "not a tag of a release"),
        ("v0.2", "0.2", "not a tag of a release"),
        ("v0.2.0-rc.1", "0.2.0rc1", "not a tag of a release"),
        ("v0.2.0\n", "0.2.0", "not a tag of a release"),
        ("v0.2.0", "0.3.0", "__version__ is 0.3.0"),
        ("v0.3.0", "0.3.0", "has 0 headings"),
        ("v0.1.0", "0.1.0", "has no date"),
        ("v0.0.1", "0.0.1", "is empty"),
    ],
)
def test_unreleasable_tag_is_rejected(tag: str, package: str, why: str) -> None:
    with pytest.raises(changelog.NotReleasable, match=why):
        changelog.notes(tag, package, TEXT)


def test_version_with_two_headings_is_rejected() -> None:
    with pytest.raises(changelog.NotReleasable, match="has 2 headings"):
        changelog.section("0.2.0", TEXT + "\n## [0.2.0] - 2026-12-02\n- Again.\n")


def test_changelog_has_an_entry_for_the_next_release() -> None:
    """Require a section for the package's version, or for the next release (docs/releasing.md)."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = [match[1] for line in text.splitlines() if (match := changelog.HEADING.fullmatch(line))]
    assert versions[0] == "Unreleased"
    assert len(versions) == len(set(versions))
    if __version__ in versions:
        assert changelog.notes(f"v{__version__}", __version__, text).text
    else:
        start = text.index("## [Unreleased]")
        assert "\n- " in text[start:]


def test_command_with_an_unreleasable_tag_prints_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = tmp_path / "outputs"
    assert main(["notes", "v9.9.9", "--into", str(tmp_path / "notes.md"), "--outputs", str(outputs)]) == 1
    assert capsys.readouterr().err == f"release: the tag is 9.9.9, but inferway_contract.__version__ is {__version__}\n"
    assert not outputs.exists()
