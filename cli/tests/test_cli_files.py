"""Which files of a directory are read, and when again."""

import os
from pathlib import Path

import pytest

from inferway_cli.manifests import files
from inferway_cli.manifests.files import Folder
from inferway_cli.manifests.reader import File


def names(folder: Path) -> list[str]:
    return [os.path.relpath(file.name, folder) for file in Folder(str(folder)).take()]


def test_folder_lists_yaml_files_sorted_without_editor_backups(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "c.YAML", "d.yaml~", ".e.yaml", ".e.yaml.swp", "#f.yaml#", "g.json", "h.yaml.tmp"):
        (tmp_path / name).touch()
    for name in ("sub", ".git", "..2026_data"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.yaml").touch()

    assert names(tmp_path) == ["a.yml", "b.yaml", "sub/x.yaml"]


def test_links_are_followed_except_cycles(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "a.yaml").touch()
    (tmp_path / "inside" / "up").symlink_to(tmp_path)
    (tmp_path / "link.yaml").symlink_to("inside/a.yaml")
    (tmp_path / "same").symlink_to("inside")

    assert sorted(name.removeprefix("same/").removeprefix("inside/") for name in names(tmp_path)) == [
        "a.yaml",
        "link.yaml",
    ]


def test_mounted_config_map_is_read_through_its_links(tmp_path: Path) -> None:
    (tmp_path / "..1").mkdir()
    (tmp_path / "..1" / "a.yaml").write_bytes(b"one")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")

    assert Folder(str(tmp_path)).take() == (File(f"{tmp_path}/a.yaml", b"one"),)


def test_directory_over_the_size_or_file_limit_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        (tmp_path / f"{number}.yaml").write_bytes(b"#" * 100)
    folder = Folder(str(tmp_path))

    monkeypatch.setattr(files, "MAX_TOTAL", 399)
    (file,) = folder.take()
    assert (file.content, file.problem) == (None, "its YAML files have more than 0 MiB")

    monkeypatch.setattr(files, "MAX_FILES", 3)
    (file,) = folder.take()
    assert file.problem.startswith("more than 3 YAML files")


def test_directory_nested_too_deep_is_rejected(tmp_path: Path) -> None:
    path = tmp_path
    for _ in range(40):
        path = path / "d"
        path.mkdir()

    (file,) = Folder(str(tmp_path)).take()

    assert "too deep" in file.problem


def test_single_file_is_read_as_a_folder_of_one(tmp_path: Path) -> None:
    (tmp_path / "routes.txt").write_text("a: 1")

    assert Folder(str(tmp_path / "routes.txt")).take() == (File(str(tmp_path / "routes.txt"), b"a: 1"),)


def test_files_of_other_names_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.yaml", "b.yml", "sub/c.json", "d.yaml.bak", ".e.yaml.swp", "f.yaml~", "#g.yaml#"):
        (tmp_path / name).touch()
    folder = Folder(str(tmp_path))

    assert [file.name for file in folder.take()] == [f"{tmp_path}/a.yaml", f"{tmp_path}/b.yml"]
    assert folder.passed_over == (f"{tmp_path}/d.yaml.bak", f"{tmp_path}/sub/c.json")


@pytest.mark.parametrize("name", ["gone", "nul\0"])
def test_path_that_does_not_exist_is_reported(name: str, tmp_path: Path) -> None:

    (file,) = Folder(str(tmp_path / name)).take()

    assert file.problem.startswith("cannot be read: ")


def test_file_removed_before_reading_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").touch()
    folder, read = Folder(str(tmp_path)), files.read

    def late(path: str, *, regular: bool = False) -> File:
        os.unlink(path)
        return read(path, regular=regular)

    monkeypatch.setattr(files, "read", late)
    assert folder.take() == (File(f"{tmp_path}/a.yaml", None, "cannot be read: No such file or directory"),)
    # The second look, which has to agree before anything is done, knows nothing of it.
    assert folder.take() == ()


def test_file_is_reread_only_while_its_mtime_is_recent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_bytes(b"one")
    folder, read, count = Folder(str(tmp_path)), files.read, []

    def counting(path: str, *, regular: bool = False) -> File:
        count.append(path)
        return read(path, regular=regular)

    monkeypatch.setattr(files, "read", counting)
    folder.take()
    folder.take()
    assert len(count) == 2  # just written

    monkeypatch.setattr(files, "_YOUNG_NS", -(10**12))  # as if it were old
    folder.take()
    assert len(count) == 2

    (tmp_path / "a.yaml").write_bytes(b"two")
    assert folder.take()[0].content == b"two"


def test_change_with_equal_size_and_mtime_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_YOUNG_NS", -(10**12))
    path = tmp_path / "a.yaml"
    path.write_bytes(b"one")
    before = path.stat()
    folder = Folder(str(tmp_path))
    folder.take()

    path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    # The file system's clock may not have ticked since the first write; another write shows that it has.
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert folder.take()[0].content == b"two"


def test_file_given_twice_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.touch()

    found = list(files.gather([str(tmp_path), str(path), f"{tmp_path}/./a.yaml"]))

    assert [file.name for file in found] == [str(path)]


def test_empty_directory_is_reported(tmp_path: Path) -> None:
    (file,) = files.gather([str(tmp_path)])

    assert file.problem == "no *.yaml or *.yml in this directory"
