"""How many connections and requests this process takes, and who has to go when it is full.

Descriptors are the scarce thing: each client connection takes one, each upstream connection another. What the process
may open is shared out beforehand, and a part is kept for what is neither (listeners, the admin port, names, the log), so
that the limit itself is never met.

At the cap a new connection takes the place of the one that is missed least (`rank`): an idle one, one with an incomplete
head, one with an incomplete body, and last one that does not take its answer (decision 0006). Within a kind the longest
wait, or the slowest body, goes first. Whoever has just come or just done something goes only after all of these, so that
those who come and are cut again by the hundred do not push out a client that is about to ask.
"""

from asyncio import Protocol
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from inferway_dataplane.engine.downstream.timeouts import LINGER
from inferway_dataplane.observability.stats import count_in

if TYPE_CHECKING:
    from inferway_dataplane.engine.downstream.connection import ClientConnection
    from inferway_dataplane.gateway import Gateway

RESERVE: Final = 64
"""Descriptors that are neither client nor upstream connections."""

YOUNG: Final = 1.0
"""Seconds for which a connection may do nothing before it is looked at as one that does nothing."""

_SHARE_OF_ONE_SCAN: Final = 64  # a 64th of all connections is found by one look at them, so that looks stay rare

IDLE, HEAD, BODY, UNREAD = range(4)
_NAMES: Final = ("evicted_idle", "evicted_head", "evicted_body", "evicted_unread")

Rank = tuple[int, float, int]
"""Its kind (`_YOUNG_ONES` where it has just come or done something), its place among those, and its kind in any case: the
smallest goes first."""

_YOUNG_ONES: Final = 9
_JUST_ANSWERED: Final = 10


class ConnectionCap:
    """The caps, and the choice of who goes."""

    def __init__(self, gateway: "Gateway", descriptors: int) -> None:
        """`descriptors`: how many the process may have open (RLIMIT_NOFILE)."""
        settings = gateway.settings
        usable = max(descriptors - RESERVE, 2)
        self.max_connections = min(settings.max_connections, usable // 2)
        self.max_upstreams = usable - self.max_connections
        self._gateway = gateway
        # Accepted, not yet made. How to cut them while TLS shakes hands; None for the others, which take some turns only.
        self.coming: dict[Protocol, Callable[[], object] | None] = {}
        self.going: set[Protocol] = set()  # cut, but the loop has not said so yet
        self._victims: list[tuple[Rank, ClientConnection]] = []
        self._nobody_at = -1.0  # the turn of the wheel in which nobody was found

    def admit(self) -> bool:
        """Whether there is room for one more client connection; makes room where there is none."""
        taken = len(self._gateway.connections) - len(self.going) + len(self.coming)
        return taken < self.max_connections or self._evict()

    def free_upstream(self) -> bool:
        """Make room for an upstream connection: cut the client that has not taken of its answer for the longest time."""
        ranked = [
            (rank, one)
            for one in self._gateway.connections
            if one.is_write_paused
            and one.current is not None
            and one.current.upstream is not None
            and (rank := self.rank(one)) is not None
        ]
        if not ranked:
            return False
        self._cut(*min(ranked, key=lambda item: item[0]))
        return True

    def _evict(self) -> bool:
        for _ in range(2):
            while self._victims:
                rank, victim = self._victims.pop()
                now = self.rank(victim)
                if now is not None and now[0] <= rank[0]:
                    self._cut(now, victim)
                    return True
            self._look()
        return False

    def _cut(self, rank: Rank, victim: "ClientConnection") -> None:
        count_in(self._gateway.stats.cut, _NAMES[rank[2]])
        cut = self.coming.pop(victim, None)
        if cut is not None:
            cut()
        else:
            self.going.add(victim)
            victim.transport.abort()

    def _look(self) -> None:
        gateway = self._gateway
        if self._nobody_at == gateway.coarse_now:
            return  # one look a turn is enough to know that everybody has a reason to stay
        everybody: Iterable[Any] = (*gateway.connections, *self.coming)
        found = [(rank, one) for one in everybody if (rank := self.rank(one)) is not None]
        found.sort(key=lambda item: item[0])
        if not found:
            self._nobody_at = gateway.coarse_now
        several = max(1, len(gateway.connections) // _SHARE_OF_ONE_SCAN)
        self._victims = found[several - 1 :: -1] if len(found) >= several else found[::-1]

    def rank(self, connection: "ClientConnection") -> Rank | None:
        """How little a connection is missed. None = its request is complete and its client reads, so it stays."""
        gateway = self._gateway
        settings = gateway.settings
        current = connection.current
        if connection.transport is None:
            if self.coming.get(connection) is None:
                return None  # cut already, or made in a moment
            kind, waits = HEAD, gateway.coarse_now + settings.head_timeout - connection.deadline
        elif connection.transport.is_closing():
            # We have closed it; who does not take the rest, or does not end TLS, is missed by nobody.
            if connection in self.going:
                return None
            is_read = not connection.transport.get_write_buffer_size()
            kind = IDLE if is_read else UNREAD
            waits = gateway.coarse_now + settings.unread_timeout - connection.unread_deadline
        elif connection.is_write_paused:
            kind, waits = UNREAD, gateway.coarse_now + settings.unread_timeout - connection.unread_deadline
        elif current is None and not connection.waiting:
            is_idle = connection.is_deaf or (connection.has_asked and not connection.is_begun)
            # Waiting the longest is being late the soonest.
            limit = LINGER if connection.is_deaf else settings.idle_timeout if is_idle else settings.head_timeout
            kind, waits = (IDLE if is_idle else HEAD), gateway.coarse_now + limit - connection.deadline
            if connection.transport.get_write_buffer_size():
                if waits < YOUNG:
                    # It has just been answered, and the answer may not even be in the kernel's hands: the very last.
                    return (_JUST_ANSWERED, -waits, UNREAD)
                kind = UNREAD
        elif current is not None and current is connection.receiving and not current.has_answered:
            took = gateway.coarse_now - current.started - connection.held_seconds
            return (BODY, current.body_size / took, BODY) if took >= YOUNG else (_YOUNG_ONES, -took, BODY)
        else:
            return None
        return (kind if waits >= YOUNG else _YOUNG_ONES, -waits, kind)
