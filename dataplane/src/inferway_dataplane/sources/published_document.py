"""One of both documents as it is published now: its index is watched, and its shards are fetched and parsed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final, Generic

from inferway_contract.canonical import REVISION_DIGITS, digest, revision
from inferway_contract.sharding import Index, Shard, ShardRef, read_history, read_index, read_shard
from inferway_dataplane.sources.assembly import Assembled, Document, unknown
from inferway_dataplane.sources.index_watch import IndexWatch
from inferway_kube.errors import NotFound

_AT_ONCE: Final = 4  # shards that are asked for together
_ATTEMPTS: Final = 5  # indexes that are read in a row because shards of the one before were gone already


class PublishedDocument(Generic[Index, Shard, Document]):
    """The config, or the endpoints. A shard that is known by its digest is neither fetched nor parsed again."""

    def __init__(
        self,
        watch: IndexWatch,
        index: type[Index],
        shard: type[Shard],
        document_of: Callable[[Index, Callable[[ShardRef], Shard]], Document],
    ) -> None:
        self.watch = watch
        self.refused = ""  # revision of what is published now, when it is refused
        self.error = ""  # why it is
        self.may_recover = False
        """Whether it may become whole without its index changing: a shard comes, or is replaced."""
        self._index: type[Index] = index
        self._shard: type[Shard] = shard
        self._document_of: Callable[[Index, Callable[[ShardRef], Shard]], Document] = document_of
        self._known: dict[str, Shard] = {}
        self._older: tuple[ShardRef, ...] = ()
        self._last: tuple[str, Assembled[Document]] | None = None  # the index that was gathered last, and its document

    async def newest(self) -> Assembled[Document] | None:
        """Return what is published now; None where that is nothing, or refused. `ApiError`."""
        for _ in range(_ATTEMPTS):
            text = self.watch.text
            if text is None:
                self.accept()
                return None
            try:
                return await self._gather(text)
            except NotFound as missing:
                # Shards are written before the index and removed long after it: this index may be an old one.
                error = str(missing)
                await self.watch.reflector.refresh()
                if self.watch.text != text:
                    continue
            except ValueError as broken:
                error = str(broken)
            # Indexes are published in their canonical form, so this is the revision of one that cannot be read too.
            self.refuse(digest(text.encode())[:REVISION_DIGITS], error, may_recover=True)
            return None
        return None

    async def older(self) -> AsyncIterator[Assembled[Document]]:
        """Yield the documents of the index's history that can be read, the newest first. `ApiError`."""
        try:
            history = read_history(self.watch.history) if self.watch.history else ()
        except ValueError:
            return  # then there is nothing to fall back on; the refusal of the newest document is what is reported
        for _, text in history:
            try:
                document = await self._gather(text)
            except (NotFound, ValueError):
                continue  # not readable either, or removed by now
            yield document

    async def _gather(self, text: str) -> Assembled[Document]:
        """Return the document of an index. `ValueError` where it or a shard is not what was published; `ApiError`."""
        if self._last is not None and self._last[0] == text:
            return self._last[1]
        index: Index = read_index(self._index, text)
        wanted = unknown(index, self._known)
        for start in range(0, len(wanted), _AT_ONCE):
            batch = wanted[start : start + _AT_ONCE]
            results = await asyncio.gather(*map(self._fetch, batch), return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result
        document = await asyncio.to_thread(self._document_of, index, lambda ref: self._known[ref.digest])
        self._last = (text, Assembled(document, revision(index)))
        # The shards of the index before are kept too: a change that is taken back costs nothing.
        kept = {ref.digest for ref in (*index.shards, *self._older)}
        for forgotten in self._known.keys() - kept:
            del self._known[forgotten]
            await asyncio.sleep(0)  # thousands of rules may go with a shard
        self._older = index.shards
        return self._last[1]

    async def _fetch(self, ref: ShardRef) -> None:
        try:
            content = await self.watch.shard(ref.name)
        except NotFound as error:
            raise NotFound(f"shard {ref.name} is not there", error.status) from None
        self._known[ref.digest] = await asyncio.to_thread(read_shard, self._shard, ref, content)

    def refuse(self, revision: str, error: str, *, may_recover: bool = False) -> None:
        """What is published now is not served, for this reason."""
        self.refused, self.error, self.may_recover = revision, error, may_recover

    def accept(self) -> None:
        """Nothing is wrong with what is published now."""
        self.refuse("", "")
