"""From what is published to what is served: pure decisions. Nothing here reads, writes or waits.

Two documents change on their own. A config is served only with an entry for every Service that it names; until then it
waits. A Service that the live config names keeps its last known addresses when newer endpoints have no entry for it. So
the order in which both arrive never breaks anything.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from inferway_contract.document import ConfigDocument, EndpointsDocument
from inferway_contract.sharding import ConfigIndex, EndpointsIndex, ShardRef

Document = TypeVar("Document", ConfigDocument, EndpointsDocument)


@dataclass(frozen=True, slots=True)
class Assembled(Generic[Document]):
    """A document, and what it is known by."""

    document: Document
    revision: str


@dataclass(frozen=True, slots=True)
class Documents:
    """What is served together."""

    config: Assembled[ConfigDocument]
    endpoints: Assembled[EndpointsDocument]
    """As published, and the last known addresses of Services that they lack."""

    @property
    def revisions(self) -> tuple[str, str]:
        """Of both."""
        return self.config.revision, self.endpoints.revision


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from what is known."""

    swap: Documents | None
    """Serve this; None = nothing changes."""
    missing: tuple[str, ...] = ()
    """Services for whose endpoints the newest config waits."""


def unknown(index: ConfigIndex | EndpointsIndex, known: Collection[str]) -> list[ShardRef]:
    """Return the shards of an index that are to be fetched. `known`: digests."""
    # An index may name the same shard twice only by mistake; it is fetched once.
    return list({ref.digest: ref for ref in index.shards if ref.digest not in known}.values())


def decide(
    config: Assembled[ConfigDocument] | None,
    endpoints: Assembled[EndpointsDocument] | None,
    live: Documents | None,
    *,
    is_anew: bool = False,
) -> Decision:
    """Swap, wait, or leave it.

    `config`, `endpoints`: the newest that are whole; None = there are none, so what is live stays. `is_anew`: an error was
    reported since, so the live documents are accepted again, which ends the error.
    """
    missing: tuple[str, ...] = ()
    if config is not None and (live is None or config.revision != live.config.revision):
        together = _together(config, endpoints, live)
        if isinstance(together, Documents):
            return Decision(together)
        missing = together
    if live is None:
        return Decision(None, missing)
    # The live config stays, with newer endpoints. That waits for nothing: what it names was there when it was swapped in.
    if endpoints is not None and endpoints.revision != live.endpoints.revision:
        together = _together(live.config, endpoints, live)
        if isinstance(together, Documents):
            return Decision(together, missing)
    return Decision(live if is_anew else None, missing)


def with_last_known(
    endpoints: Assembled[EndpointsDocument], services: Iterable[str], older: Documents | None
) -> Assembled[EndpointsDocument]:
    """Return the endpoints, with the older addresses of those Services that they lack and the older config names."""
    newest = endpoints.document.services
    absent = set(services) - newest.keys()
    if older is None or not absent:
        return endpoints
    addresses = older.endpoints.document.services
    last_known = {name: addresses[name] for name in absent & older.config.document.named_services() & addresses.keys()}
    return replace(endpoints, document=endpoints.document.model_copy(update={"services": {**newest, **last_known}}))


def _together(
    config: Assembled[ConfigDocument], endpoints: Assembled[EndpointsDocument] | None, live: Documents | None
) -> Documents | tuple[str, ...]:
    """Both as they are to be served, or the Services that are missing (none = no endpoints were published at all)."""
    needed = config.document.named_services()
    if endpoints is None and live is not None:
        endpoints = live.endpoints  # only the addresses that are live already can be served
    if endpoints is None:
        return tuple(sorted(needed))
    endpoints = with_last_known(endpoints, needed, live)
    missing = tuple(sorted(needed - endpoints.document.services.keys()))
    return missing or Documents(config, endpoints)
