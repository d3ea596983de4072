"""How many connections and requests this process takes, and which one is evicted when it is full.

Descriptors are scarce: each client connection takes one, each upstream connection another. The process's limit is divided
beforehand, and a part is reserved for other uses (listeners, the admin port, names, the log), so that it is never reached.

At the cap a new connection takes the place of the least useful one (`rank`): an idle one, one with an incomplete head, one
with an incomplete body, and last one that does not read its response (decision 0006). Within a kind the longest wait, or
the slowest body, goes first. A connection that has just come or just done something goes only after all of these: a flood
of connections that are cut again at once must not push out a client that is about to send a request.
"""

from asyncio import Protocol as LoopProtocol
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from inferway_dataplane.engine.clock import Clock
from inferway_dataplane.engine.downstream.states import DEAF, LINGERING, OPEN
from inferway_dataplane.engine.downstream.timeouts import LINGER
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.engine.http1.request_parser import BETWEEN
from inferway_dataplane.observability.stats import Stats, count_in
from inferway_dataplane.settings import Settings

RESERVE: Final = 64
"""Descriptors that are neither client nor upstream connections."""

YOUNG: Final = 1.0
"""Seconds for which a connection may do nothing before it is ranked by its kind."""

_SHARE_OF_ONE_SCAN: Final = 64  # one scan finds a 64th of all connections, so that scans stay rare

IDLE: Final = 0
HEAD: Final = 1
BODY: Final = 2
UNREAD: Final = 3
EVICTED: Final = ("evicted_idle", "evicted_head", "evicted_body", "evicted_unread")
"""The reason in the metric, by kind."""

Rank = tuple[int, float, int]
"""Its kind (`_IS_YOUNG` if it has just come or done something), its place among those, and its kind in any case: the
smallest goes first."""

_IS_YOUNG: Final = 9
_JUST_ANSWERED: Final = 10


class EvictableConnection(Protocol):
    """A client connection, as far as eviction concerns it."""

    transport: Any
    state: int
    place: int
    current: Exchange | None
    receiving: Exchange | None
    waiting: Any
    held_seconds: float
    is_write_paused: bool
    deadline: float
    unread_deadline: float


class ConnectionCap:
    """All client connections of the process, the caps, and the choice of which one is evicted."""

    def __init__(self, settings: Settings, clock: Clock, stats: Stats, descriptors: int) -> None:
        """`descriptors`: the number that the process may have open (RLIMIT_NOFILE)."""
        usable = max(descriptors - RESERVE, 2)
        self.max_connections = min(settings.max_connections, usable // 2)
        self.max_upstreams = usable - self.max_connections
        self.connections: set[Any] = set()
        self._settings = settings
        self._clock = clock
        self._stats = stats
        # Accepted, not yet made. How to cut them during a TLS handshake; None for the others, which take a few turns only.
        self.coming: dict[LoopProtocol, Callable[[], object] | None] = {}
        self.going: set[Any] = set()  # cut, but the loop has not reported it yet
        self._victims: list[tuple[Rank, Any]] = []
        self._exhausted_at = -1.0  # the turn of the wheel in which no connection could be evicted

    def on_made(self, connection: LoopProtocol) -> None:
        self.connections.add(connection)
        self.coming.pop(connection, None)

    def on_lost(self, connection: LoopProtocol) -> None:
        self.connections.discard(connection)
        self.going.discard(connection)

    def admit(self) -> bool:
        """Whether there is room for one more client connection; evicts one if necessary."""
        taken = len(self.connections) - len(self.going) + len(self.coming)
        return taken < self.max_connections or self._evict()

    def free_upstream(self) -> bool:
        """Make room for an upstream connection: cut the client that has not read its response for the longest time."""
        ranked = [
            (rank, one)
            for one in self.connections
            if one.is_write_paused
            and one.current is not None
            and one.current.work is not None
            and one.current.work.connection is not None
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
            self._scan()
        return False

    def _cut(self, rank: Rank, victim: Any) -> None:
        count_in(self._stats.cut, EVICTED[rank[2]])
        cancel = self.coming.pop(victim, None)
        if cancel is not None:
            cancel()
        else:
            self.going.add(victim)
            victim.transport.abort()

    def _scan(self) -> None:
        now = self._clock.coarse_now
        if self._exhausted_at == now:
            return  # one scan a turn is enough to learn that every connection is in use
        candidates: Iterable[Any] = (*self.connections, *self.coming)
        ranked = [(rank, one) for one in candidates if (rank := self.rank(one)) is not None]
        ranked.sort(key=lambda item: item[0])
        if not ranked:
            self._exhausted_at = now
        several = max(1, len(self.connections) // _SHARE_OF_ONE_SCAN)
        self._victims = ranked[several - 1 :: -1] if len(ranked) >= several else ranked[::-1]

    def rank(self, connection: EvictableConnection) -> Rank | None:
        """How useful a connection is. None: its request is complete and its client reads, so it stays."""
        settings, now = self._settings, self._clock.coarse_now
        transport, current, receiving = connection.transport, connection.current, connection.receiving
        if transport is None:
            if self.coming.get(connection) is None:  # type: ignore[call-overload]  # any connection may be asked for
                return None  # cut already, or made in a moment
            kind, waits = HEAD, now + settings.head_timeout - connection.deadline
        elif transport.is_closing():
            # Closed by the gateway: a client that does not take the rest, or does not end TLS, is not missed.
            if connection in self.going:
                return None
            kind = UNREAD if transport.get_write_buffer_size() else IDLE
            waits = now + settings.unread_timeout - connection.unread_deadline
        elif connection.is_write_paused:
            kind, waits = UNREAD, now + settings.unread_timeout - connection.unread_deadline
        elif current is None and not connection.waiting:
            is_deaf = connection.state == DEAF or connection.state == LINGERING
            is_idle = is_deaf or (connection.state == OPEN and connection.place == BETWEEN)
            # The longest wait is the earliest deadline.
            limit = LINGER if is_deaf else settings.idle_timeout if is_idle else settings.head_timeout
            kind, waits = (IDLE if is_idle else HEAD), now + limit - connection.deadline
            if transport.get_write_buffer_size():
                if waits < YOUNG:
                    # It has just got a response, which the kernel may not even have: the very last.
                    return (_JUST_ANSWERED, -waits, UNREAD)
                kind = UNREAD
        elif current is not None and current is receiving and not current.has_answered:
            took = now - current.started - connection.held_seconds
            size = current.body.size if current.body is not None else 0
            return (BODY, size / took, BODY) if took >= YOUNG else (_IS_YOUNG, -took, BODY)
        else:
            return None
        return (kind if waits >= YOUNG else _IS_YOUNG, -waits, kind)
