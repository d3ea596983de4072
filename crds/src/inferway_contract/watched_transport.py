"""A transport that reports each write, for a server that needs no support for that."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any


class WatchedTransport(asyncio.Transport):
    """Passes everything on to another transport. Its methods are those of asyncio."""

    def __init__(self, transport: asyncio.Transport, wrote: Callable[[], None], extra: Mapping[str, Any]) -> None:
        """`wrote` is called after each write; `extra` has further extra info by name."""
        super().__init__(extra)
        self._transport, self._wrote = transport, wrote

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the further info, or that of the other transport."""
        return super().get_extra_info(name) or self._transport.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._transport.write(data)
        self._wrote()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self._transport.writelines(list_of_data)
        self._wrote()

    def write_eof(self) -> None:
        self._transport.write_eof()

    def can_write_eof(self) -> bool:
        return self._transport.can_write_eof()

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._transport.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._transport.get_protocol()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)
