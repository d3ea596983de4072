"""Dockerfiles as instructions, and the files that .dockerignore includes."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from inferway_cluster.images import ROOT, Image

LABELS = "title", "description", "licenses", "source", "revision", "version"


class Instruction(NamedTuple):
    """An instruction of a Dockerfile, with its stage."""

    stage: str
    name: str
    rest: str


def instructions(image: Image) -> list[Instruction]:
    """Return the instructions in order, with their lines joined."""
    lines = [line for line in (ROOT / image.dockerfile).read_text().splitlines() if not line.startswith("#")]
    stage, parsed = "", []
    for text in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if not text.strip():
            continue
        name, rest = text.split(maxsplit=1)
        if name == "FROM":
            stage = rest.split()[-1]
        parsed.append(Instruction(stage, name, rest))
    return parsed


def sources(image: Image) -> Iterator[str]:
    """Return the paths of the build context used by COPY and by bind mounts."""
    for instruction in instructions(image):
        if instruction.name == "COPY" and "--from" not in instruction.rest:
            yield from [part for part in shlex.split(instruction.rest) if not part.startswith("--")][:-1]
        if instruction.name == "RUN" and "type=bind" in instruction.rest and "from=" not in instruction.rest:
            yield from re.findall(r"type=bind,source=([^,\s]+)", instruction.rest)


def is_let_through(path: str) -> bool:
    """Return whether the .dockerignore at the root includes a path; it lists included paths, and excludes caches."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    return any(Path(path).is_relative_to(rule[1:]) for rule in rules if rule.startswith("!"))


def exec_form(rest: str) -> list[str]:
    """Return a command as a list. Fails for the shell form, in which signals do not reach the process."""
    command = json.loads(rest)
    assert isinstance(command, list), rest
    return command


def settings_of(image: Image) -> dict[str, str]:
    """Return the variables set by ENV, in all stages."""
    pairs: Iterator[list[str]] = (
        part.split("=", 1) for each in instructions(image) if each.name == "ENV" for part in shlex.split(each.rest)
    )
    return dict(pairs)
