"""Free ports, chosen by the kernel and reserved until their server is bound.

Another process can take a free port at any time: wrk alone opens hundreds of outgoing connections. So the socket that
found the port stays bound (never listening) while the server starts. With SO_REUSEADDR on both sides Linux lets the
server bind in addition, and gives the port to no other process.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def hold(count: int) -> Iterator[list[int]]:
    with contextlib.ExitStack() as held:
        ports = []
        for _ in range(count):
            sock = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            sock.bind(("127.0.0.1", 0))
            # After the bind: with the option set earlier, the kernel may offer a port that another such socket holds.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            ports.append(int(sock.getsockname()[1]))
        yield ports
