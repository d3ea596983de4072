"""Where documents come from. A source brings complete documents, and the receiver serves them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from inferway_contract.document import ConfigDocument, EndpointsDocument


class Refused(Exception):  # noqa: N818 - it names what happened to the document
    """The data plane rejected a document; the last good one stays. The message is the reason."""


@dataclass(frozen=True, slots=True)
class NewerEndpoints:
    """Endpoints that arrived while a config is built."""

    live: EndpointsDocument
    """For the config that is live meanwhile."""
    built: EndpointsDocument
    """For the config that is built: it is swapped in with these."""
    on_served: Callable[[], None]
    """Called in the step in which the live config has got them."""


def nothing_newer() -> NewerEndpoints | None:
    """Return None: nothing arrives during the build."""
    return None


class Receiver(Protocol):
    """The data plane as a source sees it."""

    async def accept(
        self,
        config: ConfigDocument,
        endpoints: EndpointsDocument,
        revision: str = "",
        error: str = "",
        newer: Callable[[], NewerEndpoints | None] = nothing_newer,
    ) -> None:
        """Build a runtime of both and swap it in; `Refused` when that is impossible, and then nothing changed.

        Requests are answered meanwhile. It must end before it is called again.

        `revision`: what the config is known by where it came from; "" = the hash of its canonical bytes. `error`: of
        something newer that stays refused while this is served; "" = nothing is. `newer`: called between steps of the
        build; what it returns is served at once, with the config that is live, and then with this one.
        """

    def reject(self, error: str) -> None:
        """A new state could not even become a document: count it, log it, show it under /debug/config."""


@dataclass(frozen=True, slots=True)
class SourceState:
    """The state of a source, in addition to its documents. None = not applicable. Times: seconds since the epoch."""

    is_connected: bool | None = None
    """Whether changes are seen now: the API server answers."""
    endpoints_revision: str | None = None
    """Of the endpoints that are served, "" before there are any."""
    is_copy_saved: bool | None = None
    """Whether the last attempt to save the last good copy worked."""
    copy_saved_at: float | None = None
    """When one worked last; 0 = never."""
    copy_served_since: float | None = None
    """Since when the last good copy is served instead of the published documents; 0 = it is not."""


class Source(Protocol):
    """Brings the first document and every later one."""

    @property
    def waiting(self) -> str:
        """Why there is no first document yet, for people (`/readyz`)."""

    @property
    def error(self) -> str:
        """Why the newest document is not served, also if older ones were served since; "" = it is served."""

    @property
    def state(self) -> SourceState:
        """For people and metrics, at any time."""

    @property
    def ends_with_process(self) -> bool:
        """Whether the process ends when `follow` ends without cancellation: it is then started again."""

    def reload(self) -> None:
        """Read again what is read from files (SIGHUP)."""

    async def follow(self, receiver: Receiver) -> None:
        """Run until cancelled. Raises `Refused` when there is no first document to start with."""
