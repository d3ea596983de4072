"""How near a process is to its limits: cgroups of both versions, none, and no descriptor to look with."""

import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from inferway_dataplane.system import resource_monitor

MIB = 1 << 20


def cgroup_v2(directory: Path, limit: str, current: int, inactive: int = 0) -> Path:
    (directory / "memory.max").write_text(limit + "\n")
    (directory / "memory.current").write_text(f"{current}\n")
    (directory / "memory.stat").write_text(f"anon 1\ninactive_anon 7\ninactive_file {inactive}\nactive_file 3\n")
    return directory


def cgroup_v1(directory: Path, limit: int, usage: int, inactive: int = 0) -> Path:
    memory = directory / "memory"
    memory.mkdir()
    (memory / "memory.limit_in_bytes").write_text(f"{limit}\n")
    (memory / "memory.usage_in_bytes").write_text(f"{usage}\n")
    (memory / "memory.stat").write_text(f"inactive_file 1\ntotal_inactive_file {inactive}\n")
    return directory


def test_memory_share_excludes_reclaimable_memory(tmp_path: Path) -> None:
    assert resource_monitor.Memory(0, cgroup_v2(tmp_path, "1000", 900, 300)).share() == pytest.approx(0.6)


def test_memory_share_of_cgroup_v1_excludes_reclaimable_memory(tmp_path: Path) -> None:
    assert resource_monitor.Memory(0, cgroup_v1(tmp_path, 1000, 900, 300)).share() == pytest.approx(0.6)


@pytest.mark.parametrize("limit", ["max", str(1 << 63)])
def test_memory_share_without_a_cgroup_v2_limit_is_0(tmp_path: Path, limit: str) -> None:
    assert resource_monitor.Memory(0, cgroup_v2(tmp_path, limit, 1 << 40)).share() == 0


def test_memory_share_without_a_cgroup_v1_limit_is_0(tmp_path: Path) -> None:
    assert resource_monitor.Memory(0, cgroup_v1(tmp_path, 9223372036854771712, 1 << 40)).share() == 0


def test_memory_share_without_cgroups_is_0(tmp_path: Path) -> None:
    assert resource_monitor.Memory(0, tmp_path).share() == 0


def test_memory_share_is_never_negative(tmp_path: Path) -> None:
    assert resource_monitor.Memory(0, cgroup_v2(tmp_path, "1000", 100, 300)).share() == 0


def test_memory_share_of_a_set_limit_uses_resident_memory(tmp_path: Path) -> None:
    cgroup_v2(tmp_path, "1", 1)  # is not looked at
    share = resource_monitor.Memory(1 << 30, tmp_path).share()
    assert 10 * MIB < share * (1 << 30) < 1 << 30


def raise_emfile(*args: Any, **options: Any) -> Any:
    raise OSError(errno.EMFILE, "Too many open files")


def raise_io_error(*args: Any, **options: Any) -> Any:
    raise OSError(errno.EIO, "Input/output error")


def test_memory_share_is_kept_without_a_free_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = resource_monitor.Memory(0, cgroup_v2(tmp_path, "1000", 900))
    assert memory.share() == pytest.approx(0.9)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", raise_emfile)
        assert memory.share() == pytest.approx(0.9)
    cgroup_v2(tmp_path, "1000", 100)
    assert memory.share() == pytest.approx(0.1)
    monkeypatch.setattr(Path, "read_text", raise_io_error)
    with pytest.raises(OSError, match="Input/output"):
        memory.share()


def test_open_descriptors_are_counted() -> None:
    before, following = resource_monitor.open_descriptors(), resource_monitor.next_descriptor()
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(10)]
    try:
        assert resource_monitor.open_descriptors() == before + 10
        assert opened[0] == following
        assert resource_monitor.next_descriptor() > opened[-1]
    finally:
        for number in opened:
            os.close(number)
    assert resource_monitor.open_descriptors() == before
    assert resource_monitor.next_descriptor() == following


def test_descriptor_count_without_a_free_descriptor_is_maximal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "listdir", raise_emfile)
    monkeypatch.setattr(os, "open", raise_emfile)
    assert resource_monitor.open_descriptors() == sys.maxsize
    assert resource_monitor.next_descriptor() == sys.maxsize


def test_other_descriptor_errors_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "listdir", raise_io_error)
    monkeypatch.setattr(os, "open", raise_io_error)
    with pytest.raises(OSError, match="Input/output"):
        resource_monitor.open_descriptors()
    with pytest.raises(OSError, match="Input/output"):
        resource_monitor.next_descriptor()


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "raised"),
    [(256, 1024, 1024, (1024, 1024)), (1024, 1024, 1024, None), (256, -1, 1 << 20, (1 << 20, 1 << 20))],
)
def test_soft_descriptor_limit_is_raised_as_far_as_allowed(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, wanted: int, raised: tuple[int, int] | None
) -> None:
    done: list[tuple[int, int]] = []
    monkeypatch.setattr("resource.getrlimit", lambda which: (soft, hard))
    monkeypatch.setattr("resource.setrlimit", lambda which, limits: done.append(limits))
    assert resource_monitor.descriptors() == wanted
    assert done == ([raised] if raised else [])
