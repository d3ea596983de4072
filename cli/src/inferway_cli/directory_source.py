"""The data plane's source on a directory of YAML: compiled and watched as a whole.

The watch checks times and sizes of the files every 200 ms instead of asking for events: that works with symbolic links,
mounted ConfigMaps, atomic renames and network file systems, and costs some microseconds a file. Only a change of content
counts, not of times.
"""

import asyncio
import logging
import threading
import time
from typing import Final, NamedTuple

from inferway_cli.manifests import compilation as manifest_compilation
from inferway_cli.manifests import reader
from inferway_cli.manifests.diagnostics import lines
from inferway_cli.manifests.files import Folder
from inferway_cli.manifests.reader import File
from inferway_contract.document import ConfigDocument, EndpointsDocument
from inferway_dataplane.sources import Receiver, Refused, SourceState

INTERVAL: Final = 0.2
"""Seconds between two checks: a change is served well within a second."""
SETTLE: Final = 0.05
"""Seconds between two checks that must agree before a change is used: editors and `cp` write in pieces."""
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


class InvalidDirectoryError(Exception):
    """The directory cannot be served. The message has every error, one a line."""


class DirectorySource:
    """A `Source` of the documents of a directory."""

    waiting = "the directory is being read"
    ends_with_process = False
    """There may be no supervisor to restart the process, and a restart fails on an invalid directory."""
    state = SourceState()  # without a connection and a copy
    error = ""  # the gateway keeps the last error

    def __init__(self, directory: str, interval: float = INTERVAL, settle: float = SETTLE) -> None:
        self.directory = directory
        self._interval = interval
        self._settle = settle
        self._folder = Folder(directory)
        self._files: tuple[File, ...] = ()
        self._first: Documents | None = None
        self._warned: frozenset[str] = frozenset()
        self._stopped = threading.Event()
        self._pause = interval

    def load(self) -> Documents:
        """Read and compile for the first time; raise `InvalidDirectoryError` if that fails."""
        # `follow` continues from here and does not log these warnings again.
        self._first = self._load()
        self._warned = frozenset(self._first.warnings)
        return self._first

    def _load(self) -> Documents:
        self._files = self._settled(self._folder.take())
        return build(self.directory, self._files)

    async def follow(self, receiver: Receiver) -> None:
        """Run until cancelled; raise `Refused` if the first documents cannot be compiled."""
        try:
            # Everything that takes time runs in a thread, because the loop serves requests.
            served = await asyncio.to_thread(self._load) if self._first is None else self._first
        except InvalidDirectoryError as error:
            raise Refused(str(error)) from None
        self._warn(served)
        receiver.accept(served.config, served.endpoints)
        try:
            await self._watch(receiver, served)
        finally:
            self._stopped.set()

    async def _watch(self, receiver: Receiver, served: Documents) -> None:
        rejected = ""
        while True:
            await asyncio.sleep(self._pause)
            try:
                change = await asyncio.to_thread(self._change)
                if change is None:
                    continue
                self._warn(change)
                # After a rejection even unchanged documents are passed on, which clears the error.
                if rejected or change[:2] != served[:2]:
                    receiver.accept(change.config, change.endpoints)
                served, rejected = change, ""
            except InvalidDirectoryError as error:
                if str(error) != rejected:
                    rejected = str(error)
                    receiver.reject(rejected)
            except Refused as error:
                rejected = str(error)  # the receiver has logged it
            except Exception as error:
                # An unexpected error must not end the watch: the next change may not cause it.
                log.exception("cannot read the directory")
                rejected = f"internal error: {type(error).__name__}"
                receiver.reject(rejected)

    def _change(self) -> Documents | None:
        """Return new documents if the files have changed and settled; raise `InvalidDirectoryError` for invalid ones."""
        started = time.thread_time()
        files = self._folder.take()
        self._pause = max(self._interval, (time.thread_time() - started) / _SHARE)
        if files == self._files or (files := self._settled(files)) == self._files:
            return None
        self._files = files
        return build(self.directory, files)

    def _settled(self, files: tuple[File, ...]) -> tuple[File, ...]:
        deadline = time.monotonic() + SETTLE_AT_MOST
        while not self._stopped.wait(self._settle):
            current = self._folder.take()
            if current == files or time.monotonic() > deadline:
                return current
            files = current
        return files

    def _warn(self, documents: Documents) -> None:
        for text in documents.warnings:
            if text not in self._warned:
                log.warning("a manifest needs attention", extra={"manifest": text})
        self._warned = frozenset(documents.warnings)


def build(directory: str, files: tuple[File, ...]) -> Documents:
    """Compile files; raise `InvalidDirectoryError` for any error: half of a change is worse than the live documents."""
    loaded = reader.load(files)
    if loaded.errors:
        raise InvalidDirectoryError("\n".join(lines(loaded.errors)))
    if not any(manifest.kind == "GatewayRoute" for manifest in loaded.manifests):
        raise InvalidDirectoryError(f"no GatewayRoute found in {directory}")
    compilation = manifest_compilation.compile_manifests(loaded.manifests)
    findings = manifest_compilation.findings(compilation, loaded.manifests)
    warnings = lines(loaded.notes) + lines([diagnostic for _, diagnostic in findings])
    return Documents(compilation.config, compilation.endpoints, tuple(warnings))
