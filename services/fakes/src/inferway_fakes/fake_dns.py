"""Fake DNS names for gateways whose event loop runs in this process; addresses that drop connection attempts."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import uvloop


class Names(dict[str, list[list[str]]]):
    """The answers for each name: one list of addresses per query. The last one is repeated."""

    def __init__(self) -> None:
        super().__init__()
        self.queries: list[str] = []

    def resolve(self, name: str, *addresses: str) -> None:
        """Answer every query for the name with these addresses."""
        self[name] = [list(addresses)]

    def resolve_in_turn(self, name: str, *addresses: str) -> None:
        """Answer each query for the name with the next of these addresses."""
        self[name] = [[address] for address in addresses]

    def answer(self, name: str) -> list[str] | None:
        """Return the addresses; None = the name is not a fake one."""
        answers = self.get(name)
        if answers is None:
            return None
        self.queries.append(name)
        return answers.pop(0) if len(answers) > 1 else answers[0]


@contextmanager
def resolving() -> Iterator[Names]:
    """Resolve fake names until the end of the block; other names resolve as usual."""
    names = Names()
    real = uvloop.Loop.getaddrinfo

    async def getaddrinfo(loop: Any, host: str, port: int, **options: Any) -> Any:
        addresses = names.answer(host)
        if addresses is None:
            return await real(loop, host, port, **options)
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))
            for address in addresses
        ]

    with mock.patch.object(uvloop.Loop, "getaddrinfo", getaddrinfo):
        yield names


@contextmanager
def swallowing(address: str, port: int) -> Iterator[None]:
    """Open a listener whose queue is full, so further connection attempts get no answer (listen(2))."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((address, port), backlog=0))
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield
