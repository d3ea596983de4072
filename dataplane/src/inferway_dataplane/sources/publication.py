"""One of both documents as it is published now: followed, gathered, and refused where it is not whole."""

from typing import Final, Generic

from inferway_contract.sharding import Index, Shard
from inferway_dataplane.sources.api import Missing
from inferway_dataplane.sources.assembly import Assembled, Document, revision_of_text
from inferway_dataplane.sources.index_watch import IndexWatch
from inferway_dataplane.sources.published_document import ShardLoader

_ATTEMPTS: Final = 5
"""Indexes that are read in a row because shards of the one before were gone already."""


class PublishedDocument(Generic[Index, Shard, Document]):
    """The config, or the endpoints."""

    def __init__(self, following: IndexWatch, gathering: ShardLoader[Index, Shard, Document]) -> None:
        self.following = following
        self.gathering: ShardLoader[Index, Shard, Document] = gathering
        self.refused = ""
        """Revision of what is published now, when it is refused."""
        self.error = ""
        """Why it is."""
        self.may_mend = False
        """Whether it may become whole without its index changing: a shard comes, or is replaced."""

    async def newest(self) -> Assembled[Document] | None:
        """What is published now; None where that is nothing, or refused. `Unavailable`."""
        for _ in range(_ATTEMPTS):
            text = self.following.text
            if text is None:
                self.accept()
                return None
            try:
                found: Assembled[Document] = await self.gathering.gather(text)
                return found
            except Missing as missing:
                # Shards are written before the index and removed long after it: this index may be an old one.
                error = str(missing)
                await self.following.read_again()
                if self.following.text != text:
                    continue
            except ValueError as broken:
                error = str(broken)
            self.refuse(revision_of_text(text), error, may_mend=True)
            return None
        return None

    def refuse(self, revision: str, error: str, *, may_mend: bool = False) -> None:
        """What is published now is not served, and why."""
        self.refused, self.error, self.may_mend = revision, error, may_mend

    def accept(self) -> None:
        """Nothing is wrong with what is published now."""
        self.refuse("", "")
