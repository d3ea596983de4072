"""The problem of a connection that cannot be made, by the system's error."""

import asyncio
import errno
import socket
import ssl
from typing import Any

import pytest

from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.engine.clock import Clock
from inferway_dataplane.engine.http1.head_cache import HeadCache
from inferway_dataplane.engine.upstream.pool import ConnectFailed, Pools
from inferway_dataplane.settings import Settings

RESET = ConnectionResetError(errno.ECONNRESET, "reset")


def connect(
    monkeypatch: pytest.MonkeyPatch, failures: list[BaseException], *, tls: bool = False, addresses: int = 1
) -> tuple[Problem, int]:
    """The problem of one that fails so at each of its addresses in turn; and how many were tried."""
    tried = []

    async def create_connection(loop: Any, factory: Any, host: str, *args: Any, **options: Any) -> Any:
        tried.append(host)
        raise failures[len(tried) - 1]

    async def getaddrinfo(loop: Any, host: str, port: int, **options: Any) -> Any:
        return [(socket.AF_INET, None, 6, "", (f"192.0.2.{number}", port)) for number in range(1, addresses + 1)]

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", create_connection)
    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)

    async def main() -> Problem:
        pools = Pools(Clock(), HeadCache(), Settings(), 4, lambda: None)
        endpoint = pools.endpoint("models.example", 443, tls=tls, is_name=True)
        with pytest.raises(ConnectFailed) as failed:
            await endpoint.connect(5.0)
        assert pools.limiter.taken == 0
        return failed.value.problem

    return asyncio.run(main()), len(tried)


@pytest.mark.parametrize(
    ("failure", "tls", "problem"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), False, problems.CONNECT_FAILED),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), True, problems.CONNECT_FAILED),
        (OSError(errno.EHOSTUNREACH, "no route"), True, problems.CONNECT_FAILED),
        (TimeoutError(), False, problems.CONNECT_TIMEOUT),
        (ssl.SSLError(1, "wrong version"), True, problems.TLS_FAILED),
        (ssl.SSLCertVerificationError(1, "expired"), True, problems.TLS_FAILED),
        (RESET, True, problems.TLS_FAILED),
        (ConnectionAbortedError(errno.ECONNABORTED, "aborted"), True, problems.TLS_FAILED),
        (RESET, False, problems.CONNECT_FAILED),
        # The gateway lacks descriptors; the endpoint is not at fault and must not be ejected.
        (OSError(errno.EMFILE, "too many open files"), False, problems.PENDING_OVERFLOW),
        (OSError(errno.ENFILE, "too many open files"), True, problems.PENDING_OVERFLOW),
    ],
    ids=lambda value: value.code if isinstance(value, Problem) else repr(value),
)
def test_what_failed_decides_what_is_told(
    monkeypatch: pytest.MonkeyPatch, failure: BaseException, tls: bool, problem: Problem
) -> None:
    assert connect(monkeypatch, [failure], tls=tls) == (problem, 1)


def test_the_last_address_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    assert connect(monkeypatch, [refused, TimeoutError(), ssl.SSLError(1, "x")], tls=True, addresses=3) == (
        problems.TLS_FAILED,
        3,
    )
