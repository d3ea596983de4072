"""From an index to its document: fetches the shards that are not known yet, and parses them beside the loop."""

import asyncio
from collections.abc import Callable
from typing import Final, Generic

from inferway_contract.sharding import Index, Shard, ShardRef, read_shard
from inferway_dataplane.sources.api import Missing, Shards
from inferway_dataplane.sources.assembly import Assembled, Document, ParsedIndex, digests, parse_index, unknown

_AT_ONCE: Final = 4
"""Shards that are asked for together."""


class ShardLoader(Generic[Index, Shard, Document]):
    """Of one of both documents. A shard that is known by its digest is neither fetched nor parsed again."""

    def __init__(
        self,
        shards: Shards,
        index: type[Index],
        shard: type[Shard],
        document_of: Callable[[Index, Callable[[ShardRef], Shard]], Document],
    ) -> None:
        self._shards = shards
        self._index: type[Index] = index
        self._shard: type[Shard] = shard
        self._document_of: Callable[[Index, Callable[[ShardRef], Shard]], Document] = document_of
        self._known: dict[str, Shard] = {}
        self._older: ParsedIndex[Index] | None = None
        self._last: tuple[str, Assembled[Document]] | None = None
        """The index that was gathered last, and its document."""

    async def gather(self, text: str) -> Assembled[Document]:
        """The document of an index. `ValueError` where it or a shard is not what was published; `Missing`, `Unavailable`."""
        if self._last is not None and self._last[0] == text:
            return self._last[1]
        found = parse_index(self._index, text)
        wanted = unknown(found.index, self._known)
        for start in range(0, len(wanted), _AT_ONCE):
            batch = wanted[start : start + _AT_ONCE]
            results = await asyncio.gather(*map(self._fetch, batch), return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result
        document = await asyncio.to_thread(self._document_of, found.index, lambda ref: self._known[ref.digest])
        self._last = (text, Assembled(document, found.revision))
        self._forget(found)
        return self._last[1]

    async def _fetch(self, ref: ShardRef) -> None:
        try:
            content = await self._shards.read_shard(ref.name)
        except Missing:
            raise Missing(f"shard {ref.name} is not there") from None
        self._known[ref.digest] = await asyncio.to_thread(read_shard, self._shard, ref, content)

    def _forget(self, newest: ParsedIndex[Index]) -> None:
        """Keep the shards of this index and of the one before: a change that is taken back costs nothing."""
        kept = digests(newest.index) | (digests(self._older.index) if self._older is not None else frozenset())
        for digest in self._known.keys() - kept:
            del self._known[digest]
        self._older = newest
