"""A directory of YAML as the data plane's source: compiled, watched, and never half read.

The watch looks at the files every 200 ms. It asks the file system for times and sizes, not for events: that works
through symbolic links, mounted ConfigMaps, atomic renames and network file systems alike, and costs some microseconds a
file. What counts is content: a file that was only touched changes nothing.
"""

import asyncio
import logging
import threading
import time
from typing import Final, NamedTuple

from inferway_cli.manifests import compilation as manifest_compilation
from inferway_cli.manifests import reader
from inferway_cli.manifests.diagnostics import report, told
from inferway_cli.manifests.files import Folder
from inferway_cli.manifests.reader import File
from inferway_contract.document import ConfigDocument, EndpointsDocument
from inferway_dataplane.sources import Receiver, Refused, SourceState

INTERVAL: Final = 0.2
"""Seconds between two looks: a change is served well within a second."""
SETTLE: Final = 0.05
"""Seconds between two looks that have to agree before a change is taken: editors and `cp` write in pieces."""
SETTLE_AT_MOST: Final = 2.0
"""After this a directory that never rests is taken as it is: a file that is always being written must not hide others."""
# Share of one core that looking may take; a directory of thousands of files is looked at less often.
_SHARE: Final = 0.1

log = logging.getLogger("inferway.directory")


class Documents(NamedTuple):
    """What a directory compiles to, and what its authors should know although it is served."""

    config: ConfigDocument
    endpoints: EndpointsDocument
    warnings: tuple[str, ...]


class Broken(Exception):  # noqa: N818 - it names the state of the directory
    """The directory is no state that could be served. The message tells every mistake, one a line."""


class DirectorySource:
    """Brings the documents of a directory: a `Source`."""

    waiting = "the directory is being read"
    ends_with_process = False
    """Nobody may be there to start it again, and a directory that is broken by then is none to start from."""
    state = SourceState()  # it has neither a connection nor a copy
    error = ""  # after a refusal nothing else is served, so the gateway knows the last error

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
        """Read and compile for the first time; `Broken` when there is nothing to start with.

        `follow` goes on from here. Who calls this has the warnings, and they are not logged.
        """
        self._first = self._load()
        self._warned = frozenset(self._first.warnings)
        return self._first

    def _load(self) -> Documents:
        self._files = self._settled(self._folder.take())
        return build(self.directory, self._files)

    async def follow(self, receiver: Receiver) -> None:
        """Runs until it is cancelled. Raises `Refused` when there is no first document to start with."""
        try:
            # Everything that takes time happens in a thread: the loop has requests to serve.
            served = await asyncio.to_thread(self._load) if self._first is None else self._first
        except Broken as error:
            raise Refused(str(error)) from None
        self._warn(served)
        receiver.accept(served.config, served.endpoints)
        try:
            await self._watch(receiver, served)
        finally:
            self._stopped.set()

    async def _watch(self, receiver: Receiver, served: Documents) -> None:
        refused = ""
        while True:
            await asyncio.sleep(self._pause)
            try:
                change = await asyncio.to_thread(self._change)
                if change is None:
                    continue
                self._warn(change)
                # After a refusal even what is served already is given again, so that the error is seen to be mended.
                if refused or change[:2] != served[:2]:
                    receiver.accept(change.config, change.endpoints)
                served, refused = change, ""
            except Broken as error:
                if str(error) != refused:
                    refused = str(error)
                    receiver.reject(refused)
            except Refused as error:
                refused = str(error)  # the receiver has told it
            except Exception as error:
                # A mistake of ours must not end the watch: the next change may not meet it.
                log.exception("cannot read the directory")
                refused = f"internal error: {type(error).__name__}"
                receiver.reject(refused)

    def _change(self) -> Documents | None:
        """New documents, when the files have changed and have come to rest. `Broken` when they are none."""
        started = time.thread_time()
        files = self._folder.take()
        self._pause = max(self._interval, (time.thread_time() - started) / _SHARE)
        if files == self._files:
            return None
        files = self._settled(files)
        if files == self._files:
            return None
        self._files = files
        return build(self.directory, files)

    def _settled(self, files: tuple[File, ...]) -> tuple[File, ...]:
        deadline = time.monotonic() + SETTLE_AT_MOST
        while not self._stopped.wait(self._settle):
            again = self._folder.take()
            if again == files or time.monotonic() > deadline:
                return again
            files = again
        return files

    def _warn(self, documents: Documents) -> None:
        for text in documents.warnings:
            if text not in self._warned:
                log.warning("a manifest needs attention", extra={"manifest": text})
        self._warned = frozenset(documents.warnings)


def build(directory: str, files: tuple[File, ...]) -> Documents:
    """Files as documents. `Broken` for any mistake in them: half of what was meant is worse than what is served."""
    loaded = reader.load(files)
    if loaded.mistakes:
        raise Broken(report(loaded.mistakes))
    if not any(manifest.kind == "GatewayRoute" for manifest in loaded.manifests):
        raise Broken(f"no GatewayRoute found in {directory}")
    compilation = manifest_compilation.compiled(loaded.manifests)
    found = manifest_compilation.findings(compilation, loaded.manifests)
    warnings = told(loaded.notes) + told([finding.mistake for finding in found])
    return Documents(compilation.config, compilation.endpoints, tuple(warnings))
