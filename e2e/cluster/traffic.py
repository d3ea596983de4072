"""Traffic at a steady rate from outside the cluster, and whatever of it failed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic, sleep

import urllib3

CLIENTS = 20
STAGGER = 20
"""Every so many requests a client closes its connection and makes a new one: connections old and new meet what happens."""


PACE = 0.9
"""Share of the rate that must have been reached."""


@dataclass
class Traffic:
    """What the clients saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    """Everything but a 200, with the second in which it was seen."""
    durations: list[float] = field(default_factory=list)
    """Seconds of each answer."""
    unanswered: int = 0
    """Requests to which there was no answer."""
    seconds: float = 0.0
    """How long it went on."""

    @property
    def requests(self) -> int:
        """In all."""
        return len(self.durations) + self.unanswered

    def __str__(self) -> str:
        ordered = sorted(self.durations)
        p99 = ordered[int(len(ordered) * 0.99)] if ordered else 0.0
        return (
            f"{self.requests} requests in {self.seconds:.0f} s ({self.requests / max(self.seconds, 1e-9):.0f} a second), "
            f"{len(self.failures)} failed, p99 {p99 * 1000:.0f} ms, longest {max(ordered, default=0) * 1000:.0f} ms"
        )


@contextmanager
def steady_traffic(port: int, path: str, host: str, rate: float = 200.0) -> Iterator[Traffic]:
    """So many GETs a second, spread over clients that keep their connections, until the block ends. Fewer are an error: what
    happened in the block was to be seen by all of them."""
    traffic = Traffic()
    stopping = threading.Event()
    began = monotonic()
    clients = [
        threading.Thread(
            target=_client, args=(port, path, host, began + number / rate, CLIENTS / rate, traffic, stopping)
        )
        for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    try:
        yield traffic
    finally:
        stopping.set()
        for client in clients:
            client.join(30)
        traffic.seconds = monotonic() - began
    assert traffic.requests >= PACE * rate * traffic.seconds, f"too slow for {rate:g} a second: {traffic}"


def _client(
    port: int, path: str, host: str, due: float, pause: float, traffic: Traffic, stopping: threading.Event
) -> None:
    """Its pool holds one connection, which is not used again once the gateway has closed it or said that it will."""
    pool = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=1, timeout=15, retries=False)
    count = 0
    began = due
    while not stopping.is_set():
        sleep(max(0.0, due - monotonic()))
        due += pause
        asked = monotonic()
        try:
            answer = pool.request("GET", path, headers={"host": host})
            traffic.statuses[answer.status] += 1
            traffic.durations.append(monotonic() - asked)
            if answer.status != 200:
                traffic.failures.append(f"{asked - began:.1f} s: {answer.status} {answer.data[:200]!r}")
        except urllib3.exceptions.HTTPError as error:
            traffic.unanswered += 1
            traffic.failures.append(f"{asked - began:.1f} s: no answer after {monotonic() - asked:.2f} s: {error!r}")
        count += 1
        if count % STAGGER == 0:
            pool.close()
            pool = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=1, timeout=15, retries=False)
    pool.close()
