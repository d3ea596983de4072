"""What takes part in an exchange: the work that it waits for, and the taps that see its response."""

from abc import abstractmethod

from inferway_dataplane.core.messages.response_head import ResponseHead
from inferway_dataplane.engine.exchange.request_body import RequestBody
from inferway_dataplane.engine.upstream.connection import UpstreamConnection


class Work:
    """What an exchange waits for: a response of an upstream, or a suspended stage."""

    __slots__ = ()

    connection: UpstreamConnection | None
    """The one to which the request is sent, or from which its response is received."""

    def send_body(self, body: RequestBody) -> None:
        """More of the body is there, or its end; called while there is a connection."""

    def on_request_end(self) -> None:
        """The request is complete."""

    @abstractmethod
    def release(self) -> None:
        """The exchange ends without it: stop."""

    def settle(self) -> None:
        """The exchange has ended: give back what the work took."""


class ResponseTap:
    """Sees an upstream's response on its way to the client. Exactly one of `on_end` and `on_broken` comes last."""

    __slots__ = ()

    @abstractmethod
    def on_head(self, head: ResponseHead, lines: bytes) -> bool:
        """The final head; `lines`: its fields as the client gets them. Whether the tap wants the rest."""

    @abstractmethod
    def on_body(self, data: bytes) -> None:
        """A piece of the body."""

    @abstractmethod
    def on_end(self) -> None:
        """The response is complete."""

    @abstractmethod
    def on_broken(self) -> None:
        """The exchange ended before the response did, or without one."""
