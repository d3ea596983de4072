"""The data plane's source on a directory of YAML, or on one file: compiled and watched as a whole.

The watch checks times and sizes of the files every 200 ms instead of asking for events: that works with symbolic links,
mounted ConfigMaps, atomic renames and network file systems, and costs some microseconds a file. Only a change of content
counts, not of times.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

from inferway_cli.manifests import compilation as manifest_compilation
from inferway_cli.manifests import kept_files
from inferway_cli.manifests.compilation import Severity
from inferway_cli.manifests.diagnostics import Diagnostic, lines
from inferway_cli.manifests.files import Folder
from inferway_cli.manifests.reader import File
from inferway_contract import canonical
from inferway_contract.document import ConfigDocument, EndpointsDocument
from inferway_dataplane.sources import Receiver, Refused, SourceState

INTERVAL: Final = 0.2
"""Seconds between two checks: a change is served well within a second."""
SETTLE: Final = 0.05
"""Seconds between two checks that must agree before a change is used: editors and `cp` write in pieces."""
REST: Final = 0.3
"""Seconds without a change that a file needs which is gone or shorter than before: its writer may be about to write it."""
SETTLE_AT_MOST: Final = 2.0
"""Seconds after which a directory that never rests is used as it is: one file must not delay the others forever."""
# Share of one core that the checks may take; a directory of thousands of files is checked less often.
_SHARE: Final = 0.1

log = logging.getLogger("inferway.directory")


class Documents(NamedTuple):
    """The compiled documents of a directory, with warnings for its authors."""

    config: ConfigDocument
    endpoints: EndpointsDocument
    warnings: tuple[str, ...]
    whole: Mapping[str, bytes]
    """Content of each file with a manifest, by name."""
    revision: str
    """The config's."""


class Files(Protocol):
    """What the manifests are read from."""

    @property
    def path(self) -> str:
        """The directory, or the file."""

    @property
    def passed_over(self) -> tuple[str, ...]:
        """Files that were not read."""

    def take(self) -> tuple[File, ...]:
        """Return all files as they are now, sorted by name."""

    def forget(self) -> None:
        """Read every file again at the next `take`."""


class InvalidDirectoryError(Exception):
    """The directory cannot be served. The message has every error, one a line."""


class DirectorySource:
    """A `Source` of the documents of a directory."""

    waiting = "the directory is being read"
    ends_with_process = False
    """There may be no supervisor to restart the process, and a restart fails on an invalid directory."""
    state = SourceState()  # without a connection and a copy
    error = ""  # the gateway keeps the last error

    def __init__(self, files: str | Files, interval: float = INTERVAL, settle: float = SETTLE) -> None:
        """`files`: the path of a directory or of a file, or what reads them. `interval`, `settle`: seconds."""
        self._folder: Files = Folder(files) if isinstance(files, str) else files
        self._interval = interval
        self._settle = settle
        self._files: tuple[File, ...] = ()
        self._whole: Mapping[str, bytes] = {}  # of the served documents
        self._reload_wanted = asyncio.Event()
        self._first: Documents | None = None
        self._warned: frozenset[str] = frozenset()
        self._stopped = threading.Event()
        self._pause = interval

    @property
    def passed_over(self) -> tuple[str, ...]:
        """Files of the directory that are not read."""
        return self._folder.passed_over

    def reload(self) -> None:
        """Read all files again at once, and report their errors again."""
        self._reload_wanted.set()

    def load(self) -> Documents:
        """Read and compile for the first time; raise `InvalidDirectoryError` if that fails."""
        # `follow` continues from here and does not log these warnings again.
        self._first = self._load()
        self._warned = frozenset(self._first.warnings)
        return self._first

    def _load(self) -> Documents:
        self._files = self._settled(self._folder.take())
        return self._build()

    def _build(self) -> Documents:
        documents = build(self._folder.path, self._files, self._whole)
        self._whole = documents.whole
        return documents

    async def follow(self, receiver: Receiver) -> None:
        """Run until cancelled; raise `Refused` if the first documents cannot be compiled."""
        try:
            # Everything that takes time runs in a thread, because the loop serves requests.
            served = await asyncio.to_thread(self._load) if self._first is None else self._first
        except InvalidDirectoryError as error:
            raise Refused(str(error)) from None
        self._warn(served)
        await receiver.accept(served.config, served.endpoints, served.revision)
        try:
            await self._watch(receiver, served)
        finally:
            self._stopped.set()

    async def _watch(self, receiver: Receiver, served: Documents) -> None:
        rejected = ""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause):  # `wait_for` of Python 3.11 may lose a cancellation
                    await self._reload_wanted.wait()
            is_wanted = self._reload_wanted.is_set()
            self._reload_wanted.clear()
            try:
                change = await asyncio.to_thread(self._change, is_wanted)
                if change is None:
                    continue
                self._warn(change)
                # After a rejection even unchanged documents are passed on, which clears the error.
                if rejected or change[:2] != served[:2]:
                    await receiver.accept(change.config, change.endpoints, change.revision)
                served, rejected = change, ""
            except InvalidDirectoryError as error:
                if is_wanted or str(error) != rejected:
                    rejected = str(error)
                    receiver.reject(rejected)
            except Refused as error:
                rejected = str(error)  # the receiver has logged it
            except Exception as error:
                # An unexpected error must not end the watch: the next change may not cause it.
                log.exception("cannot read the directory")
                rejected = f"internal error: {type(error).__name__}"
                receiver.reject(rejected)

    def _change(self, is_wanted: bool) -> Documents | None:
        """Return new documents if the files have changed and settled; raise `InvalidDirectoryError` for invalid ones.

        `is_wanted`: unchanged files are compiled too.
        """
        if is_wanted:
            self._folder.forget()
        started = time.thread_time()
        files = self._folder.take()
        self._pause = max(self._interval, (time.thread_time() - started) / _SHARE)
        if is_wanted:
            files = self._settled(files)
        elif files == self._files or (files := self._settled(files)) == self._files:
            return None
        self._files = files
        return self._build()

    def _settled(self, files: tuple[File, ...]) -> tuple[File, ...]:
        changed = time.monotonic()
        deadline = changed + SETTLE_AT_MOST
        while not self._stopped.wait(self._settle):
            current, now = self._folder.take(), time.monotonic()
            if current != files:
                changed = now
            elif now - changed >= REST or not kept_files.are_shorter(current, self._whole):
                return current
            if now > deadline:
                return current
            files = current
        return files

    def _warn(self, documents: Documents) -> None:
        for text in documents.warnings:
            if text not in self._warned:
                log.warning("a manifest needs attention", extra={"manifest": text})
        self._warned = frozenset(documents.warnings)


def build(path: str, files: tuple[File, ...], before: Mapping[str, bytes]) -> Documents:
    """Compile files; raise `InvalidDirectoryError` for any error: half of a change is worse than the live documents.

    `before`: content of the files that were whole, by name.
    """
    checked = manifest_compilation.check(files)
    loaded = checked.loaded
    errors = [*checked.errors, *kept_files.errors(files, loaded, before)]
    if errors:
        raise InvalidDirectoryError("\n".join(lines(errors)))
    if not any(manifest.kind == "GatewayRoute" for manifest in loaded.manifests):
        raise InvalidDirectoryError(f"no GatewayRoute found in {path}")
    whole = kept_files.whole(files, loaded)
    noted = {note.file for note in loaded.notes}
    empty = (file.name for file in files if file.name not in whole and file.name not in noted)
    notes = [*loaded.notes, *(Diagnostic(name, 0, (), (), "has no manifest that is read here") for name in empty)]
    warnings = lines([*notes, *checked.of(Severity.UNRESOLVED, Severity.IDLE, Severity.NOTED)])
    config = checked.compilation.config
    return Documents(config, checked.compilation.endpoints, tuple(warnings), whole, canonical.revision(config))
