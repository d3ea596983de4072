"""Processes of the version before format 2 of the documents: they refuse it, write format 1 only, and report no formats."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SOURCE = '''
"""Runs in each interpreter of the older version, before its program."""

from inferway_contract import acknowledgement, sharding


def without_report(acknowledged, write=acknowledgement.annotations):
    return {name: text for name, text in write(acknowledged).items() if name != "inferway.dev/formats"}


def read_index(model, content, read=sharding.read_index):
    index = read(model, content)
    if index.format != 1:
        raise ValueError("the index cannot be read: format: Input should be 1")
    return index


def read_shard(model, ref, content, read=sharding.read_shard):
    for news in (b'"format"', b'"targets"', b'"further"'):
        if news in content:
            raise ValueError(f"shard {ref.name} cannot be read: {news.decode()}: Extra inputs are not permitted")
    return read(model, ref, content)


sharding.read_index = read_index
sharding.read_shard = read_shard
acknowledgement.annotations = without_report
acknowledgement.FORMATS = (1,)

try:
    from inferway_operator.publish import format_choice
    from inferway_dataplane.sources.rollout import Rollout
except ImportError as error:
    raise SystemExit(f"the older version cannot be made: {error}") from None
format_choice.newest_common = lambda known: 1
Rollout.allow_older = lambda self: None  # it never looked into the history
'''


@contextmanager
def older_version(directory: Path) -> Iterator[None]:
    """Let processes that start within the block, and their children, be of the older version."""
    folder = directory / "older-version"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_SOURCE)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{folder}{os.pathsep}{before}" if before else str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
