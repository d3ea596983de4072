"""How long a client may take, and what happens when it takes longer. The wheel looks four times a second.

A connection has two clocks. `deadline` is for what the client has to send: a head, the next piece of a body, the next
request. `unread_deadline` is for what it has to read: it runs while more is written than the client takes, and after
the connection was closed on our side.
"""

import select
from typing import TYPE_CHECKING, Final

from inferway_dataplane.core.messages import problems
from inferway_dataplane.engine.downstream import bad_requests
from inferway_dataplane.engine.upstream.connection import NEVER
from inferway_dataplane.observability.stats import count_in

if TYPE_CHECKING:
    from inferway_dataplane.engine.downstream.connection import ClientConnection
    from inferway_dataplane.engine.exchange.exchange import Exchange

GRACE: Final = 0.5
"""Seconds that a client's request lives on after the client has sent its FIN.

Whoever closes a connection sends the same FIN as whoever only has nothing more to ask. So an answer that is nearly there
still goes out, and work for somebody who has left ends within a second (decision 0005)."""

LINGER: Final = 2.0
"""Seconds that a client may go on sending after an answer that closes. Closing at once would reset the connection, and
a reset can destroy the answer before the client has read it (RFC 9112 9.6)."""


def look_for_leaving(client: "ClientConnection", now: float) -> None:
    """Called by the wheel for a connection that we do not read from: then the loop does not see a client leave.

    A reset has no other meaning. A FIN while a body is coming may stand behind the rest of it, and says nothing yet.
    """
    own_socket = client.transport.get_extra_info("socket")
    if client.current is None or own_socket is None or client.transport.is_closing():
        return
    poll = select.poll()
    poll.register(own_socket.fileno(), select.POLLRDHUP)
    events = poll.poll(0)
    if not events:
        return
    if events[0][1] & (select.POLLHUP | select.POLLERR):
        client.transport.abort()
    elif client.receiving is None and not client.is_half_closed:
        client.is_half_closed = True
        client.deadline = now + GRACE


def look(client: "ClientConnection", now: float) -> None:
    """Called by the wheel with each turn, for a connection of which one clock has run out."""
    if client.unread_deadline <= now:
        _end_unread(client, now)
    elif client.deadline <= now:
        client.deadline = NEVER
        _end_unsent(client, now)


def _end_unread(client: "ClientConnection", now: float) -> None:
    settings = client.gateway.settings
    left = client.transport.get_write_buffer_size()
    if left and client.unread_left - left >= max(settings.body_rate * settings.unread_timeout, 1):
        # A large piece was written at once, and the client reads as fast as it would have to send.
        client.unread_left = left
        client.unread_deadline = now + settings.unread_timeout
        return
    client.unread_deadline = NEVER
    _cut(client, "not_reading")


def _end_unsent(client: "ClientConnection", now: float) -> None:
    receiving = client.receiving
    if client.is_deaf and client.current is None:
        if client.transport.get_write_buffer_size():
            client.deadline = now + LINGER  # it still reads; how long it may is the other clock's business
        else:
            _cut(client, "lingering")  # it was told to go, and still sends
    elif client.is_half_closed:
        _cut(client, "left")
    elif client.current is None and (client.is_closing or not client.fed):
        client.close()
    elif receiving is not None and receiving.is_finished:
        _cut(client, "lingering")  # it has its answer, and does not send the rest of its request
    elif client.holds:  # it is we who do not read
        settings = client.gateway.settings
        client.deadline = now + (settings.head_timeout if receiving is None else settings.body_idle_timeout)
    elif receiving is None:
        bad_requests.refuse(client, problems.HEAD_TIMEOUT)
    else:
        receiving.on_client_late()


def _cut(client: "ClientConnection", reason: str) -> None:
    count_in(client.gateway.stats.cut, reason)
    client.transport.abort()


def is_too_slow(client: "ClientConnection", receiving: "Exchange") -> bool:
    """Whether a body has come at less than the least rate, averaged from its head on, once there is something to average.

    The time in which we did not read is not the client's.
    """
    settings = client.gateway.settings
    taken = client.gateway.coarse_now - receiving.started - client.held_seconds
    return taken > settings.body_rate_after and receiving.body_size < settings.body_rate * taken
