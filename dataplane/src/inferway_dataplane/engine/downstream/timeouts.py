"""How long a client may take. The wheel checks four times a second.

A connection has two clocks. `deadline` is for what the client has to send: a head, the next piece of a body, the next
request. `unread_deadline` is for what it has to read: it runs while more is written than the client takes, and after
the gateway has closed the connection.

What a deadline limits is computed from the connection's state when it passes (`awaited`), never remembered: a deadline
that was set for something that has ended since has no effect. Whatever begins to be awaited sets its own.
"""

import logging
import select
from collections.abc import Collection
from typing import Any, Final, Protocol

from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.engine.clock import NEVER
from inferway_dataplane.engine.context import Context
from inferway_dataplane.engine.downstream.states import CLOSING, DEAF, LINGERING, OPEN
from inferway_dataplane.engine.exchange import local_reply
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.engine.http1.request_parser import IN_HEAD

GRACE: Final = 0.5
"""Seconds that a client's request lives on after the client has sent its FIN.

A client that leaves sends the same FIN as one that only has no further request. So a response that is nearly complete is
still sent, and work for a client that has left ends within a second (decision 0005)."""

LINGER: Final = 2.0
"""Seconds that a client may still send after a response that closes. Closing at once would reset the connection, and a
reset can destroy the response before the client has read it (RFC 9112 9.6)."""


# What the gateway waits for from a client.
NOTHING: Final = 0
HEAD: Final = 1
BODY: Final = 2
"""The next piece of it."""
REQUEST: Final = 3
"""The first byte of one."""
LEAVING: Final = 4
"""The end of a connection whose client has sent its FIN during a request."""
END: Final = 5
"""The end of a connection that has had its last response."""


log = logging.getLogger("inferway")


class TimedConnection(Protocol):
    """A client connection, as far as time limits concern it."""

    context: Context
    transport: Any
    state: int
    current: Exchange | None
    receiving: Exchange | None
    waiting: Any
    holds: int
    held_seconds: float
    has_fin: bool
    place: int
    deadline: float
    is_write_paused: bool
    unread_deadline: float
    unread_left: int

    def refuse(self, problem: Problem) -> None: ...
    def expect_leaving(self, now: float) -> None: ...
    def close(self) -> None: ...
    def cut(self, reason: str) -> None: ...


def awaited(client: TimedConnection) -> int:
    """What the gateway waits for from a client: the one thing that its deadline limits."""
    state = client.state
    if state >= CLOSING:
        return NOTHING  # the other clock limits that
    if client.current is None and state in (DEAF, LINGERING):
        return END
    if client.has_fin:
        return LEAVING
    if client.receiving is not None:
        return BODY
    if state == DEAF:
        return NOTHING
    if client.place == IN_HEAD:
        return HEAD
    if client.current is not None or client.waiting:
        return NOTHING
    return REQUEST


def begin(client: TimedConnection, now: float) -> None:
    """Begin the time limit of what is awaited from a client."""
    client.deadline = now + _limit(client, awaited(client))


def _limit(client: TimedConnection, what: int) -> float:
    settings = client.context.settings
    if what == NOTHING:
        return NEVER
    if what == BODY:
        return settings.body_idle_timeout
    if what == REQUEST and client.state == OPEN:
        return settings.idle_timeout
    if what == END:
        return LINGER
    return GRACE if what == LEAVING else settings.head_timeout


def check_all(clients: Collection[TimedConnection], now: float) -> None:
    """Called by the wheel with all client connections."""
    for client in [one for one in clients if one.deadline <= now or one.unread_deadline <= now or one.holds]:
        try:
            _check(client, now)
        except Exception:
            # A bug: it costs this connection, and the others keep their time limits.
            log.exception("unexpected error in a time limit")
            client.transport.abort()


def _check(client: TimedConnection, now: float) -> None:
    if client.unread_deadline <= now:
        _end_unread(client, now)
    if client.deadline <= now:
        client.deadline = NEVER
        _end_unsent(client, now)
    if client.holds:
        _check_leaving(client, now)


def _check_leaving(client: TimedConnection, now: float) -> None:
    """While the gateway does not read from a connection, the loop does not notice that its client leaves.

    A reset has one meaning. A FIN while a body is coming may stand behind the rest of the body, and means nothing yet.
    """
    client_socket = client.transport.get_extra_info("socket")
    if client.current is None or client_socket is None or client.transport.is_closing():
        return
    poll = select.poll()
    poll.register(client_socket.fileno(), select.POLLRDHUP)
    events = poll.poll(0)
    if not events:
        return
    if events[0][1] & (select.POLLHUP | select.POLLERR):
        client.transport.abort()
    elif client.receiving is None and not client.has_fin:
        client.expect_leaving(now)


def _end_unread(client: TimedConnection, now: float) -> None:
    settings = client.context.settings
    left = client.transport.get_write_buffer_size()
    if not (client.is_write_paused or client.transport.is_closing() or client.state >= LINGERING):
        client.unread_deadline = NEVER
        return
    if left and client.unread_left - left >= max(settings.body_rate * settings.unread_timeout, 1):
        # A large piece was written at once, and the client reads as fast as it would have to send.
        client.unread_left = left
        client.unread_deadline = now + settings.unread_timeout
        return
    client.unread_deadline = NEVER
    client.cut("not_reading")


def _end_unsent(client: TimedConnection, now: float) -> None:
    what, receiving = awaited(client), client.receiving
    if what == END:
        if client.transport.get_write_buffer_size():
            client.deadline = now + LINGER  # it still reads; the other clock limits that
        else:
            client.cut("lingering")  # it got its last response, and still sends
    elif what == LEAVING:
        client.cut("left")
    elif what == REQUEST:
        client.close()
    elif what == BODY and receiving is not None and receiving.is_finished:
        client.cut("lingering")  # it has its response, and does not send the rest of its request
    elif what != NOTHING and client.holds:
        client.deadline = now + _limit(client, what)  # the gateway does not read
    elif what == HEAD:
        client.refuse(problems.HEAD_TIMEOUT)
    elif what == BODY and receiving is not None:
        local_reply.break_off(receiving, problems.BODY_TIMEOUT)


def is_too_slow(client: TimedConnection, now: float) -> bool:
    """Whether a body comes at less than the minimum rate, averaged from its head on, after `body_rate_after`.

    The time in which the gateway did not read does not count.
    """
    receiving, settings = client.receiving, client.context.settings
    if receiving is None:
        return False
    taken = now - receiving.started - client.held_seconds
    size = receiving.body.size if receiving.body is not None else 0
    return taken > settings.body_rate_after and size < settings.body_rate * taken
