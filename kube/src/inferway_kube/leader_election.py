"""Leader election by a Lease (that of client-go): one process works, the others wait.

A candidate compares what it observes with its own clock only, so the clocks of two machines need not agree. The *fence*: a
leader that was renewed at time t may write until t + renew_deadline at the latest, also when its process was stopped in
between. Another takes over after t + lease_duration at the earliest; the time between the two is longer than the
longest write. A leader that loses the Lease waits again; the process continues, as everything it has observed is still true.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from inferway_kube import errors, events
from inferway_kube.api_health import ApiHealth
from inferway_kube.client import Client, path
from inferway_kube.errors import ApiError, NotFound

logger = logging.getLogger(__name__)

_INT32: Final = (1 << 31) - 1  # the largest number of a Lease

LEASES: Final = "/apis/coordination.k8s.io/v1"
"""The group and version of Leases."""
_CALLER: Final = "the leader's Lease"
_LAST: Final = 1.0
"""Seconds that the end of the election waits for a write that is under way."""


def unique_identity(name: str) -> str:
    """Return an identity that no other candidate has: the name and a UUID, as in client-go.

    A name alone may come twice: hosts share one, and a container that starts again has that of its predecessor, whose last
    write may still be under way.
    """
    return f"{name}_{uuid.uuid4()}"


@dataclass(frozen=True, slots=True)
class Election:
    """Which Lease, for whom, and the times: seconds."""

    name: str
    namespace: str
    identity: str
    """Of this candidate."""
    lease_duration: int = 15
    """A Lease that was not renewed for this time may be taken."""
    renew_deadline: float = 10.0
    """A leader that could not renew for this time stops."""
    retry_period: float = 2.0
    """Between two attempts."""


@dataclass(frozen=True, slots=True)
class Record:
    """The spec of a Lease."""

    holder: str
    """"" = no process holds it."""
    duration: int
    """Seconds."""
    acquired: str
    renewed: str
    transitions: int


def read(call: str, lease: Mapping[str, Any], default_duration: int) -> Record:
    """Read a Lease. `ApiError` where the answer is not one."""
    spec = lease.get("spec")
    if not events.is_object(lease) or not isinstance(spec, dict):
        raise errors.unusable(call, "the answer is not a Lease")
    holder, duration, transitions = (
        spec.get(name) for name in ("holderIdentity", "leaseDurationSeconds", "leaseTransitions")
    )
    times = [spec.get(name) or "" for name in ("acquireTime", "renewTime")]
    try:
        for text in filter(None, times):
            datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise errors.unusable(call, "the answer is not a Lease: it has no usable time") from None
    return Record(
        holder=holder if isinstance(holder, str) else "",
        duration=duration if type(duration) is int and 0 < duration <= _INT32 else default_duration,
        acquired=times[0],
        renewed=times[1],
        transitions=transitions if type(transitions) is int and 0 <= transitions < _INT32 else 0,
    )


def may_hold(record: Record, since: float, identity: str, now: float) -> bool:
    """Whether a candidate may renew or take the Lease. `since`: when (monotonic) this record was first observed."""
    return record.holder in ("", identity) or since + record.duration <= now


def spec_of(election: Election, record: Record | None, now: datetime) -> dict[str, Any]:
    """Return the spec of the Lease held by this candidate from `now` on. `record`: what it was before, None = absent."""
    is_renewal = record is not None and record.holder == election.identity
    return {
        "holderIdentity": election.identity,
        "leaseDurationSeconds": election.lease_duration,
        "acquireTime": record.acquired if is_renewal and record and record.acquired else timestamp(now),
        "renewTime": timestamp(now),
        "leaseTransitions": 0 if record is None else record.transitions + (not is_renewal),
    }


def timestamp(now: datetime) -> str:
    """Write a time as Leases have it: RFC 3339 in UTC, with microseconds."""
    return now.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class LeaderElection:
    """Runs `lead` while this process holds the Lease, and cancels it when it does not any more."""

    def __init__(
        self,
        client: Client,
        election: Election,
        lead: Callable[[], Awaitable[None]],
        health: ApiHealth,
        on_change: Callable[[bool], None] = lambda is_leader: None,
    ) -> None:
        """`client` is best one of its own: a crowd of other calls must not hold up a renewal. `on_change`: leading or not."""
        self._client = client
        self._election = election
        self._lead = lead
        self._health = health
        self._on_change = on_change
        self._where = path(LEASES, "leases", election.namespace, election.name)
        self._record: Record | None = None
        self._since = 0.0
        self._held_until = 0.0
        self._attempting: asyncio.Task[None] | None = None

    def is_held(self) -> bool:
        """Whether this process leads now, as far as it can know without asking.

        Not by the loop's time, which stands still during a callback: a process may be stopped there for any time.
        """
        return time.monotonic() < self._held_until

    async def run(self) -> None:
        """Wait for the Lease, lead, lose it, and so on, until cancelled. Then the Lease is given back."""
        try:
            while True:
                await self._attempt()
                if self.is_held():
                    await self._serve_term()
                else:
                    await asyncio.sleep(self._election.retry_period)
        finally:
            if self._attempting is not None and not self._attempting.done():
                # Its write could still arrive after the Lease was given back.
                await asyncio.wait([self._attempting], timeout=_LAST)
                self._attempting.cancel()
            await self._release()

    async def _serve_term(self) -> None:
        term = asyncio.ensure_future(self._lead())
        self._on_change(True)
        logger.info("leading as %s", self._election.identity)
        try:
            while self.is_held() and not term.done():
                rest = max(0.0, self._held_until - time.monotonic())
                await asyncio.wait([term], timeout=min(self._election.retry_period, rest))
                if not term.done():
                    await self._attempt()
        finally:
            # Nothing else may begin before the term is over.
            term.cancel()
            await asyncio.wait([term])
            self._held_until = 0.0
            self._on_change(False)
            logger.info("lost the Lease: waiting for it")
        if not term.cancelled():
            term.result()
            raise RuntimeError("the leader's work ended by itself")

    async def _attempt(self) -> None:
        """Take or renew the Lease if it may be. A cancellation does not reach the attempt itself."""
        self._attempting = asyncio.create_task(self._try(), name="attempt for the Lease")
        await asyncio.shield(self._attempting)

    async def _try(self) -> None:
        """Attempt it once. No failure ends the election."""
        try:
            await self._take_or_renew()
        except ApiError as error:
            if error.status != HTTPStatus.CONFLICT:  # otherwise another candidate was faster
                self._health.failed(_CALLER, error)
                return
        self._health.answered(_CALLER)

    async def _take_or_renew(self) -> None:
        election = self._election
        try:
            lease = await self._client.get(self._where)
        except NotFound as error:
            # Only the API server's own answer means that it is absent.
            if not error.is_status:
                raise
            began = time.monotonic()
            body = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": election.name, "namespace": election.namespace},
                "spec": spec_of(election, None, datetime.now(UTC)),
            }
            await self._client.create(path(LEASES, "leases", election.namespace), body)
        else:
            record = read(f"GET {self._where}", lease, election.lease_duration)
            if record != self._record:
                self._record, self._since = record, time.monotonic()
            if record.holder != election.identity:
                self._held_until = 0.0  # also before the own deadline
            if not may_hold(record, self._since, election.identity, time.monotonic()):
                return
            began = time.monotonic()  # the API server notes a later time than this
            spec = {**lease["spec"], **spec_of(election, record, datetime.now(UTC))}
            answer = await self._client.replace(self._where, {**lease, "spec": spec})
            read(f"PUT {self._where}", answer, election.lease_duration)
        self._held_until = began + election.renew_deadline

    async def _release(self) -> None:
        """Give the Lease back, so that another candidate need not wait until it expires."""
        try:
            lease = await self._client.get(self._where)
            if read(self._where, lease, self._election.lease_duration).holder != self._election.identity:
                return
            spec = {name: value for name, value in lease["spec"].items() if name != "holderIdentity"}
            await self._client.replace(self._where, {**lease, "spec": spec})
        except ApiError as error:
            logger.warning("the Lease could not be given back, and must expire: %s", error)
