"""The API server as the source sees it: what is asked of it, and every way in which it may not answer."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class Unavailable(Exception):  # noqa: N818 - it names the state of the API server
    """It did not answer, or not with what was asked for. The message says why, for people."""

    def __init__(self, message: str, retry_after: float = 0.0, *, is_answer: bool = False, mend: str = "") -> None:
        """`retry_after`: seconds for which it does not want to be asked again. `is_answer`: it refused with a status.
        `mend`: what people have to do, where asking again will not help before that."""
        super().__init__(message)
        self.retry_after = retry_after
        self.is_answer = is_answer
        self.mend = mend


class Gone(Exception):  # noqa: N818 - it names what was found
    """The state to go on from is too old (410): everything is to be listed again."""


class Missing(Exception):  # noqa: N818 - it names what was found
    """There is no such object (404)."""


@dataclass(frozen=True, slots=True)
class IndexEvent:
    """An index ConfigMap at one moment."""

    version: str
    """The resourceVersion to go on from."""
    text: str | None
    """The index as JSON; None = there is no such ConfigMap, or no index in it."""
    is_bookmark: bool = False
    """Only `version` is told: nothing else has changed."""


class Indexes(Protocol):
    """Reads index ConfigMaps. Everything raises `Unavailable`."""

    async def list_index(self, name: str) -> IndexEvent:
        """As it is now."""

    def watch_index(self, name: str, version: str) -> AsyncGenerator[IndexEvent, None]:
        """Its changes since, until the server ends the watch; first a bookmark, as soon as the watch is there.

        `Gone` where the version is too old.
        Whoever breaks off closes the iterator (`contextlib.aclosing`).
        """


class Shards(Protocol):
    """Reads shard ConfigMaps."""

    async def read_shard(self, name: str) -> bytes:
        """What is in it, whatever that is. `Missing`, `Unavailable`."""


class Leases(Protocol):
    """Writes Leases."""

    async def apply_lease(self, name: str, lease: Mapping[str, Any]) -> None:
        """Make the Lease so, whether it is there or not. `Unavailable`."""
