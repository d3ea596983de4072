"""A listening socket that can refuse, or let connects hang, and keeps its port meanwhile.

Linux: with SO_REUSEADDR on both, a socket that is bound but not listening lets a listener bind to the same port, and
reserves the port while there is no listener. A SYN for a listener whose queue is full is dropped (tcp(7), listen(2)).
So a full queue of one makes connects hang.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

_BACKLOG = 1024


class Listener:
    """A listener on a loopback port chosen by the kernel. Use it on the loop's thread only."""

    def __init__(self, accepted: Callable[[socket.socket], None], receive_buffer: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._accepted = accepted
        self._receive_buffer = receive_buffer
        self._keeper = _socket()
        self._keeper.bind(("127.0.0.1", 0))
        self._keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.port = int(self._keeper.getsockname()[1])
        self._listening: socket.socket | None = None
        self._fillers: list[socket.socket] = []

    def open(self) -> None:
        """Accept connections."""
        listening = self._listen(_BACKLOG)
        self._loop.add_reader(listening.fileno(), self._accept, listening)

    async def hang(self) -> None:
        """Accept nothing, with a full queue."""
        self._listen(0)
        # listen(0) leaves room for one connection; the next connect hangs, as intended.
        for _ in range(2):
            filler = _socket()
            self._fillers.append(filler)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._loop.sock_connect(filler, ("127.0.0.1", self.port)), 0.1)

    def shut(self) -> None:
        """Refuse. Accepted connections are not affected; the kernel resets those in the queue."""
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()
        if self._listening is not None:
            self._loop.remove_reader(self._listening.fileno())
            self._listening.close()
            self._listening = None

    def close(self) -> None:
        """Refuse, and release the port."""
        self.shut()
        self._keeper.close()

    def _listen(self, backlog: int) -> socket.socket:
        self.shut()
        listening = _socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._receive_buffer:
            # Before listen, because accepted sockets inherit it and the window is scaled by it.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        listening.bind(("127.0.0.1", self.port))
        listening.listen(backlog)
        self._listening = listening
        return listening

    def _accept(self, listening: socket.socket) -> None:
        # In a callback, not a task, because a task cancelled between accept and its next step loses a connection.
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            while True:
                connection, _ = listening.accept()
                connection.setblocking(False)
                self._accepted(connection)


def _socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    return sock
