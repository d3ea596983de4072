"""A directory as a source: what the data plane is given, when, and what it is spared."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from inferway_cli import directory_source
from inferway_cli.directory_source import Broken, DirectorySource
from inferway_cli.manifests import compilation
from inferway_cli.manifests.reader import File
from inferway_contract.document import ConfigDocument, EndpointsDocument
from inferway_dataplane.sources import Receiver, Refused, Source

DEADLINE = 1.0
"""Seconds in which a change has to be served."""


def text(name: str = "a", body: str = "one") -> str:
    return f"""\
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {{name: {name}}}
spec:
  rules:
  - filters: [{{type: DirectResponse, directResponse: {{statusCode: 200, body: "{body}"}}}}]
"""


class Told:
    """A receiver that keeps what it is told."""

    def __init__(self) -> None:
        self.accepted: list[dict[str, str]] = []
        self.rejected: list[str] = []
        self.refuses = ""

    def accept(self, config: ConfigDocument, endpoints: EndpointsDocument, revision: str = "", error: str = "") -> None:
        if self.refuses:
            raise Refused(self.refuses)
        answers = {route.id: rule.respond.body for route in config.routes for rule in route.rules if rule.respond}
        self.accepted.append(answers)

    def reject(self, error: str) -> None:
        self.rejected.append(error)


def followed(path: Path, act: Callable[[Told], Awaitable[None]]) -> Told:
    """Follow the directory while `act` does something to it."""
    told = Told()
    receiver: Receiver = told

    async def run() -> None:
        source: Source = DirectorySource(str(path))
        task = asyncio.create_task(source.follow(receiver))
        try:
            await until(lambda: bool(told.accepted) or task.done())
            if task.done():
                await task
            await act(told)
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    return told


async def until(holds: Callable[[], bool], seconds: float = 10.0) -> float:
    """Wait for a condition; how long it took."""
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > seconds:
            raise TimeoutError
        await asyncio.sleep(0.005)
    return time.monotonic() - started


async def looks(count: int = 3) -> None:
    """Wait until the source must have looked so often: for what must not happen there is nothing to wait for."""
    await asyncio.sleep(count * (directory_source.INTERVAL + directory_source.SETTLE))


def in_place(path: Path, content: str) -> None:
    path.write_text(content)


def by_rename(path: Path, content: str) -> None:
    new = path.with_name(".new")
    new.write_text(content)
    new.replace(path)


def by_removal(path: Path, content: str) -> None:
    path.unlink()
    path.with_name("b.yml").write_text(content)


@pytest.mark.parametrize("write", [in_place, by_rename, by_removal])
def test_a_change_is_served_within_a_second(write: Callable[[Path, str], None], tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text(body="one"))

    async def act(told: Told) -> None:
        write(path, text(body="two"))
        assert await until(lambda: len(told.accepted) == 2) < DEADLINE

    told = followed(tmp_path, act)

    assert told.accepted == [{"default/a": "one"}, {"default/a": "two"}]
    assert told.rejected == []


def test_a_mounted_configmap_is_swapped_by_its_link(tmp_path: Path) -> None:
    for version, body in (("..1", "one"), ("..2", "two")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "a.yaml").write_text(text(body=body))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")

    async def act(told: Told) -> None:
        (tmp_path / "..data_tmp").symlink_to("..2")
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")
        assert await until(lambda: len(told.accepted) == 2) < DEADLINE

    assert followed(tmp_path, act).accepted == [{"default/a": "one"}, {"default/a": "two"}]


def test_files_and_directories_that_come_and_go(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text("a"))

    async def act(told: Told) -> None:
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "b.yaml").write_text(text("b"))
        assert await until(lambda: len(told.accepted) == 2) < DEADLINE
        (tmp_path / "a.yaml").unlink()
        assert await until(lambda: len(told.accepted) == 3) < DEADLINE

    told = followed(tmp_path, act)

    assert [list(routes) for routes in told.accepted] == [["default/a"], ["default/a", "default/b"], ["default/b"]]


def test_what_compiles_to_the_same_is_not_given_again(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text())

    async def act(told: Told) -> None:
        os.utime(path)
        await looks()
        path.write_text("# a comment\n" + text())
        (tmp_path / "service.yaml").write_text("{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {}}")
        await looks()

    assert len(followed(tmp_path, act).accepted) == 1


def test_a_broken_state_is_told_once_and_the_last_good_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text(body="one"))

    async def act(told: Told) -> None:
        (tmp_path / "b.yaml").write_text("a: [\n")
        path.write_text(text() + "    timeout: 1s\n    retries: 1\n")
        assert await until(lambda: len(told.rejected) == 1) < DEADLINE
        os.utime(path)
        path.write_text(path.read_text() + "# still broken\n")
        await looks()
        assert len(told.rejected) == 1
        # Mended, to what is served already: given again, so that the receiver forgets the error.
        (tmp_path / "b.yaml").unlink()
        path.write_text(text(body="one"))
        await until(lambda: len(told.accepted) == 2)

    told = followed(tmp_path, act)

    assert told.accepted == [{"default/a": "one"}] * 2
    (error,) = told.rejected
    assert [line.partition(" ")[0] for line in error.splitlines()] == [
        f"{path}:7:",
        f"{path}:8:",
        f"{tmp_path}/b.yaml:2:",
    ]


@pytest.mark.parametrize(
    ("ruin", "error"),
    [
        (lambda folder: (folder / "a.yaml").unlink(), "no GatewayRoute found in {folder}"),
        (lambda folder: (folder / "a.yaml").write_text("# all commented out\n"), "no GatewayRoute found in {folder}"),
        (lambda folder: folder.rename(folder.with_name("gone")), "{folder}: cannot be read: No such file or directory"),
    ],
    ids=["file deleted", "file emptied", "directory gone"],
)
def test_a_directory_without_routes_is_refused_and_served_no_less(
    ruin: Callable[[Path], object], error: str, tmp_path: Path
) -> None:
    folder = tmp_path / "routes"
    folder.mkdir()
    (folder / "a.yaml").write_text(text())

    async def act(told: Told) -> None:
        ruin(folder)
        await until(lambda: len(told.rejected) == 1)
        await looks()

    told = followed(folder, act)

    assert told.rejected == [error.format(folder=folder)]
    assert len(told.accepted) == 1


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({}, "no GatewayRoute found in"),
        ({"a.yaml": "apiVersion: v1\nkind: ConfigMap\n"}, "no GatewayRoute found in"),
        ({"a.yaml": text() + "    one: 1\n    two: 1\n", "b.yaml": "- 1\n"}, "spec.rules[0].two: "),
    ],
    ids=["empty", "strangers", "broken"],
)
def test_there_is_no_first_document_with_mistakes(files: dict[str, str], error: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    told = Told()

    with pytest.raises(Refused) as refused:
        asyncio.run(DirectorySource(str(tmp_path)).follow(told))
    with pytest.raises(Broken) as broken:
        DirectorySource(str(tmp_path)).load()

    assert error in str(refused.value)
    assert str(refused.value) == str(broken.value)
    assert (told.accepted, told.rejected) == ([], [])


def test_what_the_data_plane_refuses_at_first_ends_the_source(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text())
    told = Told()
    told.refuses = "no room"

    with pytest.raises(Refused, match="no room"):
        asyncio.run(DirectorySource(str(tmp_path)).follow(told))


def test_what_the_data_plane_refuses_later_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text(body="one"))

    async def act(told: Told) -> None:
        told.refuses = "no room"
        path.write_text(text(body="two"))
        await looks()
        told.refuses = ""
        path.write_text(text(body="one"))
        await until(lambda: len(told.accepted) == 2)

    assert followed(tmp_path, act).accepted == [{"default/a": "one"}] * 2


def test_a_mistake_of_ours_does_not_end_the_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text())

    async def act(told: Told) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(compilation, "compiled", lambda _: 1 / 0)
            path.write_text(text(body="two"))
            await until(lambda: bool(told.rejected))
        path.write_text(text(body="three"))
        await until(lambda: len(told.accepted) == 2)

    assert followed(tmp_path, act).rejected == ["internal error: ZeroDivisionError"]
    assert "cannot read the directory" in caplog.text


def test_the_loop_is_free_while_documents_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text())
    entered, released, compiled = threading.Event(), threading.Event(), compilation.compiled

    async def act(told: Told) -> None:
        def waiting(manifests: object) -> object:
            entered.set()
            # On the loop's own thread nobody could set it.
            assert released.wait(10)
            return compiled(manifests)  # type: ignore[arg-type]

        monkeypatch.setattr(compilation, "compiled", waiting)
        path.write_text(text(body="two"))
        await until(entered.is_set)
        released.set()
        await until(lambda: len(told.accepted) == 2)

    followed(tmp_path, act)


def test_changes_are_taken_when_two_looks_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = [(File("a.yaml", content),) for content in (b"half", b"whole", b"whole", b"later")]
    source = DirectorySource(str(tmp_path), settle=0.0)
    script = iter(states)
    monkeypatch.setattr(source._folder, "take", lambda: next(script))

    assert source._settled((File("a.yaml", b""),)) == states[1]


def test_a_directory_that_never_rests_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = DirectorySource(str(tmp_path), settle=0.0)
    monkeypatch.setattr(directory_source, "SETTLE_AT_MOST", 0.05)
    monkeypatch.setattr(source._folder, "take", lambda: (File("a.yaml", str(time.monotonic_ns()).encode()),))

    (file,) = source._settled(())

    assert file.content is not None


@pytest.mark.parametrize("loaded", [False, True])
def test_warnings_are_told_when_they_are_new(loaded: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    missing = text("b").replace(
        "filters:", "matches: [{path: {value: /b}}]\n    backendRefs: [{name: gone, port: 80}]\n#"
    )
    (tmp_path / "a.yaml").write_text(text())
    (tmp_path / "b.yaml").write_text(missing)
    told = Told()
    source = DirectorySource(str(tmp_path))
    if loaded:
        source.load()  # who loads it tells its warnings, too

    async def run() -> None:
        task = asyncio.create_task(source.follow(told))
        await until(lambda: len(told.accepted) == 1)
        (tmp_path / "a.yaml").write_text(text(body="two"))
        await until(lambda: len(told.accepted) == 2)
        (tmp_path / "c.yaml").write_text(missing.replace("name: b", "name: c").replace("/b", "/c"))
        await until(lambda: len(told.accepted) == 3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with caplog.at_level(logging.WARNING, "inferway"):
        asyncio.run(run())

    warned = [record.manifest.partition(", spec")[0] for record in caplog.records]  # type: ignore[attr-defined]
    expected = [f"{tmp_path}/{name}.yaml:7: document 1, GatewayRoute default/{name}" for name in "bc"]
    assert warned == (expected[1:] if loaded else expected)


def test_a_source_that_was_loaded_goes_on_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text(text(body="one"))
    told = Told()
    source = DirectorySource(str(tmp_path))
    source.load()
    (tmp_path / "a.yaml").write_text(text(body="two"))

    async def run() -> None:
        task = asyncio.create_task(source.follow(told))
        await until(lambda: len(told.accepted) == 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())

    assert told.accepted == [{"default/a": "one"}, {"default/a": "two"}]
