"""Names that resolve as a test says, for the event loop of gateways that run in this process; addresses that swallow."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import uvloop


class Names(dict[str, list[list[str]]]):
    """By name the answers to come, one list of addresses for each question; the last one is given again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def say(self, name: str, *addresses: str) -> None:
        """This name has these addresses."""
        self[name] = [list(addresses)]

    def say_in_turn(self, name: str, *addresses: str) -> None:
        """Each question has the next of these addresses."""
        self[name] = [[address] for address in addresses]

    def answer(self, name: str) -> list[str] | None:
        """The addresses; None = the name is not one of ours."""
        answers = self.get(name)
        if answers is None:
            return None
        self.asked.append(name)
        return answers.pop(0) if len(answers) > 1 else answers[0]


@contextmanager
def resolving() -> Iterator[Names]:
    """Until the end of the block; other names resolve as ever."""
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
    """A listener whose queue is full: whoever else wants to connect is not answered (listen(2))."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((address, port), backlog=0))
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield
