"""Which files are read, and their bytes. Whatever keeps a file from being read is told, not raised."""

import os
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from inferway_cli.manifests.reader import File

MAX_BYTES: Final = 1 << 20
"""Of one file: a thousand routes."""
"""Of one file: what a cluster could keep of it, etcd's largest object, is not more."""
MAX_FILES: Final = 10_000
MAX_TOTAL: Final = 64 << 20
_MAX_ENTRIES: Final = 100_000
_MAX_LEVELS: Final = 32
# A second write within one tick of the file system's clock leaves no trace in a file's times: what was read of a file
# that had just been written is not trusted, and is read again.
_YOUNG_NS: Final = 2_000_000_000

STDIN: Final = "-"


class _Seen(NamedTuple):
    path: str
    signature: tuple[int, ...]
    size: int
    changed_ns: int
    problem: str = ""


class _Read(NamedTuple):
    seen: _Seen
    at_ns: int
    file: File


class _Excess(Exception):  # noqa: N818 - it names what there is
    pass


class Folder:
    """A directory whose YAML files are read again and again; unchanged ones only once.

    Hidden files are passed over (a mounted ConfigMap keeps its data in `..data`), and what editors leave while they
    write: `.x.yaml.swp`, `x.yaml~`, `#x.yaml#`. Symbolic links are followed, each directory once.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._read: dict[str, _Read] = {}

    def take(self) -> tuple[File, ...]:
        """All files as they are now, in the order of their names."""
        try:
            seen = sorted(_walk(self.path))
        except _Excess as error:
            return (File(self.path, None, str(error)),)
        except (OSError, ValueError) as error:
            return (File(self.path, None, _reason(error)),)
        if sum(item.size for item in seen) > MAX_TOTAL:
            return (File(self.path, None, f"its YAML files have more than {MAX_TOTAL >> 20} MiB"),)
        older, self._read = self._read, {}
        return tuple(self._file(item, older.get(item.path)) for item in seen)

    def _file(self, item: _Seen, older: _Read | None) -> File:
        if item.problem:
            return File(item.path, None, item.problem)
        if older is None or older.seen != item or older.at_ns < item.changed_ns + _YOUNG_NS:
            # The time is taken first: what is written while we read is younger than that.
            older = _Read(item, time.time_ns(), read(item.path, regular=True))
        self._read[item.path] = older
        return older.file


def gather(paths: Iterable[str]) -> Iterator[File]:
    """The files of a command line: files as they are named, directories as `Folder` reads them, `-` = standard input.

    A file that is reached twice is read once.
    """
    known: set[str] = set()
    for path in paths:
        if path == STDIN:
            found: Iterable[File] = [_standard_input()] if STDIN not in known else []
            known.add(STDIN)
        elif os.path.isdir(path):
            found = Folder(path).take() or [File(path, None, "no *.yaml or *.yml in this directory")]
        else:
            found = [read(path)]
        for file in found:
            real = os.path.realpath(file.name)
            if path == STDIN or real not in known:
                known.add(real)
                yield file


def read(path: str, *, regular: bool = False) -> File:
    """One file. With `regular` nothing else is opened: a pipe would keep us waiting for ever."""
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


def _walk(root: str) -> Iterator[_Seen]:
    """Every YAML file below a directory. `OSError` when the directory itself cannot be read."""
    entries = files = 0
    visited: set[tuple[int, int]] = set()
    waiting = [(root, 0)]
    while waiting:
        path, level = waiting.pop()
        try:
            info = os.stat(path)
            # Two ways to one directory, or a link to a directory above it: once is enough.
            if (info.st_dev, info.st_ino) in visited:
                continue
            visited.add((info.st_dev, info.st_ino))
            with os.scandir(path) as listing:
                found = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if path == root:
                raise
            yield _Seen(path, (), 0, 0, _reason(error))
            continue
        entries += len(found)
        for entry in found:
            if entry.name.startswith((".", "#")):
                continue
            is_yaml = entry.name.endswith((".yaml", ".yml"))
            item = _seen(entry, is_yaml)
            if item is None:
                waiting.append((entry.path, level + 1))
            elif is_yaml:
                files += 1
                yield item
        if files > MAX_FILES or entries > _MAX_ENTRIES or level > _MAX_LEVELS:
            raise _Excess(f"more than {MAX_FILES:,} YAML files, or too deep: is it the right directory?")


def _seen(entry: os.DirEntry[str], is_yaml: bool) -> _Seen | None:
    """What an entry is; None for a directory."""
    try:
        info = entry.stat()
    except OSError as error:
        # A broken link; or the file has just gone, and the next look will not list it.
        return _Seen(entry.path, (), 0, 0, _reason(error))
    if stat.S_ISDIR(info.st_mode):
        return None
    if is_yaml and not stat.S_ISREG(info.st_mode):
        return _Seen(entry.path, (), 0, 0, "is not a regular file")
    signature = (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
    return _Seen(entry.path, signature, info.st_size, max(info.st_mtime_ns, info.st_ctime_ns))


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"cannot be read: {text}"
