"""The kernel's figures of a process tree and of the cores: CPU time, peak memory, busy time.

The `parse_*` functions are pure; the others read /proc and parse with them.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class ProcessStat:
    pid: int
    command: str
    parent: int
    cpu_seconds: float
    """User + system time of all threads, ended ones included. The sum is exact to one tick (10 ms); only its division
    into user and system is sampled."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. For a tree the sum; pages shared by its processes are counted once for each."""

    resident: int
    peak: int


@dataclass(frozen=True, slots=True)
class CoreTimes:
    """Ticks since boot of one core. Stolen time is the hypervisor's: neither busy nor idle."""

    busy: int
    idle: int
    stolen: int


def parse_process_stat(text: str) -> ProcessStat:
    """Parse `/proc/PID/stat`. The command is in parentheses and may itself contain spaces and parentheses."""
    opening, closing = text.index("("), text.rindex(")")
    fields = text[closing + 2 :].split()  # fields[0] is the third field of proc(5)
    return ProcessStat(
        pid=int(text[:opening]),
        command=text[opening + 1 : closing],
        parent=int(fields[1]),
        cpu_seconds=(int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND,
    )


def parse_memory(text: str) -> Memory:
    """Parse `/proc/PID/status`; a zombie has neither line."""
    kilobytes = {line.split()[0]: int(line.split()[1]) for line in text.splitlines() if line.startswith("Vm")}
    return Memory(kilobytes.get("VmRSS:", 0) * 1024, kilobytes.get("VmHWM:", 0) * 1024)


def parse_cores(text: str) -> dict[int, CoreTimes]:
    """Parse the lines `cpuN user nice system idle iowait irq softirq steal ...` of `/proc/stat`."""
    cores: dict[int, CoreTimes] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        if not name.startswith("cpu") or name == "cpu":
            continue
        user, nice, system, idle, iowait, irq, softirq, stolen = (int(value) for value in rest.split()[:8])
        cores[int(name[3:])] = CoreTimes(user + nice + system + irq + softirq, idle + iowait, stolen)
    return cores


def busy_percent(before: CoreTimes, after: CoreTimes) -> float:
    """Return the busy percentage of the usable time. An idle counter that steps back by a tick counts as zero."""
    busy, idle = after.busy - before.busy, max(0, after.idle - before.idle)
    return 100.0 * busy / (busy + idle) if busy + idle > 0 else 0.0


def stolen_percent(before: CoreTimes, after: CoreTimes) -> float:
    stolen = after.stolen - before.stolen
    total = (after.busy - before.busy) + max(0, after.idle - before.idle) + stolen
    return 100.0 * stolen / total if total > 0 else 0.0


def family(root: int, processes: dict[int, ProcessStat]) -> list[int]:
    """Return `root` and all its descendants."""
    pids = [root] if root in processes else []
    for pid in pids:  # the list grows during the iteration: children are appended behind their parent
        pids += [child.pid for child in processes.values() if child.parent == pid]
    return pids


def read_cores() -> dict[int, CoreTimes]:
    return parse_cores((PROC / "stat").read_text())


def read_processes() -> dict[int, ProcessStat]:
    processes = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # the process ended meanwhile
                stat = parse_process_stat((entry / "stat").read_text())
                processes[stat.pid] = stat
    return processes


def memory_of(pid: int) -> Memory:
    """Return the memory of one process. Raises `OSError` if it has ended."""
    return parse_memory((PROC / str(pid) / "status").read_text())


def descriptors_of(pid: int) -> int:
    """Return the number of open files and sockets of a process. Raises `OSError` if it has ended."""
    return sum(1 for _ in (PROC / str(pid) / "fd").iterdir())


class Tree:
    """A process and its descendants, read again each time because workers start and end."""

    def __init__(self, root: int) -> None:
        self.root = root

    def cpu_seconds(self) -> dict[int, float]:
        processes = read_processes()
        return {pid: processes[pid].cpu_seconds for pid in family(self.root, processes)}

    def cpu_seconds_since(self, before: dict[int, float]) -> float:
        """Return the CPU time since `before`, by process, so that an ended one (nginx's cache loader) adds nothing."""
        return sum(spent - before.get(pid, 0.0) for pid, spent in self.cpu_seconds().items())

    def memory(self) -> Memory:
        processes = []
        for pid in family(self.root, read_processes()):
            with contextlib.suppress(OSError):
                processes.append(memory_of(pid))
        return Memory(sum(one.resident for one in processes), sum(one.peak for one in processes))

    def reset_peak(self) -> None:
        """Reset the peak. If the kernel does not permit it, the peak since the start is reported."""
        for pid in family(self.root, read_processes()):
            with contextlib.suppress(OSError):
                (PROC / str(pid) / "clear_refs").write_text("5")
