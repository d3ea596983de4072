"""How near this process is to its limits of memory and descriptors. The wheel calls it, never a request.

All of it works when no descriptor is left: then it is needed most, and every file costs one.
"""

import errno
import os
import resource
import sys
from pathlib import Path
from typing import Final

TIGHT: Final = 0.85
"""Share of the memory limit above which connections are not kept alive."""
FULL: Final = 0.92
"""Share of the memory limit above which new work is rejected."""

_CGROUP: Final = Path("/sys/fs/cgroup")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    """Raise the soft limit of descriptors to the hard one, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = max(soft, 1 << 20)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def open_descriptors() -> int:
    """Count the open descriptors; `sys.maxsize` when none is left for that. Costs a directory listing."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError as error:
        if error.errno in NO_DESCRIPTOR:
            return sys.maxsize
        raise


def next_descriptor() -> int:
    """Return the lowest free number: at least as many descriptors are open. Costs little."""
    try:
        number = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in NO_DESCRIPTOR:
            return sys.maxsize
        raise
    os.close(number)
    return number


NO_DESCRIPTOR: Final = frozenset((errno.EMFILE, errno.ENFILE))
"""No descriptor is left: for this process, for the system."""


class Memory:
    """Memory use and its limit: of the cgroup, or of the process."""

    def __init__(self, limit: int, cgroup: Path = _CGROUP) -> None:
        """`limit`: bytes of resident memory; 0 = that of the cgroup (v2 or v1)."""
        self._cgroup: Path | None = None
        self._limit = limit
        self._current = self._stat = ""
        self._inactive = ""
        self._share = 0.0  # when it was last read
        if not limit:
            for name, current, inactive in (
                ("memory.max", "memory.current", "inactive_file"),
                ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
            ):
                self._take_cgroup(cgroup, name, current, inactive)

    def _take_cgroup(self, cgroup: Path, name: str, current: str, inactive: str) -> None:
        try:
            text = (cgroup / name).read_text().strip()
        except OSError:
            return  # the other version of cgroups, or none
        # In v1 a number near 2**63 means "no limit".
        if self._limit or not text.isdigit() or int(text) >= 1 << 60:
            return
        self._limit, self._cgroup = int(text), cgroup
        self._current, self._inactive = current, inactive
        self._stat = str(Path(current).with_name("memory.stat"))

    def share(self) -> float:
        """Return the used share of the limit; 0 without a limit. Without a free descriptor: the last share."""
        if not self._limit:
            return 0.0
        try:
            used = _resident() if self._cgroup is None else self._working_set(self._cgroup)
        except OSError as error:
            if error.errno not in NO_DESCRIPTOR:
                raise
        else:
            self._share = used / self._limit
        return self._share

    def _working_set(self, cgroup: Path) -> int:
        """Return the bytes in use without inactive page cache, as the kubelet counts them."""
        used = int((cgroup / self._current).read_text())
        for line in (cgroup / self._stat).read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == self._inactive:
                return max(used - int(value), 0)
        return used


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * _PAGE
