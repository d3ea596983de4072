"""Upstream connections that belong to one client connection.

NTLM and Negotiate authenticate a connection, not a request (RFC 4559 6): every later request on it counts as that user's.
So such a connection serves one client connection, and is closed with it.
"""

from inferway_dataplane.core.upstreams.members import Member
from inferway_dataplane.core.upstreams.selection import BackendSet, Choice
from inferway_dataplane.engine.clock import NEVER
from inferway_dataplane.engine.upstream.connection import Keeper, UpstreamConnection
from inferway_dataplane.engine.upstream.connection_limit import Permit


class Closer(Keeper):
    """Keeps nothing: what must not be used again is closed when it is free."""

    __slots__ = ()

    def keep(self, connection: UpstreamConnection) -> None:
        connection.close()


CLOSER = Closer()


class PrivateLimit:
    """The cap on private connections of the process, and those of them that are unused, the oldest first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self.refused = 0  # connections that were closed after their response instead
        self.idle: dict[UpstreamConnection, None] = {}

    def enter(self) -> Permit | None:
        """Count a connection as private; None = there are too many."""
        if self.taken >= self.most:
            self.refused += 1
            return None
        self.taken += 1
        return Permit(self._on_leave)

    def _on_leave(self) -> None:
        self.taken -= 1

    def close_oldest(self) -> bool:
        """Close the connection that was unused for the longest; whether there was one."""
        oldest = next(iter(self.idle), None)
        if oldest is None:
            return False
        del self.idle[oldest]
        oldest.close()
        return True


class PrivateConnections(Keeper):
    """Those of one client connection: at most one for each endpoint."""

    __slots__ = ("_connections", "_is_closed", "_limit")

    def __init__(self, limit: PrivateLimit) -> None:
        self._limit = limit
        self._connections: dict[object, UpstreamConnection] = {}
        self._is_closed = False

    def bind(self, connection: UpstreamConnection) -> None:
        """Keep this connection from all other clients. Over the cap it is closed after its response."""
        if connection.keeper is not None:
            return
        connection.keeper = CLOSER
        if self._is_closed:
            return
        connection.binding = self._limit.enter()
        if connection.binding is None:
            return
        connection.keeper = self
        older = self._connections.get(connection.endpoint)
        self._connections[connection.endpoint] = connection
        if older is not None and older in self._limit.idle:
            del self._limit.idle[older]
            older.close()

    def take(self, endpoint: object) -> UpstreamConnection | None:
        """The connection to this endpoint, if it is unused and open."""
        connection = self._connections.get(endpoint)
        if connection is None or connection not in self._limit.idle:
            return None
        del self._limit.idle[connection]
        return None if connection.transport.is_closing() else connection

    def keep(self, connection: UpstreamConnection) -> None:
        if self._is_closed or self._connections.get(connection.endpoint) is not connection:
            connection.close()
            return
        connection.deadline = NEVER  # it ends with the client connection, or when the upstream closes
        self._limit.idle[connection] = None

    def choose(self, backend_set: BackendSet) -> Choice | None:
        """The member with which this client is authenticated, so that it gets the next request too."""
        for backend in backend_set.backends:
            for member in backend.members:
                if self._is_usable(backend_set, member):
                    return backend, member
        return None

    def _is_usable(self, backend_set: BackendSet, member: Member) -> bool:
        connection = self._connections.get(member.endpoint)
        return (
            connection is not None
            and connection in self._limit.idle
            and not connection.transport.is_closing()
            and member in backend_set.members
            and backend_set.is_available(member)
        )

    def close(self) -> None:
        """The client connection is gone."""
        self._is_closed = True
        for connection in self._connections.values():
            if connection in self._limit.idle:
                del self._limit.idle[connection]
                connection.close()
        self._connections.clear()
