"""A directory as a source: what the data plane is given, when, and what it is spared."""

import asyncio
import logging
import os
import re
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from inferway_cli import directory_source
from inferway_cli.directory_source import DirectorySource, InvalidDirectoryError
from inferway_cli.manifests import compilation, kept_files
from inferway_cli.manifests.reader import File
from inferway_contract.document import ConfigDocument, EndpointsDocument
from inferway_dataplane.sources import Refused, Source
from inferway_testing.until import until_async

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


class RecordingReceiver:
    """A receiver that records its calls."""

    def __init__(self) -> None:
        self.accepted: list[dict[str, str]] = []
        self.rejected: list[str] = []
        self.refuses = ""

    async def accept(
        self, config: ConfigDocument, endpoints: EndpointsDocument, revision: str = "", error: str = ""
    ) -> None:
        if self.refuses:
            raise Refused(self.refuses)
        answers = {route.id: rule.respond.body for route in config.routes for rule in route.rules if rule.respond}
        self.accepted.append(answers)

    def reject(self, error: str) -> None:
        self.rejected.append(error)


def follow_during(path: Path, act: Callable[[RecordingReceiver], Awaitable[None]]) -> RecordingReceiver:
    """Follow the directory while `act` does something to it."""
    receiver = RecordingReceiver()

    async def run() -> None:
        source: Source = DirectorySource(str(path))
        task = asyncio.create_task(source.follow(receiver))
        try:
            await until_async(lambda: receiver.accepted or task.done(), "the first document")
            if task.done():
                await task
            await act(receiver)
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    return receiver


async def wait_for_scans(count: int = 3) -> None:
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
def test_change_is_accepted_within_a_second(write: Callable[[Path, str], None], tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text(body="one"))

    async def act(receiver: RecordingReceiver) -> None:
        write(path, text(body="two"))
        await until_async(lambda: len(receiver.accepted) == 2, "the change to be accepted", DEADLINE)

    receiver = follow_during(tmp_path, act)

    assert receiver.accepted == [{"default/a": "one"}, {"default/a": "two"}]
    assert receiver.rejected == []


def test_swapped_link_of_a_mounted_config_map_is_followed(tmp_path: Path) -> None:
    for version, body in (("..1", "one"), ("..2", "two")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "a.yaml").write_text(text(body=body))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")

    async def act(receiver: RecordingReceiver) -> None:
        (tmp_path / "..data_tmp").symlink_to("..2")
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")
        await until_async(lambda: len(receiver.accepted) == 2, "the change to be accepted", DEADLINE)

    assert follow_during(tmp_path, act).accepted == [{"default/a": "one"}, {"default/a": "two"}]


def test_added_and_removed_files_change_the_document(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text("a"))

    async def act(receiver: RecordingReceiver) -> None:
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "b.yaml").write_text(text("b"))
        await until_async(lambda: len(receiver.accepted) == 2, "the change to be accepted", DEADLINE)
        (tmp_path / "a.yaml").unlink()
        await until_async(lambda: len(receiver.accepted) == 3, "the change to be accepted", DEADLINE)

    receiver = follow_during(tmp_path, act)

    assert [list(routes) for routes in receiver.accepted] == [["default/a"], ["default/a", "default/b"], ["default/b"]]


def test_change_with_the_same_result_is_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text())

    async def act(receiver: RecordingReceiver) -> None:
        os.utime(path)
        await wait_for_scans()
        path.write_text("# a comment\n" + text())
        (tmp_path / "service.yaml").write_text("{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {}}")
        await wait_for_scans()

    assert len(follow_during(tmp_path, act).accepted) == 1


def test_broken_files_are_rejected_once_and_the_document_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text(body="one"))

    async def act(receiver: RecordingReceiver) -> None:
        (tmp_path / "b.yaml").write_text("a: [\n")
        path.write_text(text() + "    timeout: 1s\n    retries: 1\n")
        await until_async(lambda: len(receiver.rejected) == 1, "the change to be rejected", DEADLINE)
        os.utime(path)
        path.write_text(path.read_text() + "# still broken\n")
        await wait_for_scans()
        assert len(receiver.rejected) == 1
        # Fixed, to the documents that are live: passed on again, so that the receiver clears the error.
        (tmp_path / "b.yaml").unlink()
        path.write_text(text(body="one"))
        await until_async(lambda: len(receiver.accepted) == 2, "the change to be accepted")

    receiver = follow_during(tmp_path, act)

    assert receiver.accepted == [{"default/a": "one"}] * 2
    (error,) = receiver.rejected
    assert [line.partition(" ")[0] for line in error.splitlines()] == [
        f"{path}:7:",
        f"{path}:8:",
        f"{tmp_path}/b.yaml:2:",
    ]


@pytest.mark.parametrize(
    ("ruin", "error"),
    [
        (lambda folder: (folder / "a.yaml").unlink(), "no GatewayRoute found in {folder}"),
        (
            lambda folder: (folder / "a.yaml").write_text("# all commented out\n"),
            f"{{folder}}/a.yaml:1: is empty, it has no manifest any more: {kept_files.ADVICE}",
        ),
        (lambda folder: folder.rename(folder.with_name("gone")), "{folder}: cannot be read: No such file or directory"),
    ],
    ids=["file deleted", "file emptied", "directory gone"],
)
def test_directory_without_routes_is_rejected_while_serving(
    ruin: Callable[[Path], object], error: str, tmp_path: Path
) -> None:
    folder = tmp_path / "routes"
    folder.mkdir()
    (folder / "a.yaml").write_text(text())

    async def act(receiver: RecordingReceiver) -> None:
        ruin(folder)
        await until_async(lambda: len(receiver.rejected) == 1, "the change to be rejected")
        await wait_for_scans()

    receiver = follow_during(folder, act)

    assert receiver.rejected == [error.format(folder=folder)]
    assert len(receiver.accepted) == 1


GUARD_AND_REST = text("guard", "guard") + "---\n" + text("rest", "rest")


@pytest.mark.parametrize("length", [0, 30, len(text("guard", "guard")), len(text("guard", "guard")) + 2, -9, -1])
def test_emptied_or_cut_file_keeps_its_objects_until_it_is_whole(length: int, tmp_path: Path) -> None:
    """A cut at the end of a line is a change that is served once it rests; any other cut is never served."""
    path = tmp_path / "b.yaml"
    path.write_text(GUARD_AND_REST)
    (tmp_path / "a.yaml").write_text(text("a"))
    is_whole = length == len(text("guard", "guard"))

    async def act(receiver: RecordingReceiver) -> None:
        path.write_text(GUARD_AND_REST[:length])
        await until_async(lambda: receiver.rejected or len(receiver.accepted) == 2, "a decision")
        assert bool(receiver.rejected) != is_whole
        path.write_text(GUARD_AND_REST.replace("rest", "whole"))
        await until_async(lambda: "default/whole" in receiver.accepted[-1], "the whole file to be accepted")

    receiver = follow_during(tmp_path, act)

    assert all("default/guard" in routes for routes in receiver.accepted)
    assert all(f"{path}:" in error for error in receiver.rejected)


def test_file_that_is_written_slowly_is_not_served_shorter(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(GUARD_AND_REST)

    async def act(receiver: RecordingReceiver) -> None:
        lines = GUARD_AND_REST.replace('"rest"', '"new"').splitlines(keepends=True)
        path.unlink()
        for number in range(0, len(lines) + 1, 3):
            # Shorter pauses than `REST`, longer than `SETTLE`.
            await asyncio.sleep(directory_source.REST / 3)
            path.write_text("".join(lines[:number]))
        path.write_text("".join(lines))
        await until_async(lambda: len(receiver.accepted) == 2, "the whole file to be accepted")

    receiver = follow_during(tmp_path, act)

    assert receiver.accepted[1] == {"default/guard": "guard", "default/rest": "new"}
    assert receiver.rejected == []


INVALID_RULES = {
    "path": "matches: [{path: {type: RegularExpression, value: '/admin('}}]",
    "header": "matches: [{headers: [{type: RegularExpression, name: x-a, value: '(?!root).*'}]}]",
    "query": "matches: [{queryParams: [{type: RegularExpression, name: q, value: 'a**'}]}]",
    "prefix": "matches: [{path: {value: /a/%2e%2e/b}}]",
    "method": "matches: [{method: get}]",
    "limits": "limits: {maxRequestBody: 1.5Gi}",
    "duplicate name": "name: first",
    "reference": "timeouts: {request: 1s, backendRequest: 2s}",
}


@pytest.mark.parametrize("what", INVALID_RULES)
def test_rule_that_cannot_be_compiled_refuses_the_change(what: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    first = text().replace("  - filters", "  - name: first\n    filters")
    rule = f"  - {INVALID_RULES[what]}\n    filters: [{{type: DirectResponse, directResponse: {{statusCode: 403}}}}]\n"
    path.write_text(first)

    async def act(receiver: RecordingReceiver) -> None:
        path.write_text(first + rule)
        await until_async(lambda: receiver.rejected, "the change to be rejected")

    receiver = follow_during(tmp_path, act)

    assert len(receiver.accepted) == 1
    assert re.match(rf"{re.escape(str(path))}:[48]: document 1, GatewayRoute default/a, spec", receiver.rejected[0])
    with pytest.raises(InvalidDirectoryError, match=re.escape(receiver.rejected[0])):
        DirectorySource(str(tmp_path)).load()


def test_wanted_reload_reports_a_standing_error_again(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text())
    source = DirectorySource(str(path))
    receiver = RecordingReceiver()

    async def run() -> None:
        task = asyncio.create_task(source.follow(receiver))
        await until_async(lambda: receiver.accepted, "the first document")
        path.write_text("a: [\n")
        await until_async(lambda: len(receiver.rejected) == 1, "the change to be rejected")
        source.reload()
        await until_async(lambda: len(receiver.rejected) == 2, "the error to be reported again")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())

    assert receiver.rejected[0] == receiver.rejected[1]


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({}, "no GatewayRoute found in"),
        ({"a.yaml": "apiVersion: v1\nkind: ConfigMap\n"}, "no GatewayRoute found in"),
        ({"a.yaml": text() + "    one: 1\n    two: 1\n", "b.yaml": "- 1\n"}, "spec.rules[0].two: "),
    ],
    ids=["empty", "strangers", "broken"],
)
def test_first_load_with_errors_fails(files: dict[str, str], error: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    receiver = RecordingReceiver()

    with pytest.raises(Refused) as refused:
        asyncio.run(DirectorySource(str(tmp_path)).follow(receiver))
    with pytest.raises(InvalidDirectoryError) as broken:
        DirectorySource(str(tmp_path)).load()

    assert error in str(refused.value)
    assert str(refused.value) == str(broken.value)
    assert (receiver.accepted, receiver.rejected) == ([], [])


def test_first_document_rejected_by_the_receiver_ends_source(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text())
    receiver = RecordingReceiver()
    receiver.refuses = "no room"

    with pytest.raises(Refused, match="no room"):
        asyncio.run(DirectorySource(str(tmp_path)).follow(receiver))


def test_later_document_rejected_by_the_receiver_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text(body="one"))

    async def act(receiver: RecordingReceiver) -> None:
        receiver.refuses = "no room"
        path.write_text(text(body="two"))
        await wait_for_scans()
        receiver.refuses = ""
        path.write_text(text(body="one"))
        await until_async(lambda: len(receiver.accepted) == 2, "the change to be accepted")

    assert follow_during(tmp_path, act).accepted == [{"default/a": "one"}] * 2


def test_internal_error_does_not_end_the_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text())

    async def act(receiver: RecordingReceiver) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(compilation, "compile_manifests", lambda _: 1 / 0)
            path.write_text(text(body="two"))
            await until_async(lambda: receiver.rejected, "the change to be rejected")
        path.write_text(text(body="three"))
        await until_async(lambda: len(receiver.accepted) == 2, "the change to be accepted")

    assert follow_during(tmp_path, act).rejected == ["internal error: ZeroDivisionError"]
    assert "cannot read the directory" in caplog.text


def test_event_loop_is_not_blocked_by_compilation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text())
    entered, released, compile_manifests = threading.Event(), threading.Event(), compilation.compile_manifests

    async def act(receiver: RecordingReceiver) -> None:
        def waiting(manifests: object) -> object:
            entered.set()
            # In the thread of the loop it would never be set.
            assert released.wait(10)
            return compile_manifests(manifests)  # type: ignore[arg-type]

        monkeypatch.setattr(compilation, "compile_manifests", waiting)
        path.write_text(text(body="two"))
        await until_async(entered.is_set, "the check to begin")
        released.set()
        await until_async(lambda: len(receiver.accepted) == 2, "the change to be accepted")

    follow_during(tmp_path, act)


def test_change_is_read_when_two_scans_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = [(File("a.yaml", content),) for content in (b"half", b"whole", b"whole", b"later")]
    source = DirectorySource(str(tmp_path), settle=0.0)
    script = iter(states)
    monkeypatch.setattr(source._folder, "take", lambda: next(script))

    assert source._settled((File("a.yaml", b""),)) == states[1]


def test_directory_that_never_settles_is_read_after_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = DirectorySource(str(tmp_path), settle=0.0)
    monkeypatch.setattr(directory_source, "SETTLE_AT_MOST", 0.05)
    monkeypatch.setattr(source._folder, "take", lambda: (File("a.yaml", str(time.monotonic_ns()).encode()),))

    (file,) = source._settled(())

    assert file.content is not None


@pytest.mark.parametrize("loaded", [False, True])
def test_only_new_warnings_are_logged(loaded: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    missing = text("b").replace(
        "filters:", "matches: [{path: {value: /b}}]\n    backendRefs: [{name: gone, port: 80}]\n#"
    )
    (tmp_path / "a.yaml").write_text(text())
    (tmp_path / "b.yaml").write_text(missing)
    receiver = RecordingReceiver()
    source = DirectorySource(str(tmp_path))
    if loaded:
        source.load()  # the caller of `load` reports its warnings

    async def run() -> None:
        task = asyncio.create_task(source.follow(receiver))
        await until_async(lambda: len(receiver.accepted) == 1, "the change to be accepted")
        (tmp_path / "a.yaml").write_text(text(body="two"))
        await until_async(lambda: len(receiver.accepted) == 2, "the change to be accepted")
        (tmp_path / "c.yaml").write_text(missing.replace("name: b", "name: c").replace("/b", "/c"))
        await until_async(lambda: len(receiver.accepted) == 3, "the change to be accepted")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with caplog.at_level(logging.WARNING, "inferway"):
        asyncio.run(run())

    warned = [record.manifest.partition(", spec")[0] for record in caplog.records]  # type: ignore[attr-defined]
    expected = [f"{tmp_path}/{name}.yaml:7: document 1, GatewayRoute default/{name}" for name in "bc"]
    assert warned == (expected[1:] if loaded else expected)


def test_loaded_source_continues_from_its_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text(text(body="one"))
    receiver = RecordingReceiver()
    source = DirectorySource(str(tmp_path))
    source.load()
    (tmp_path / "a.yaml").write_text(text(body="two"))

    async def run() -> None:
        task = asyncio.create_task(source.follow(receiver))
        await until_async(lambda: len(receiver.accepted) == 2, "the change to be accepted")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())

    assert receiver.accepted == [{"default/a": "one"}, {"default/a": "two"}]
