"""The last good documents on disk: what a container that restarts serves while the API server is away.

A *head* names the indexes of both documents; beside it lies a file for each shard, called by its digest. The head begins
with its own hash and is replaced last, by a rename. Whatever stops the process, the folder holds a whole state or says
that it does not: every byte that is read is checked against a hash.
"""

import os
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from inferway_contract.canonical import canonical, digest
from inferway_contract.document import DocumentModel, Endpoint
from inferway_contract.sharding import (
    ConfigIndex,
    ConfigShard,
    EndpointsIndex,
    EndpointsShard,
    Shard,
    ShardRef,
    config_of,
    endpoints_of,
    read_shard,
)
from inferway_dataplane.sources.assembly import Assembled, Documents, digests, parse_index

_HEAD: Final = "last-good"
_SHARD: Final = ".shard"
_PART: Final = ".part"
_HEX: Final = frozenset("0123456789abcdef")


class Head(DocumentModel):
    """What the last good state consists of."""

    format: Literal[1] = 1
    config: str
    """The index of the config, as it was published."""
    endpoints: str
    """The index of the endpoints."""
    kept: dict[str, tuple[Endpoint, ...]]
    """Addresses beside those endpoints (`assembling.Documents.kept`)."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was read: the documents, and their shards by digest."""

    documents: Documents
    config_shards: dict[str, ConfigShard]
    endpoints_shards: dict[str, EndpointsShard]


class LastGood:
    """A folder. Everything here blocks: call it in a thread, and not twice at a time."""

    def __init__(self, directory: str) -> None:
        self._folder = Path(directory)

    def save(self, head: Head, shards: Mapping[str, bytes], known: Set[str]) -> None:
        """Replace what is there. `OSError`, and then what was there before still holds.

        `shards`: by digest, those that may not be on disk yet. `known`: digests that a later head may name without giving the
        bytes once more, so they stay.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, content in shards.items():
            if not self._shard(name).exists():
                self._write(self._shard(name), content)
        used = digests(parse_index(ConfigIndex, head.config).index) | digests(
            parse_index(EndpointsIndex, head.endpoints).index
        )
        if lost := [name for name in used if not self._shard(name).exists()]:
            raise OSError(f"{len(lost)} shards that were written are not there any more")
        text = canonical(head)
        self._write(self._folder / _HEAD, digest(text).encode() + b"\n" + text)
        self._sweep(used | known)

    def read(self) -> Restored | None:
        """What was saved last; None = nothing ever was. `ValueError` where it is not whole, `OSError`."""
        try:
            told, newline, text = (self._folder / _HEAD).read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        if not newline or told.decode("latin-1") != digest(text):
            raise ValueError("the head does not have the hash that it begins with: it is truncated or was changed")
        try:
            head = Head.model_validate_json(text)
        except ValidationError as error:
            raise ValueError(f"the head cannot be read: {error.errors(include_url=False)[0]['msg']}") from None
        config_index, endpoints_index = (
            parse_index(ConfigIndex, head.config),
            parse_index(EndpointsIndex, head.endpoints),
        )
        config_shards = {ref.digest: self._read(ConfigShard, ref) for ref in config_index.index.shards}
        endpoints_shards = {ref.digest: self._read(EndpointsShard, ref) for ref in endpoints_index.index.shards}
        config = config_of(config_index.index, lambda ref: config_shards[ref.digest])
        found = endpoints_of(endpoints_index.index, lambda ref: endpoints_shards[ref.digest])
        endpoints = found.model_copy(update={"services": {**found.services, **head.kept}})
        documents = Documents(
            Assembled(config, config_index.revision, head.config, digests(config_index.index)),
            Assembled(endpoints, endpoints_index.revision, head.endpoints, digests(endpoints_index.index)),
            head.kept,
        )
        return Restored(documents, config_shards, endpoints_shards)

    def _read(self, model: type[Shard], ref: ShardRef) -> Shard:
        try:
            content = self._shard(ref.digest).read_bytes()
        except FileNotFoundError:
            raise ValueError(f"shard {ref.name} is not there") from None
        return read_shard(model, ref, content)

    def _shard(self, name: str) -> Path:
        # A digest comes from an index, which says what it likes: it names no path.
        if not _HEX.issuperset(name):
            raise ValueError(f"{name!r} is no digest")
        return self._folder / f"{name}{_SHARD}"

    def _write(self, target: Path, content: bytes) -> None:
        """A file that is there with all of its content, or not at all."""
        part = target.with_name(target.name + _PART)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.rename(target)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _sweep(self, used: Set[str]) -> None:
        for file in self._folder.iterdir():
            if file.suffix == _PART or (file.suffix == _SHARD and file.stem not in used):
                file.unlink(missing_ok=True)
