"""The election: its decisions as tables, and two candidates over real HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import uvloop
from fake_api import FakeApi, Fault, fake_api

from inferway_kube.api_health import ApiHealth
from inferway_kube.client import Client
from inferway_kube.deadlines import Deadlines
from inferway_kube.errors import ApiError
from inferway_kube.leader_election import Election, LeaderElection, Record, may_hold, read, spec_of, timestamp
from inferway_testing.until import until_async

pytestmark = pytest.mark.outside

LEASES = "/apis/coordination.k8s.io/v1/namespaces/demo/leases"
NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
SOON = "2026-11-30T11:59:55.000000Z"

ELECTION = Election("leader", "demo", "me", lease_duration=15)
STEADY = Election("leader", "demo", "me", lease_duration=8, renew_deadline=5.0, retry_period=0.05)
QUICK = Election("leader", "demo", "me", lease_duration=4, renew_deadline=1.0, retry_period=0.05)
"""One whose Lease is soon lost."""


def record(holder: str = "other", **more: Any) -> Record:
    """A Lease."""
    return Record(**{"holder": holder, "duration": 15, "acquired": SOON, "renewed": SOON, "transitions": 3, **more})


DECISIONS = {
    "mine": (record("me"), 0.0, True),
    "mine, expired": (record("me"), -100.0, True),
    "given back": (record(""), 0.0, True),
    "another's, just observed": (record(), 0.0, False),
    "another's, in its last moment": (record(), -14.9, False),
    "another's, expired": (record(), -15.0, True),
    "another's, with a longer duration": (record(duration=60), -15.0, False),
}


@pytest.mark.parametrize(("found", "since", "expected"), DECISIONS.values(), ids=DECISIONS)
def test_decision_by_holder_and_own_clock(found: Record, since: float, expected: bool) -> None:
    assert may_hold(found, since, "me", 0.0) is expected


SPECS = {
    "absent": (None, NOON, 0),
    "renewed": (record("me"), None, 3),
    "taken": (record(), NOON, 4),
    "given back": (record(""), NOON, 4),
    "mine without a time": (record("me", acquired=""), NOON, 3),
}


@pytest.mark.parametrize(("before", "acquired", "transitions"), SPECS.values(), ids=SPECS)
def test_spec_of_a_held_lease(before: Record | None, acquired: datetime | None, transitions: int) -> None:
    assert spec_of(ELECTION, before, NOON) == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "acquireTime": SOON if acquired is None else timestamp(acquired),
        "renewTime": "2026-11-30T12:00:00.000000Z",
        "leaseTransitions": transitions,
    }


@pytest.mark.parametrize("hours", [0, 5.5, -5])
def test_timestamp_is_utc_in_any_zone(hours: float) -> None:
    local = NOON.astimezone(timezone(timedelta(hours=hours)))
    assert timestamp(local) == "2026-11-30T12:00:00.000000Z"


def lease(**spec: Any) -> dict[str, Any]:
    """As the API server has one."""
    return {"kind": "Lease", "metadata": {"name": "leader", "uid": "1", "resourceVersion": "7"}, "spec": spec}


def test_read_takes_a_lease_as_client_go_writes_it() -> None:
    found = lease(
        holderIdentity="x",
        leaseDurationSeconds=30,
        acquireTime=SOON,
        renewTime="2026-11-30T12:00:00Z",
        leaseTransitions=2,
    )
    assert read("GET", found, 15) == Record("x", 30, SOON, "2026-11-30T12:00:00Z", 2)
    assert read("GET", lease(), 15) == Record("", 15, "", "", 0)
    huge = lease(leaseDurationSeconds=10**400, leaseTransitions=10**400)
    assert read("GET", huge, 15) == Record("", 15, "", "", 0)


NO_LEASES = {
    "no spec": {"metadata": lease()["metadata"]},
    "no metadata": {"spec": {}},
    "no version": {"metadata": {"name": "leader", "uid": "1"}, "spec": {}},
    "time that is none": lease(renewTime="yesterday"),
    "time that is a number": lease(acquireTime=7),
}


@pytest.mark.parametrize("found", NO_LEASES.values(), ids=NO_LEASES)
def test_read_refuses_what_is_not_a_lease(found: dict[str, Any]) -> None:
    with pytest.raises(ApiError, match="not a Lease"):
        read("GET", found, 15)


class Candidate:
    """One that runs."""

    def __init__(self, client: Client, election: Election) -> None:
        self.terms = 0
        self.working = 0
        self.changes: list[bool] = []
        health = ApiHealth(logging.getLogger("test"))
        self.election = LeaderElection(client, election, self._lead, health, self.changes.append)
        self.task = asyncio.create_task(self.election.run())

    async def _lead(self) -> None:
        self.terms += 1
        self.working += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.working -= 1

    async def stop(self) -> None:
        """As a process that ends in order."""
        self.task.cancel()
        await asyncio.wait([self.task])
        assert self.task.cancelled()


@asynccontextmanager
async def candidate(api: FakeApi, election: Election = STEADY) -> AsyncIterator[Candidate]:
    """Until the block ends."""
    async with Client(api.login, "test", Deadlines(connect=0.3, read=0.3, write=0.3)) as client:
        made = Candidate(client, election)
        try:
            yield made
        finally:
            if not made.task.done():
                await made.stop()


def holder(api: FakeApi) -> str:
    """Of the Lease."""
    return str(api.collections[LEASES]["leader"]["spec"].get("holderIdentity", ""))


def test_election_takes_renews_and_gives_back() -> None:
    async def run() -> None:
        async with fake_api(LEASES) as api:
            async with candidate(api) as one:
                await until_async(lambda: one.working == 1, "it leads")
                assert one.election.is_held()
                first = api.collections[LEASES]["leader"]["spec"]
                await until_async(
                    lambda: api.collections[LEASES]["leader"]["spec"]["renewTime"] > first["renewTime"], "renewed"
                )
                assert api.collections[LEASES]["leader"]["spec"]["acquireTime"] == first["acquireTime"]
                async with candidate(api, replace(STEADY, identity="other")) as two:
                    await asyncio.sleep(0.3)  # several attempts
                    assert (two.terms, holder(api)) == (0, "me")
                    await one.stop()
                    assert (one.working, one.changes) == (0, [True, False])
                    await until_async(lambda: two.working == 1, "the other leads at once", 4)
                    assert not one.election.is_held()
            assert holder(api) == ""

    asyncio.run(run())


@pytest.mark.case("K2")
def test_election_ends_a_term_whose_lease_cannot_be_renewed() -> None:
    """Before another may take it, by this process's own clock."""

    async def run() -> None:
        async with fake_api(LEASES) as api, candidate(api, QUICK) as one:
            await until_async(lambda: one.working == 1, "it leads")
            began = asyncio.get_running_loop().time()
            api.fault("leases", 503, times=10_000)
            await until_async(lambda: not one.election.is_held(), "the fence")
            assert asyncio.get_running_loop().time() - began < QUICK.lease_duration
            await until_async(lambda: one.working == 0, "its work has ended")
            api.faults.clear()
            await until_async(lambda: one.terms == 2, "it leads again")

    asyncio.run(run())


@pytest.mark.case("K2")
def test_election_is_lost_when_another_holds_the_lease() -> None:
    async def run() -> None:
        async with fake_api(LEASES) as api, candidate(api) as one:
            await until_async(lambda: one.working == 1, "it leads")
            stolen = lease(holderIdentity="thief", leaseDurationSeconds=1, renewTime=SOON, acquireTime=SOON)
            api.put(LEASES, "leader", spec=stolen["spec"])
            await until_async(lambda: one.working == 0, "it stops")
            await until_async(lambda: one.working == 1, "it takes the Lease when that has expired")
            assert api.collections[LEASES]["leader"]["spec"]["leaseTransitions"] == 1

    asyncio.run(run())


def answer(**spec: Any) -> str:
    """A Lease as no API server would give it."""
    return json.dumps({"metadata": {"name": "a"}, "spec": {"holderIdentity": "x", **spec}})


ANSWERS = {
    "page": Fault("(GET|PUT) .*/leases/", body="<html>", times=2),
    "list": Fault("(GET|PUT) .*/leases/", body="[]", times=2),
    "empty": Fault("(GET|PUT) .*/leases/", times=2),
    "no time": Fault("(GET|PUT) .*/leases/", body=answer(renewTime="yesterday"), times=2),
    "text": Fault("(GET|PUT) .*/leases/", body='"Lease"', times=2),
    "not found page": Fault("GET .*/leases/", 404, "<html>", times=2),
    "refused page": Fault("PUT .*/leases/", body="<html>"),
    "conflict": Fault("PUT .*/leases/", 409, times=2),
    "slow": Fault("GET .*/leases/", delay=1.0),
}


@pytest.mark.case("K1")
@pytest.mark.parametrize("fault", ANSWERS.values(), ids=ANSWERS)
def test_election_leads_on_after_any_answer(fault: Fault) -> None:
    fault.hits = 0

    async def run() -> None:
        async with fake_api(LEASES) as api, candidate(api) as one:
            await until_async(lambda: one.working == 1, "it leads")
            api.faults.append(fault)
            await until_async(lambda: fault.hits == fault.times, "the answer was given")
            renewed = api.collections[LEASES]["leader"]["spec"]["renewTime"]
            await until_async(
                lambda: api.collections[LEASES]["leader"]["spec"]["renewTime"] > renewed, "it renews again"
            )
            assert (one.terms, one.working) == (1, 1)
            assert not any(line.startswith("POST") for line in api.requests[2:]), "the Lease was there all the time"

    asyncio.run(run())


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_election_that_ends_during_a_write_gives_the_lease_back(method: str) -> None:
    """Or another candidate would wait until it expires."""

    async def run() -> None:
        async with fake_api(LEASES) as api, candidate(api) as one:
            if method == "PUT":
                await until_async(lambda: one.working == 1, "it leads")
            slow = api.fault(method, 0, delay=0.2)
            await until_async(lambda: slow.hits == 1, "a write is under way")
            await one.stop()
            assert holder(api) == ""

    asyncio.run(run())


def test_fence_holds_after_a_stop_in_the_middle_of_a_callback() -> None:
    """uvloop's time stands still there."""

    async def run() -> None:
        async with fake_api(LEASES) as api, candidate(api, QUICK) as one:
            await until_async(lambda: one.election.is_held(), "it leads")
            time.sleep(QUICK.renew_deadline + 0.1)  # noqa: ASYNC251 - the process is stopped
            assert not one.election.is_held()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def test_election_ends_with_the_error_of_its_work() -> None:
    async def run() -> None:
        async def fail() -> None:
            raise ValueError("a bug")

        async with fake_api(LEASES) as api, Client(api.login, "test") as client:
            election = LeaderElection(client, QUICK, fail, ApiHealth(logging.getLogger("test")))
            with pytest.raises(ValueError, match="a bug"):
                await election.run()
            assert holder(api) == ""

    asyncio.run(run())
