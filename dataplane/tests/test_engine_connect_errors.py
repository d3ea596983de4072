"""The problem of a connection that cannot be made, by the system's error."""

import asyncio
import errno
import socket
import ssl
from typing import Any

import pytest
from fake_transport import Transport

from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.engine.clock import Clock
from inferway_dataplane.engine.http1.head_cache import HeadCache
from inferway_dataplane.engine.upstream.pool import ConnectFailed, Pools
from inferway_dataplane.settings import Settings

RESET = ConnectionResetError(errno.ECONNRESET, "reset")


class FailingLoop(asyncio.SelectorEventLoop):
    """An event loop in which each connection attempt fails, and each name has `addresses` addresses."""

    def __init__(self, failures: list[BaseException], addresses: int) -> None:
        super().__init__()
        self.failures = iter(failures)
        self.addresses = [f"192.0.2.{number}" for number in range(1, addresses + 1)]
        self.tried: list[str] = []

    async def create_connection(self, factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        self.tried.append(host)
        raise next(self.failures)

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        return [(socket.AF_INET, None, 6, "", (address, port)) for address in self.addresses]


def problem_of_connect(failures: list[BaseException], *, tls: bool = False, addresses: int = 1) -> tuple[Problem, int]:
    """Return the problem after `failures`, one for each address in turn, and the number of addresses tried."""
    loop = FailingLoop(failures, addresses)

    async def main() -> Problem:
        pools = Pools(Clock(), HeadCache(), Settings(), 4, lambda: None)
        endpoint = pools.endpoint("models.example", 443, tls=tls, is_name=True)
        with pytest.raises(ConnectFailed) as failed:
            await endpoint.connect(5.0)
        assert pools.limiter.taken == 0
        return failed.value.problem

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main()), len(loop.tried)


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
def test_connect_error_decides_the_problem(failure: BaseException, tls: bool, problem: Problem) -> None:
    assert problem_of_connect([failure], tls=tls) == (problem, 1)


def test_connect_error_of_the_last_address_decides() -> None:
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    assert problem_of_connect([refused, TimeoutError(), ssl.SSLError(1, "x")], tls=True, addresses=3) == (
        problems.TLS_FAILED,
        3,
    )


class ForgetfulLoop(asyncio.SelectorEventLoop):
    """An event loop whose connections are made, and never reported as lost: as uvloop's when the wait ends just then."""

    async def create_connection(self, factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        factory().connection_made(Transport())
        await asyncio.sleep(3600)


def test_connection_made_while_its_client_leaves_is_forgotten() -> None:
    async def main() -> None:
        pools = Pools(Clock(), HeadCache(), Settings(), 4, lambda: None)
        pools.address_policy = "Standalone"
        attempt = asyncio.ensure_future(pools.endpoint("127.0.0.1", 80, tls=False, is_name=False).connect(5.0))
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(pools.connections) == 1
        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)
        assert (len(pools.connections), pools.limiter.taken) == (0, 0)

    with asyncio.Runner(loop_factory=ForgetfulLoop) as runner:
        runner.run(main())
