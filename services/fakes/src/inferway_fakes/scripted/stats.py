"""Counts of a scripted upstream, for `GET /_fake/stats`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(slots=True)
class Stats:
    """Counts. Control requests are not counted; their connections are."""

    requests: int = 0
    health_requests: int = 0
    """Not among `requests`."""
    in_flight: int = 0
    """Requests whose answer is not complete."""
    answered: int = 0
    """Requests whose answer ended as ordered: complete, failed, or closed."""
    failed: int = 0
    """Answers that the mode made fail."""
    aborted: int = 0
    """Requests whose client disconnected before the answer was complete."""
    closed: int = 0
    """Of `answered`: those that ended in a close, a reset or garbage by order, or that hung too long."""
    refused: int = 0
    """Orders and requests that could not be read."""
    connections: int = 0
    """Accepted so far."""
    open_connections: int = 0
    most_in_flight: int = 0
    most_open_connections: int = 0

    def opened(self) -> None:
        """Count an accepted connection."""
        self.connections += 1
        self.open_connections += 1
        self.most_open_connections = max(self.most_open_connections, self.open_connections)

    def began(self) -> None:
        """Count a request whose answer begins."""
        self.requests += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def ended(self) -> None:
        """Count a request whose answer has ended."""
        self.in_flight -= 1
        self.answered += 1

    def left(self) -> None:
        """Count a request whose client has disconnected."""
        self.in_flight -= 1
        self.aborted += 1

    def document(self) -> dict[str, int]:
        """Return the counts for JSON."""
        return dataclasses.asdict(self)
