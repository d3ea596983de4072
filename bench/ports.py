"""Free ports, chosen by the kernel and kept until their server has them.

A port that was merely looked up can be gone a moment later: wrk alone opens hundreds of outgoing connections. So the
looking socket stays bound (never listening) while the server starts; with SO_REUSEADDR on both sides Linux lets the
server bind beside it, and gives the port to nobody else.
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
            # After the bind: with the option set before, the kernel may offer a port that another such holder has.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            ports.append(int(sock.getsockname()[1]))
        yield ports
