"""The last good copy on disk: whole, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferway_contract.canonical import digest
from inferway_contract.document import (
    Backend,
    ConfigDocument,
    DirectResponse,
    Endpoint,
    EndpointsDocument,
    Match,
    PathMatch,
    Policy,
    Route,
    Rule,
    Target,
)
from inferway_dataplane.sources.assembly import Assembled, Documents
from inferway_dataplane.sources.last_good import CONFIG, ENDPOINTS, LastGood
from inferway_testing.examples import examples


def state(body: str, *services: str) -> Documents:
    """Documents that answer with this body, and the Services that they name."""
    respond = DirectResponse(status=200, content_type="text/plain", body=body)
    rules = (
        Rule(name="body", matches=(Match(path=PathMatch(value="/body")),), respond=respond),
        Rule(name="services", backends=tuple(Backend(service=name) for name in services)),
    )
    addresses = {name: (Endpoint(address="192.0.2.1", port=80),) for name in services}
    return Documents(
        Assembled(ConfigDocument(routes=(Route(id="x/y", rules=rules),)), f"config-{body}"),
        Assembled(EndpointsDocument(services=addresses), f"endpoints-{body}"),
    )


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_last_saved_copy_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    last_good = LastGood(str(folder))
    assert last_good.read() is None
    one, two = state("one", "x/a:80"), state("two", "x/b:80")
    other_endpoints = Documents(two.config, state("three", "x/b:80", "x/c:80").endpoints)
    for documents in (one, two, other_endpoints):
        last_good.save(documents)
        assert LastGood(str(folder)).read() == documents
    assert names(folder) == {CONFIG, ENDPOINTS}


def test_files_of_the_earlier_format_are_ignored_and_removed(tmp_path: Path) -> None:
    older = ("last-good", "aa11.shard", "last-good.part", "aa11.shard.part")
    for name in older:
        (tmp_path / name).write_bytes(b"0123\n{}")
    last_good = LastGood(str(tmp_path))
    assert last_good.read() is None
    assert names(tmp_path) == set(older)
    last_good.save(state("new"))
    assert names(tmp_path) == {CONFIG, ENDPOINTS}


def test_copy_of_an_older_version_is_read(tmp_path: Path) -> None:
    """The image of a container may be replaced in place; its emptyDir stays."""
    config = (
        b'{"document":{"policies":[{"id":"x/p"}],"routes":[{"id":"x/y","rules":[{"name":"a","policies":["x/p"]},'
        b'{"name":"b"}]}]},"revision":"aa11"}'
    )
    for name, content in ((CONFIG, config), (ENDPOINTS, b'{"document":{},"revision":"bb22"}')):
        (tmp_path / name).write_bytes(digest(content).encode() + b"\n" + content)
    read = LastGood(str(tmp_path)).read()
    assert read is not None
    assert (read.config.revision, read.endpoints) == ("aa11", Assembled(EndpointsDocument(), "bb22"))
    assert read.config.document == ConfigDocument(
        routes=(Route(id="x/y", rules=(Rule(name="a"), Rule(name="b"))),),
        policies=(Policy(id="x/p", targets=(Target(route="y", rule="a"),)),),
    )


class Stopped(Exception):  # noqa: N818 - it names what happened
    """The process ends."""


class StoppingDisk(LastGood):
    """A disk on which only some files are replaced before the process ends."""

    def __init__(self, folder: Path, replaced: int) -> None:
        super().__init__(str(folder))
        self.left = replaced

    def _write(self, name: str, document: Assembled) -> None:
        if self.left == 0:
            raise Stopped
        self.left -= 1
        super()._write(name, document)


@pytest.mark.parametrize("is_restarted", [False, True], ids=["running", "restarted"])
def test_interrupted_save_leaves_the_old_or_the_new_copy(tmp_path: Path, is_restarted: bool) -> None:
    """However many of its files a copy has replaced, both fit together: each Service of the config has its addresses."""
    older, newer = state("one", "x/a:80", "x/b:80"), state("two", "x/b:80", "x/c:80")
    configs = []
    for replaced in range(4):
        disk = StoppingDisk(tmp_path / str(replaced), 3)
        disk.save(older)
        if is_restarted:
            disk = StoppingDisk(tmp_path / str(replaced), replaced)
        disk.left = replaced
        if replaced < 3:
            with pytest.raises(Stopped):
                disk.save(newer)
        else:
            disk.save(newer)
        copy = LastGood(str(tmp_path / str(replaced))).read()
        assert copy is not None
        configs.append(copy.config.revision)
        assert copy.config.document.named_services() <= copy.endpoints.document.services.keys()
    assert configs == ["config-one", "config-one", "config-two", "config-two"]
    assert copy == newer


def test_after_a_failure_the_files_are_looked_at_again(tmp_path: Path) -> None:
    """The config of a copy that failed half-way may be on disk."""
    disk = StoppingDisk(tmp_path, 3)
    disk.save(state("one", "x/a:80"))
    disk.left = 2
    with pytest.raises(Stopped):
        disk.save(state("two", "x/b:80"))
    disk.left = 1
    with pytest.raises(Stopped):
        disk.save(state("three", "x/c:80"))
    copy = disk.read()
    assert copy is not None
    assert (copy.config.revision, set(copy.endpoints.document.services)) == ("config-two", {"x/b:80", "x/c:80"})


def swap_endpoints(folder: Path, other: Path) -> None:
    (folder / ENDPOINTS).write_bytes((other / ENDPOINTS).read_bytes())


def swap_files(folder: Path, other: Path) -> None:
    (folder / CONFIG).write_bytes((folder / ENDPOINTS).read_bytes())


def remove_endpoints(folder: Path, other: Path) -> None:
    (folder / ENDPOINTS).unlink()


@pytest.mark.parametrize(
    ("harm", "error"),
    [
        (swap_endpoints, "lacks Services"),
        (swap_files, "last-good-config cannot be read"),
        (remove_endpoints, "No such file"),
    ],
)
def test_copy_of_files_from_elsewhere_is_refused(
    tmp_path: Path, harm: Callable[[Path, Path], None], error: str
) -> None:
    folders = tmp_path / "one", tmp_path / "two"
    for folder, service in zip(folders, ("x/a:80", "x/b:80"), strict=True):
        LastGood(str(folder)).save(state("body", service))
    harm(*folders)
    with pytest.raises((ValueError, OSError), match=error):
        LastGood(str(folders[0])).read()
    # It does not stop the next copy.
    LastGood(str(folders[0])).save(state("new", "x/c:80"))
    assert LastGood(str(folders[0])).read() == state("new", "x/c:80")


@settings(max_examples=examples(60), deadline=None)
@given(st.data())
def test_copy_with_any_changed_byte_is_rejected(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("state")
    last_good = LastGood(str(folder))
    last_good.save(state("one", "x/a:80"))
    file = data.draw(st.sampled_from(sorted(folder.iterdir())))
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[place:]
    else:
        content[place] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    with pytest.raises(ValueError):
        last_good.read()
