"""The data port's listener: it accepts connections while there is room; the others wait in the kernel's queue.

uvloop's own server accepts all that is queued in one go, and closes it silently when descriptors have run out. Here an
old connection is evicted first (`eviction.py`), and a TLS handshake counts as a connection from its first byte on. The
price is a task for each connection (not for each request): about 35 us.
"""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Final

from inferway_dataplane.engine.context import Context
from inferway_dataplane.engine.downstream.connection import ClientConnection
from inferway_dataplane.engine.downstream.eviction import ConnectionCap
from inferway_dataplane.engine.downstream.timeouts import LINGER
from inferway_dataplane.observability.stats import count_in

log = logging.getLogger("inferway")

AT_ONCE: Final = 4
"""Connections accepted in one turn of the loop. Few, because at the cap each of them evicts one, and a new connection
needs some turns until its request is read."""

PATIENCE: Final = 1.0
"""Seconds for which new connections wait when none can be evicted; one that ends or becomes slow in that time makes room.
Then they are closed: a client in the kernel's queue cannot get a response."""

_QUEUE: Final = 2048  # a connection that finds the kernel's queue full asks again only a second later
_PAUSE: Final = 0.1  # seconds without accepting when there is no room, or no descriptor
_EXHAUSTED: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class Listener:
    """Accepts connections on one socket until it is closed."""

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], ClientConnection],
        context: Context,
        cap: ConnectionCap,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._socket = listener
        self._protocol = protocol
        self._context = context
        self._cap = cap
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self.starting: set[asyncio.Task[None]] = set()  # accepted, not yet a connection: a handshake is under way
        self._is_open = True
        self._held: socket.socket | None = None  # accepted, but no connection could be evicted for it yet
        self._full_since: float | None = None  # monotonic
        listener.listen(_QUEUE)
        self._loop.add_reader(listener.fileno(), self._accept_some)

    def close(self) -> None:
        """Stop listening. Connections in the kernel's queue are made already: they are accepted first."""
        if not self._is_open:
            return
        self._is_open = False
        self._loop.remove_reader(self._socket.fileno())
        for _ in range(_QUEUE):
            if not self._accept_some():
                break
        self._socket.close()

    async def abort(self) -> None:
        """Cut the handshakes under way."""
        for task in self.starting:
            task.cancel()
        await asyncio.gather(*self.starting, return_exceptions=True)

    def _accept_some(self) -> bool:
        """Accept what is queued, up to `AT_ONCE`; whether there may be more."""
        for _ in range(AT_ONCE):
            accepted, self._held = self._held, None
            try:
                if accepted is None:
                    accepted, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as error:
                # ECONNABORTED and its like: the client has left already.
                if error.errno in _EXHAUSTED:
                    # The system has no descriptor left, although the cap has reserved one.
                    self._context.stats.accept_pressure += 1
                    self._pause(_PAUSE)
                    return False
                continue
            # Evict only now, when there really is a new connection.
            if self._cap.admit():
                self._full_since = None
                self._start(accepted)
            elif self._may_wait():
                self._held = accepted
                self._pause(_PAUSE)
                return False
            else:
                count_in(self._context.stats.shed, "connections")
                accepted.close()
        return True

    def _may_wait(self) -> bool:
        """No connection can be evicted: whether new ones may wait in the kernel's queue, or are closed."""
        now = self._context.clock.now()
        if self._full_since is None:
            self._full_since = now
        return self._is_open and now - self._full_since < PATIENCE

    def _start(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        protocol = self._protocol()
        task = self._loop.create_task(self._connect(accepted, protocol))
        self.starting.add(task)
        # Until `connection_made`; the task ends some turns later. A handshake may be cut; a plain connection is made at once.
        self._cap.coming[protocol] = task.cancel if self._tls is not None else None
        task.add_done_callback(lambda done: self._end_start(done, protocol))

    def _end_start(self, task: asyncio.Task[None], protocol: ClientConnection) -> None:
        self.starting.discard(task)
        self._cap.coming.pop(protocol, None)

    async def _connect(self, accepted: socket.socket, protocol: ClientConnection) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: protocol,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=self._context.settings.head_timeout if self._tls is not None else None,
                ssl_shutdown_timeout=LINGER if self._tls is not None else None,
            )
        except asyncio.CancelledError:  # it was evicted
            accepted.close()
            raise
        except OSError as error:  # a handshake that failed or took too long, a client that has gone
            count_in(self._context.stats.cut, "handshake")
            log.debug("a connection ended before its first request", extra={"error": str(error)})
            accepted.close()

    def _pause(self, seconds: float) -> None:
        """Accept no connection for this long: the queue keeps them."""
        if self._is_open:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.call_later(seconds, self._continue)

    def _continue(self) -> None:
        if self._is_open:
            self._loop.add_reader(self._socket.fileno(), self._accept_some)
            if self._held is not None:
                self._accept_some()  # no further connection may come that would wake it
