"""Traffic at a steady rate from outside the cluster, and its failures."""

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
"""Requests after which a client reconnects, so that a disruption meets both old and new connections."""


PACE = 0.9
"""Share of the rate that must be reached."""


@dataclass
class Traffic:
    """Results of the clients."""

    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    """Each result other than a 200, with its second."""
    durations: list[float] = field(default_factory=list)
    """Seconds of each answer."""
    unanswered: int = 0
    """Requests without an answer."""
    seconds: float = 0.0
    """Duration in seconds."""

    @property
    def requests(self) -> int:
        """Return the number of all requests."""
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
    """Send `rate` GETs a second from clients with kept connections, until the block ends.

    A lower rate is an error, because all of them must cover the block's events.
    """
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
    """Send requests; the pool holds one connection, which is not reused after a close or `Connection: close`."""
    pool = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=1, timeout=15, retries=False)
    count = 0
    began = due
    while not stopping.is_set():
        sleep(max(0.0, due - monotonic()))
        due += pause
        sent_at = monotonic()
        try:
            answer = pool.request("GET", path, headers={"host": host})
            traffic.statuses[answer.status] += 1
            traffic.durations.append(monotonic() - sent_at)
            if answer.status != 200:
                traffic.failures.append(f"{sent_at - began:.1f} s: {answer.status} {answer.data[:200]!r}")
        except urllib3.exceptions.HTTPError as error:
            traffic.unanswered += 1
            traffic.failures.append(
                f"{sent_at - began:.1f} s: no answer after {monotonic() - sent_at:.2f} s: {error!r}"
            )
        count += 1
        if count % STAGGER == 0:
            pool.close()
            pool = urllib3.HTTPConnectionPool("127.0.0.1", port, maxsize=1, timeout=15, retries=False)
    pool.close()
