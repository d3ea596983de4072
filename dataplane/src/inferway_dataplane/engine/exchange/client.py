"""The client's connection as an exchange sees it, and the reasons to stop reading from it."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Final

from inferway_dataplane.engine.context import Context
from inferway_dataplane.engine.upstream.connection import UpstreamConnection
from inferway_dataplane.engine.upstream.private_connections import PrivateConnections

HOLD_BODY: Final = 1
"""A body waits for an upstream connection."""
HOLD_UPSTREAM: Final = 2
"""The upstream does not read the body."""
HOLD_UNREAD: Final = 4
"""The client does not read its responses."""
HOLD_PIPELINE: Final = 8
"""A request waits for the response before it."""
HOLD_UNFED: Final = 16
"""Bytes that arrived during a hold are not parsed yet."""

HOLD_NAMES: Final = {
    HOLD_BODY: "body",
    HOLD_UPSTREAM: "upstream",
    HOLD_UNREAD: "unread",
    HOLD_PIPELINE: "pipeline",
    HOLD_UNFED: "unfed",
}


class Client:
    """What an exchange may read of its client's connection, and do to it."""

    __slots__ = ()

    context: Context
    peer: str
    peer_bytes: bytes
    scheme: bytes
    is_trusted: bool
    """The peer is one of the trusted proxies."""
    is_write_paused: bool
    """More is written than the client takes."""
    write: Callable[[bytes], object]
    private: PrivateConnections | None
    """Upstream connections that serve this client alone; None = there was none."""

    @abstractmethod
    def bind(self, connection: UpstreamConnection) -> None:
        """Keep a connection that a server may have authenticated from other clients."""

    @abstractmethod
    def pause(self, hold: int) -> None:
        """Stop reading; it starts again when every hold is gone."""

    @abstractmethod
    def resume(self, hold: int) -> None:
        """End a hold."""

    @abstractmethod
    def abort_response(self, *, by_reset: bool) -> None:
        """Cut the connection, so that the client does not take a part of a response for the whole.

        `by_reset`: the end of the connection is the end of the response (RFC 9112 6.3), so a FIN would be a clean end.
        """

    @abstractmethod
    def on_exchange_end(self, exchange: Any) -> None:
        """The current exchange has ended."""
