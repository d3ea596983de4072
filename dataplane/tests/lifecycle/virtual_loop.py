"""An event loop without sockets whose time is a number: a wait takes no time, and connections end in fake transports.

The transports behave as uvloop's do (`handles/stream.pyx`): a write to a connection that was reset closes it and reports that
only in the loop's next turn; a write after `connection_lost` or after `write_eof` raises `RuntimeError`; an exception in
`data_received` closes the connection and reaches the loop's handler.
"""

import asyncio
import selectors
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

HIGH_WATER: Final = 600
"""Bytes that a transport buffers before it pauses its protocol: few, so that small responses reach it."""


class _NoSelector(selectors.BaseSelector):
    """Nothing is ever ready; a wait moves the time instead."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("the loop would wait forever")
        if timeout > 0:
            self.now += timeout
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, 0, None)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return {}


class VirtualLoop(asyncio.SelectorEventLoop):
    """`dial` decides about new connections: it returns a transport, or raises `OSError`, perhaps later."""

    def __init__(self) -> None:
        self._virtual = _NoSelector()
        super().__init__(self._virtual)
        self.calls = 0  # of `call_soon`
        self.errors: list[str] = []
        self.seam: Callable[[str], None] = lambda name: None
        """Called before what the gateway does to a transport; it may raise."""
        self.dial: Callable[[str, int], Any] | None = None
        self.set_exception_handler(self._on_error)

    def time(self) -> float:
        return self._virtual.now

    def call_soon(self, callback: Any, *arguments: Any, context: Any = None) -> asyncio.Handle:
        self.calls += 1
        return super().call_soon(callback, *arguments, context=context)

    async def turn(self, most: int) -> None:
        """Let what is ready run, for at most this number of turns."""
        for _ in range(most):
            before = self.calls
            await asyncio.sleep(0)
            if self.calls == before + 1:
                return  # only this task was ready

    def _on_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    # The loop has many overloads; the gateway calls one of them.
    async def create_connection(  # type: ignore[override]
        self, factory: Callable[[], Any], host: str, port: int, **_: Any
    ) -> tuple["Transport", Any]:
        assert self.dial is not None
        transport = await self.dial(host, port)
        protocol = factory()
        transport.begin(protocol)
        return transport, protocol


class Transport:
    """One connection between the gateway and a peer. The peer's side has verbs of its own, in the second half."""

    def __init__(self, loop: VirtualLoop, peer: str, *, can_half_close: bool = True) -> None:
        self._loop = loop
        self._peer = peer
        self._can_half_close = can_half_close
        self._protocol: Any = None
        self._is_closing = False
        self._is_lost_scheduled = False
        self.is_dead = False
        """`connection_lost` was called."""
        self.has_eof = False
        self.is_aborted = False
        self._is_reading = True
        self._is_paused = False
        self.on_write: Callable[[int], None] = lambda size: None
        """Called with the size of all that the gateway writes, before it arrives."""
        self._pending = bytearray()
        """Written by the gateway, not taken by the peer."""
        # The peer
        self.received = bytearray()
        self.is_stuck = False
        self.has_sent_fin = False
        self.has_reset = False
        self._inbox: deque[bytes | None] = deque()
        """Sent by the peer, not read by the gateway. None = a FIN."""

    # --- the gateway's side -----------------------------------------------------------------------------------------------

    def begin(self, protocol: Any) -> None:
        """Connect it with its protocol."""
        self._protocol = protocol
        self._call("connection_made", self)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self._peer, 4711) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._loop.seam("set_write_buffer_limits")
        self._ensure_alive()

    def get_write_buffer_size(self) -> int:
        return len(self._pending)

    def write(self, data: bytes) -> None:
        self._loop.seam("write")
        self._ensure_alive()
        if self.has_eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if not data or self._is_lost_scheduled:
            return
        if self.has_reset:
            self._force_close(ConnectionResetError())
            return
        self.on_write(len(data))
        if not self.is_stuck and not self._pending:
            self.received += data
            return
        self._pending += data
        if len(self._pending) > HIGH_WATER and not self._is_paused:
            self._is_paused = True
            self._call("pause_writing")

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.write(b"".join(pieces))

    def can_write_eof(self) -> bool:
        return self._can_half_close

    def write_eof(self) -> None:
        self._loop.seam("write_eof")
        self._ensure_alive()
        if not self._can_half_close:
            raise NotImplementedError  # as a TLS transport does
        self.has_eof = True
        if self.has_reset:
            self._force_close(OSError("not connected"))

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        if not self._pending:
            self._schedule_lost(None)

    def abort(self) -> None:
        if not self.is_dead:
            self.is_aborted = True
        self._force_close(None)

    def pause_reading(self) -> None:
        self._loop.seam("pause_reading")
        self._is_reading = False

    def resume_reading(self) -> None:
        self._loop.seam("resume_reading")
        if not self._is_reading and not self._is_closing:
            self._is_reading = True
            self._loop.call_soon(self.deliver)

    def _ensure_alive(self) -> None:
        if self.is_dead:
            raise RuntimeError("unable to perform operation; the handler is closed")

    def _force_close(self, error: Exception | None) -> None:
        self._is_closing = True
        self._pending.clear()
        self._schedule_lost(error)

    def _schedule_lost(self, error: Exception | None) -> None:
        if not self._is_lost_scheduled:
            self._is_lost_scheduled = True
            self._loop.call_soon(self._lose, error)

    def _lose(self, error: Exception | None) -> None:
        self._call("connection_lost", error)
        self.is_dead = True

    def _call(self, name: str, *arguments: Any) -> Any:
        """Call the protocol; an exception goes to the loop's handler."""
        try:
            return getattr(self._protocol, name)(*arguments)
        except Exception as error:
            self._loop.call_exception_handler({"message": f"protocol.{name}() failed", "exception": error})
            if name in ("data_received", "eof_received"):
                self.is_aborted = True
                self._force_close(error)
            return None

    # --- the peer's side --------------------------------------------------------------------------------------------------

    def now(self) -> float:
        """The loop's time."""
        return self._loop.time()

    @property
    def is_over(self) -> bool:
        """Whether the gateway takes and gives nothing more, now or after what was written."""
        return self._is_closing

    @property
    def is_fin_received(self) -> bool:
        """Whether the peer has read a FIN of the gateway: no more comes."""
        return (
            not (self.is_aborted or self.has_reset) and not self._pending and (self.has_eof or self._is_lost_scheduled)
        )

    def take(self) -> bytes:
        """What has arrived since the last call."""
        data = bytes(self.received)
        self.received.clear()
        return data

    def send(self, data: bytes) -> None:
        """The peer sends a segment."""
        if not (self.has_sent_fin or self.has_reset or self._is_closing):
            self._inbox.append(data)
            self.deliver()

    def finish(self) -> None:
        """The peer ends its side."""
        if not (self.has_sent_fin or self.has_reset or self._is_closing):
            self.has_sent_fin = True
            self._inbox.append(None)
            self.deliver()

    def reset(self, *, is_read: bool, keeps_inbox: bool = False) -> None:
        """The peer resets. `is_read`: the gateway notices it by reading, now if it reads; else by its next write."""
        if self.has_reset or self.is_dead:
            return
        self.has_reset = True
        self.is_stuck = False
        if not keeps_inbox:
            self._inbox.clear()
        if is_read and self._is_reading and not self._is_closing and not self._inbox:
            self._force_close(ConnectionResetError())

    def notice(self, *, is_polled: bool = False) -> None:
        """The gateway learns of a reset, if it reads or polls."""
        if self.has_reset and (self._is_reading or is_polled):
            self._force_close(ConnectionResetError())

    @property
    def is_fin_unread(self) -> bool:
        """Whether a FIN is the next thing to read."""
        return bool(self._inbox) and self._inbox[-1] is None

    def deliver(self) -> None:
        """Hand over what was sent, as long as the gateway reads."""
        while self._inbox and self._is_reading and not self._is_closing:
            data = self._inbox.popleft()
            if data is None:
                if self._call("eof_received"):
                    # As uvloop: nothing more can come, and who reads again meets the FIN again.
                    self._inbox.appendleft(None)
                    self._is_reading = False
                else:
                    self.close()
            else:
                self._call("data_received", data)
        if self.has_reset and self._is_reading and not self._inbox:
            self._force_close(ConnectionResetError())

    def stop_reading(self) -> None:
        """The peer takes nothing until `read`."""
        self.is_stuck = True

    def read(self, size: int | None = None) -> None:
        """The peer takes `size` bytes that wait; None = all, from now on too."""
        if size is None:
            self.is_stuck = False
            size = len(self._pending)
        self.received += self._pending[:size]
        del self._pending[:size]
        if self._is_paused and len(self._pending) <= HIGH_WATER // 4:
            self._is_paused = False
            if not self.is_dead:
                self._call("resume_writing")
        if self._is_closing and not self._pending:
            self._schedule_lost(None)
