"""How many connections and requests this process takes, and who has to go when it is full.

Descriptors are the scarce thing: each client connection takes one, each upstream connection another. What the process
may open is shared out beforehand, and a part is kept for what is neither (listeners, the admin port, names, the log), so
that the limit itself is never met: uvloop closes new connections silently when it is.

At the cap a new connection takes the place of the one that is missed least (`_rank`). A connection whose request is
complete keeps its place, unless its client does not take the answer.
"""

from typing import TYPE_CHECKING, Final

from inferway_dataplane.observe import count_in

if TYPE_CHECKING:
    from inferway_dataplane.engine.downstream import ClientConnection
    from inferway_dataplane.engine.gateway import Gateway

RESERVE: Final = 64
"""Descriptors that are neither client nor upstream connections."""

_SHARE_OF_ONE_SCAN: Final = 64  # a 64th of all connections is found by one look at them, so that looks stay rare
_UNREAD: Final = 5.0  # seconds without reading after which an answer does not protect its connection any more

_KINDS: Final = ("evicted_idle", "evicted_head", "evicted_body", "evicted_unread")


class Admission:
    """The caps, and the choice of who goes."""

    def __init__(self, gateway: "Gateway", descriptors: int) -> None:
        """`descriptors`: how many the process may have open (RLIMIT_NOFILE)."""
        settings = gateway.settings
        usable = max(descriptors - RESERVE, 2)
        self.max_connections = min(settings.max_connections, usable // 2)
        self.max_upstreams = usable - self.max_connections
        self.backlog = max(16, min(2048, descriptors // 8))
        self._gateway = gateway
        self._victims: list[tuple[int, ClientConnection]] = []
        self._nobody_at = -1.0  # the turn of the wheel in which nobody was found

    def admit(self) -> bool:
        """Whether one more client connection may stay; makes room where there is none."""
        gateway = self._gateway
        if len(gateway.connections) < self.max_connections or self._evict(len(_KINDS)):
            return True
        count_in(gateway.stats.shed, "connections")
        return False

    def free_upstream(self) -> bool:
        """Make room for an upstream connection: cut a client that does not take the answer it holds one for."""
        return self._evict(len(_KINDS), least=3)

    def _evict(self, most: int, least: int = 0) -> bool:
        for _ in range(2):
            while self._victims:
                kind, victim = self._victims.pop()
                ranked = self._rank(victim)
                if ranked is not None and ranked[0] == kind and least <= kind < most:
                    count_in(self._gateway.stats.cut, _KINDS[kind])
                    victim.transport.abort()
                    return True
            self._look(least)
        return False

    def _look(self, least: int) -> None:
        gateway = self._gateway
        if self._nobody_at == gateway.coarse_now:
            return  # one look a turn is enough to know that everybody has a reason to stay
        found = [
            (ranked, connection)
            for connection in gateway.connections
            if (ranked := self._rank(connection)) is not None and ranked[0] >= least
        ]
        found.sort(key=lambda item: item[0])
        if not found:
            self._nobody_at = gateway.coarse_now
        several = max(1, len(gateway.connections) // _SHARE_OF_ONE_SCAN)
        self._victims = [(ranked[0], connection) for ranked, connection in reversed(found[:several])]

    def _rank(self, connection: "ClientConnection") -> tuple[int, float] | None:
        """Who is missed least comes first: the kind, and within a kind the longest or the slowest. None = stays."""
        if connection.transport.is_closing():
            return None
        current = connection.current
        if current is None and not connection.waiting:
            # Waiting the longest is being late the soonest.
            is_idle = connection.is_deaf or (connection.has_asked and not connection.is_begun)
            return (0 if is_idle else 1, connection.deadline)
        if current is not None and current is connection.receiving and not current.has_answered:
            took = self._gateway.coarse_now - current.started - connection.held_seconds
            return (2, current.body_size / max(took, 1.0))
        since = self._gateway.coarse_now + self._gateway.settings.unread_timeout - connection.unread_deadline
        if connection.is_write_paused and since > _UNREAD:
            return (3, connection.unread_deadline)
        return None
