"""The section of CHANGELOG.md for a tag (form: keepachangelog.com, version 1.1.0). Pure."""

import re
from dataclasses import dataclass
from typing import Final

TAG: Final = re.compile(r"v(\d+\.\d+\.\d+(?:(a|b|rc)\d+)?)")
"""`v0.2.0`, or earlier `v0.2.0rc1`: a version in the form of PEP 440, so that the tag, the wheel and the images agree."""
HEADING: Final = re.compile(r"## \[([^\]]+)\](?: - (\d{4}-\d{2}-\d{2}))?")
REFERENCE: Final = re.compile(r"\[[^\]]+\]: \S+")


class NotReleasable(ValueError):  # noqa: N818 - the name is the finding
    """The tag cannot become a release; the message names the cause."""


@dataclass(frozen=True)
class Notes:
    """The notes of one release."""

    version: str
    prerelease: bool
    text: str
    """Markdown, without the heading."""


def notes(tag: str, package_version: str, changelog: str) -> Notes:
    """Return the notes of a tag. Raises `NotReleasable` if tag, package and changelog do not agree."""
    match = TAG.fullmatch(tag)
    if match is None:
        raise NotReleasable(f"{tag!r} is not a tag of a release, such as v0.2.0 or v0.2.0rc1")
    version = match[1]
    if version != package_version:
        raise NotReleasable(f"the tag is {version}, but inferway_contract.__version__ is {package_version}")
    return Notes(version, match[2] is not None, section(version, changelog))


def section(version: str, changelog: str) -> str:
    """Return the section of a version. Raises `NotReleasable` if it is missing, empty or without a date."""
    lines = changelog.splitlines()
    headings = [(at, match) for at, line in enumerate(lines) if (match := HEADING.fullmatch(line.rstrip()))]
    positions = [place for place, (_, match) in enumerate(headings) if match[1] == version]
    if len(positions) != 1:
        raise NotReleasable(f"CHANGELOG.md has {len(positions)} headings `## [{version}] - DATE`, and needs one")
    start, heading = headings[positions[0]]
    if heading[2] is None:
        raise NotReleasable(f"CHANGELOG.md: the heading of {version} has no date (YYYY-MM-DD)")
    end = headings[positions[0] + 1][0] if positions[0] + 1 < len(headings) else len(lines)
    text = "\n".join(line for line in lines[start + 1 : end] if not REFERENCE.fullmatch(line)).strip()
    if not text:
        raise NotReleasable(f"CHANGELOG.md: the section of {version} is empty")
    return text + "\n"
