"""Reads .github/workflows: steps, targets of make, paths of the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from inferway_release.__main__ import ROOT

FOLDER = ROOT / ".github/workflows"
FILES = sorted(FOLDER.glob("*.yml"))
MAKE = re.compile(r"\bmake ((?:[a-z][a-z0-9-]*[ \n]?)+)")
PATH = re.compile(r"(?<![\w./~:@-])((?:\.?[\w-]+/)+[\w.-]*)(?![\w@:])")
FOLDERS = {entry.name for entry in ROOT.iterdir() if entry.is_dir()} | {"dist", "build", "sbom"}


def text_and_content(file: Path) -> tuple[str, dict[Any, Any]]:
    """Return text and content."""
    text = file.read_text(encoding="utf-8")
    return text, yaml.safe_load(text)


def jobs(file: Path) -> dict[str, dict[str, Any]]:
    """Return the jobs by name."""
    return text_and_content(file)[1]["jobs"]


def steps(file: Path) -> list[dict[str, Any]]:
    """Return the steps of all jobs."""
    return [step for job in jobs(file).values() for step in job.get("steps", [])]


def targets() -> set[str]:
    """Return the targets of the Makefile."""
    return set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def make_targets(file: Path) -> set[str]:
    """Return the targets of make that a workflow runs."""
    matches = [match for step in steps(file) for match in MAKE.findall(step.get("run", ""))]
    return {name for words in matches for name in words.split()}


def strings(value: object) -> list[str]:
    """Return all strings except keys."""
    if isinstance(value, dict):
        return [text for inner in value.values() for text in strings(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in strings(inner)]
    return [value] if isinstance(value, str) else []


def named_paths(file: Path) -> set[str]:
    """Return the repository paths that a workflow names in `run`, `with`, `env` and the matrix."""
    paths: set[str] = set()
    for job in jobs(file).values():
        parts: list[object] = [
            job.get("strategy"),
            *(step.get(key) for step in job.get("steps", []) for key in ("with", "env", "run")),
        ]
        for text in strings(parts):
            for path in PATH.findall(re.sub(r"https?://\S+|\$\{\{.*?\}\}", " ", text)):
                paths.add(path)
        paths.update(re.findall(r"'([\w./-]+/[\w.-]+)'", str(parts)))
    return {path for path in paths if path.split("/")[0] in FOLDERS}
