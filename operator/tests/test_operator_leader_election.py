"""Leadership: times of the Lease are UTC whatever the machine's zone, and nobody writes after his time (K2)."""

import asyncio
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes.aio.client import ApiException, V1Lease, V1LeaseSpec
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord

from inferway_operator.kube.leader_election import _Lock
from inferway_operator.settings import OperatorSettings

SETTINGS = OperatorSettings(identity="me")


@pytest.fixture(params=["UTC", "Asia/Kolkata", "America/New_York"])
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """The machine's time zone."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


class Leases:
    """What `CoordinationV1Api` would be; `failure` is raised by every call."""

    def __init__(self, holder: str = "") -> None:
        self.holder = holder
        self.failure: Exception | None = None

    async def read_namespaced_lease(self, name: str, namespace: str) -> V1Lease:
        """The Lease."""
        self.fail()
        moment = datetime.now(UTC)
        return V1Lease(
            spec=V1LeaseSpec(
                holder_identity=self.holder or None, lease_duration_seconds=15, acquire_time=moment, renew_time=moment
            )
        )

    async def create_namespaced_lease(self, namespace: str, body: V1Lease) -> None:
        """Takes it."""
        self.fail()

    async def replace_namespaced_lease(self, name: str, namespace: str, body: V1Lease) -> None:
        """Takes it too."""
        self.fail()

    def fail(self) -> None:
        """As it was told."""
        if self.failure is not None:
            raise self.failure


def lock(leases: Leases) -> _Lock:
    """A lock of this process on these Leases."""
    made = _Lock(None, SETTINGS)  # type: ignore[arg-type]
    made.api_instance = leases  # type: ignore[assignment]
    return made


def record() -> LeaderElectionRecord:
    """As the library makes one."""
    now = str(datetime.now())
    return LeaderElectionRecord("me", "15", now, now)


@pytest.mark.usefixtures("zone")
def test_lease_times_are_utc_in_any_time_zone() -> None:
    made = lock(Leases())
    spec = made.update_lease(record())
    written = spec.acquire_time
    assert written is not None
    assert abs((datetime.now(UTC) - written).total_seconds()) < 60
    again = made.election_record(
        V1Lease(
            spec=V1LeaseSpec(holder_identity="me", acquire_time=written, renew_time=written, lease_duration_seconds=15)
        )
    )
    assert made.update_lease(again).acquire_time == written


def test_leader_may_write_until_the_renew_deadline() -> None:
    made = lock(Leases())
    began = time.monotonic()
    assert asyncio.run(made.create("name", "namespace", record()))
    assert began + SETTINGS.renew_deadline <= made.held_until <= time.monotonic() + SETTINGS.renew_deadline


FAILURES: list[Any] = [
    OSError("away"), TimeoutError(), ApiException(status=500, reason="no"), ValueError("no time"), AttributeError("no spec"),
]  # fmt: skip
"""None of them, and no other, may end the election."""


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
@pytest.mark.case("K1")
def test_failed_renewal_does_not_extend_leadership(failure: Exception) -> None:
    leases = Leases("me")
    made = lock(leases)
    assert asyncio.run(made.create("name", "namespace", record()))
    until = made.held_until
    leases.failure = failure
    found, told = asyncio.run(made.get("name", "namespace"))
    assert not found
    assert isinstance(told, ApiException)
    assert not asyncio.run(made.create("name", "namespace", record()))
    assert made.held_until == until


@pytest.mark.case("K2")
def test_leadership_ends_when_another_holds_the_lease() -> None:
    leases = Leases()
    made = lock(leases)
    assert asyncio.run(made.create("name", "namespace", record()))
    leases.holder = "another"
    asyncio.run(made.get("name", "namespace"))
    assert made.held_until == 0.0
