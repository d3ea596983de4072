"""Clients that send requests during faults of the control plane, and record every failed request."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic, sleep

PAUSE = 0.02
"""Seconds between two requests of one client: short enough to meet every swap, long enough for the machine."""


@dataclass
class Traffic:
    """Results of the clients."""

    requests: int = 0
    failures: list[str] = field(default_factory=list)
    longest: float = 0.0
    """Seconds of the slowest answer."""


@contextmanager
def steady_traffic(
    ports: Sequence[int], path: str = "/", is_wanted: Callable[[int, bytes], bool] = lambda status, body: status == 200
) -> Iterator[Traffic]:
    """Run one client for each port, on a kept-alive connection, until the block ends."""
    traffic = Traffic()
    stopping = threading.Event()
    clients = [threading.Thread(target=_ask, args=(port, path, is_wanted, traffic, stopping)) for port in ports]
    for client in clients:
        client.start()
    try:
        yield traffic
    finally:
        stopping.set()
        for client in clients:
            client.join(30)


def _ask(
    port: int, path: str, is_wanted: Callable[[int, bytes], bool], traffic: Traffic, stopping: threading.Event
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    while not stopping.is_set():
        began = monotonic()
        try:
            connection.request("GET", path, headers={"host": "control.example"})
            answer = connection.getresponse()
            body = answer.read()
            if not is_wanted(answer.status, body):
                traffic.failures.append(f"port {port}: {answer.status} {body[:80]!r}")
        except (OSError, http.client.HTTPException) as error:
            traffic.failures.append(f"port {port}: {error!r}")
            connection.close()
        traffic.requests += 1
        traffic.longest = max(traffic.longest, monotonic() - began)
        sleep(PAUSE)
    connection.close()
