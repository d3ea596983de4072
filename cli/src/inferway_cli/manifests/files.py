"""Files with manifests and their bytes. A file that cannot be read has a `problem`; nothing is raised."""

import os
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from inferway_cli.manifests.reader import File

MAX_BYTES: Final = 1 << 20
"""Largest file in bytes, enough for a thousand routes; etcd's largest object is not larger."""
MAX_FILES: Final = 10_000
MAX_TOTAL: Final = 64 << 20
_MAX_ENTRIES: Final = 100_000
_MAX_LEVELS: Final = 32
# A second write within one tick of the file system's clock does not change a file's times, so a file that was read soon
# after a write is read again.
_YOUNG_NS: Final = 2_000_000_000

STDIN: Final = "-"


class _Entry(NamedTuple):
    path: str
    signature: tuple[int, ...]
    size: int
    changed_ns: int
    problem: str = ""


class _Read(NamedTuple):
    entry: _Entry
    at_ns: int
    file: File


class _TooManyFiles(Exception):  # noqa: N818 - names the condition
    pass


class Folder:
    """A directory whose YAML files are read repeatedly; unchanged ones only once.

    Skips hidden files (a mounted ConfigMap keeps its data in `..data`) and temporary files of editors: `.x.yaml.swp`,
    `x.yaml~`, `#x.yaml#`. Follows symbolic links; visits each directory once.
    """

    def __init__(self, path: str) -> None:
        """`path`: a directory, or a single file."""
        self.path = path
        self.passed_over: tuple[str, ...] = ()
        """Files that are not read, as their names end in neither .yaml nor .yml; without hidden and temporary ones."""
        self._read: dict[str, _Read] = {}

    def forget(self) -> None:
        """Read every file again at the next `take`, whatever its times are."""
        self._read = {}

    def take(self) -> tuple[File, ...]:
        """Return all files as they are now, sorted by name."""
        passed_over: list[str] = []
        try:
            entries = sorted(_walk(self.path, passed_over))
        except _TooManyFiles as error:
            return (File(self.path, None, str(error)),)
        except (OSError, ValueError) as error:
            return (File(self.path, None, _reason(error)),)
        if sum(entry.size for entry in entries) > MAX_TOTAL:
            return (File(self.path, None, f"its YAML files have more than {MAX_TOTAL >> 20} MiB"),)
        self.passed_over = tuple(sorted(passed_over))
        older, self._read = self._read, {}
        return tuple(self._file(entry, older.get(entry.path)) for entry in entries)

    def _file(self, entry: _Entry, older: _Read | None) -> File:
        if entry.problem:
            return File(entry.path, None, entry.problem)
        if older is None or older.entry != entry or older.at_ns < entry.changed_ns + _YOUNG_NS:
            # The time is taken first, so that a write during the read is younger.
            older = _Read(entry, time.time_ns(), read(entry.path, regular=True))
        self._read[entry.path] = older
        return older.file


def gather(paths: Iterable[str]) -> Iterator[File]:
    """Yield the files of a command line: files by name, directories as `Folder` reads them, `-` for standard input."""
    # A file that is given twice is read once.
    yielded: set[str] = set()
    for path in paths:
        if path == STDIN:
            read_files: Iterable[File] = [_standard_input()] if STDIN not in yielded else []
            yielded.add(STDIN)
        elif os.path.isdir(path):
            read_files = Folder(path).take() or [File(path, None, "no *.yaml or *.yml in this directory")]
        else:
            read_files = [read(path)]
        for file in read_files:
            real = os.path.realpath(file.name)
            if path == STDIN or real not in yielded:
                yielded.add(real)
                yield file


def read(path: str, *, regular: bool = False) -> File:
    """Read one file. With `regular` only a regular file is read: a pipe would block."""
    try:
        flags = os.O_RDONLY | os.O_CLOEXEC | (os.O_NONBLOCK if regular else 0)
        with open(os.open(path, flags), "rb") as stream:
            if regular and not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                return File(path, None, "is not a regular file")
            return _limited(path, stream.read(MAX_BYTES + 1))
    except (OSError, ValueError) as error:
        return File(path, None, _reason(error))


def _standard_input() -> File:
    try:
        return _limited("<stdin>", sys.stdin.buffer.read(MAX_BYTES + 1))
    except (OSError, ValueError, AttributeError) as error:
        return File("<stdin>", None, _reason(error))


def _limited(name: str, content: bytes) -> File:
    if len(content) > MAX_BYTES:
        return File(name, None, f"is larger than {MAX_BYTES >> 20} MiB; split it")
    return File(name, content)


def _walk(root: str, passed_over: list[str]) -> Iterator[_Entry]:
    """Yield every YAML file below a directory, or the file itself; raise `OSError` if `root` cannot be read.

    `passed_over` takes the paths of the other files.
    """
    info = os.stat(root)
    if not stat.S_ISDIR(info.st_mode):
        yield _file_entry(root, info)
        return
    entries = files = 0
    visited: set[tuple[int, int]] = set()
    waiting = [(root, 0)]
    while waiting:
        path, level = waiting.pop()
        try:
            info = os.stat(path)
            # A second path to the same directory, or a link to a directory above it.
            if (info.st_dev, info.st_ino) in visited:
                continue
            visited.add((info.st_dev, info.st_ino))
            with os.scandir(path) as listing:
                children = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if path == root:
                raise
            yield _Entry(path, (), 0, 0, _reason(error))
            continue
        entries += len(children)
        for child in children:
            if child.name.startswith((".", "#")):
                continue
            is_yaml = child.name.endswith((".yaml", ".yml"))
            entry = _entry(child)
            if entry is None:
                waiting.append((child.path, level + 1))
            elif is_yaml:
                files += 1
                yield entry
            elif not child.name.endswith("~"):
                passed_over.append(child.path)
        if files > MAX_FILES or entries > _MAX_ENTRIES or level > _MAX_LEVELS:
            raise _TooManyFiles(f"more than {MAX_FILES:,} YAML files, or too deep: is it the right directory?")


def _entry(child: os.DirEntry[str]) -> _Entry | None:
    """Return the entry of a directory's child; None for a directory."""
    try:
        info = child.stat()
    except OSError as error:
        # A broken link, or a file that was just removed.
        return _Entry(child.path, (), 0, 0, _reason(error))
    if stat.S_ISDIR(info.st_mode):
        return None
    return _file_entry(child.path, info)


def _file_entry(path: str, info: os.stat_result) -> _Entry:
    if not stat.S_ISREG(info.st_mode):
        return _Entry(path, (), 0, 0, "is not a regular file")
    signature = (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
    return _Entry(path, signature, info.st_size, max(info.st_mtime_ns, info.st_ctime_ns))


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"cannot be read: {text}"
