"""How long calls to the API server may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds. No call takes longer."""

    connect: float = 2.0
    """TCP and TLS."""
    read: float = 8.0
    """A request with its answer; of a list, each page."""
    write: float = 4.0
    """A write. One that began before a Lease was lost must be over before another process may lead."""
    watch: int = 45
    """The API server is asked to end a watch after this time; a bookmark comes shortly before."""
    watch_grace: float = 5.0
    """A watch that has not ended this long after that is frozen, and is cut off."""
