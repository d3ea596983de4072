"""What a scripted upstream has seen, for `GET /_fake/stats`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(slots=True)
class Stats:
    """Control requests count nowhere, their connections do."""

    requests: int = 0
    health_requests: int = 0
    """Not among `requests`."""
    in_flight: int = 0
    """Requests whose answer is not complete."""
    answered: int = 0
    """Requests whose answer ended as it was told to: complete, failed, or closed."""
    failed: int = 0
    """Answers that the mode made fail."""
    aborted: int = 0
    """The client left before its answer was complete."""
    closed: int = 0
    """Of `answered`: those that ended in a close, a reset or garbage because the order said so, or that hung too long."""
    refused: int = 0
    """Orders and requests that could not be read."""
    connections: int = 0
    """Accepted so far."""
    open_connections: int = 0
    most_in_flight: int = 0
    most_open_connections: int = 0

    def opened(self) -> None:
        """A connection was accepted."""
        self.connections += 1
        self.open_connections += 1
        self.most_open_connections = max(self.most_open_connections, self.open_connections)

    def began(self) -> None:
        """A request is to be answered."""
        self.requests += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def ended(self) -> None:
        """A request has its answer."""
        self.in_flight -= 1
        self.answered += 1

    def left(self) -> None:
        """The client of a request has left."""
        self.in_flight -= 1
        self.aborted += 1

    def document(self) -> dict[str, int]:
        """For JSON."""
        return dataclasses.asdict(self)
