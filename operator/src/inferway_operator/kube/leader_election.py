"""Leadership: one operator works, the others wait with all they need at hand. By a Lease, with `kubernetes.aio.leaderelection`.

The library compares what it observes with its own clock, so the clocks of two machines need not agree. Four things are
added to it. Whatever goes wrong with a call costs an attempt, not the election: no answer, and an answer that is no Lease. It is
told here, once for an outage (`outages`), and not by the library with every attempt. Times in the Lease are UTC; the library
writes local time and calls it UTC. And the *fence*: whoever was renewed at time t may write until t + renew_deadline and not one moment
longer, also when the process was stopped in between; another takes over after t + lease_duration at the earliest, and what
lies between the two is more than the longest write takes (`kube.WRITE_SECONDS`).

Who loses the Lease goes back to waiting. What it has observed goes on being right, for watches feed it and
not leading, and a process that ends instead would be started again later and later by Kubernetes, while nothing is wrong with it.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from kubernetes.aio.client import ApiClient, ApiException, CoordinationV1Api, V1Lease, V1ObjectMeta
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

from inferway_operator.kube import outage_log
from inferway_operator.metrics import OperatorMetrics
from inferway_operator.settings import OperatorSettings

logger = logging.getLogger(__name__)

# It tells of every attempt, without the reason, or with a traceback.
logging.getLogger("kubernetes.aio.leaderelection").setLevel(logging.CRITICAL)

_CALL_SECONDS: Final = 3.0
"""Of one call about the Lease: there must be time for another before the deadline."""


class Leadership:
    """Runs `lead` while this process holds the Lease, and cancels it when it does not any more."""

    def __init__(
        self, api: ApiClient, settings: OperatorSettings, lead: Callable[[], Awaitable[None]], metrics: OperatorMetrics
    ) -> None:
        self._metrics = metrics
        self._settings = settings
        self._lead = lead
        self._lock = _Lock(api, settings)
        self._leases = CoordinationV1Api(api)
        self._term: asyncio.Task[Any] | None = None

    @property
    def is_held(self) -> bool:
        """Whether this process leads now, as far as it can know without asking."""
        return time.monotonic() < self._lock.held_until

    async def run(self) -> None:
        """Wait for the Lease, lead, lose it, and so on. Until cancelled; then the Lease is given back."""
        settings = self._settings
        try:
            while True:
                election = Config(
                    self._lock,
                    lease_duration=settings.lease_duration,
                    renew_deadline=settings.renew_deadline,
                    retry_period=settings.retry_period,
                    onstarted_leading=self._serve_term,
                    onstopped_leading=self._end_term,
                )
                await LeaderElection(election).run()
        finally:
            if self._term is not None:
                self._term.cancel()
            await self._end_term()
            await self._give_back()

    async def _serve_term(self) -> None:
        self._term = asyncio.current_task()
        self._metrics.leads(True)
        logger.info("leading as %s", self._lock.identity)
        await self._lead()

    async def _end_term(self) -> None:
        """The library only cancels the term. Nothing else may begin before it is over."""
        term, self._term = self._term, None
        if term is not None:
            await asyncio.wait([term])
            self._lock.held_until = 0.0
            self._metrics.leads(False)
            logger.info("leading no more: waiting")

    async def _give_back(self) -> None:
        """So that another one need not wait until the Lease expires."""
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                held = await self._leases.read_namespaced_lease(self._lock.name, self._lock.namespace)
                if held.spec is None or held.spec.holder_identity != self._lock.identity:
                    return
                held.spec.holder_identity = None
                await self._leases.replace_namespaced_lease(self._lock.name, self._lock.namespace, held)
        except Exception as error:
            logger.warning("the Lease could not be given back, and must expire: %s", _reason(error))


class _Lock(LeaseLock):
    """The library's lock, with what is said above."""

    def __init__(self, api: ApiClient, settings: OperatorSettings) -> None:
        super().__init__(settings.lease, settings.lease_namespace, settings.holder, api)
        self._renew_deadline = settings.renew_deadline
        self.held_until = 0.0
        """By the monotonic clock."""
        self._outage = ""
        """The kind of it, while calls fail."""

    async def get(self, name: str, namespace: str) -> tuple[bool, Any]:
        """As the library has it; no answer is an answer too, and not the end, nor is one that is no Lease.

        What the models make of a list, an empty body or a time that is none, they may raise as they like.
        """
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                found, record = await super().get(name, namespace)
        except Exception as error:
            self._failed("read", error)
            return False, ApiException(status=0, reason=_reason(error))
        if isinstance(record, ApiException) and record.status != HTTPStatus.NOT_FOUND:
            self._failed("read", record)
        else:
            self._worked()
        if isinstance(record, LeaderElectionRecord) and record.holder_identity != self.identity:
            self.held_until = 0.0  # whatever the own clock says
        return found, record

    async def create(self, name: str, namespace: str, election_record: LeaderElectionRecord) -> bool:
        """The Lease, held by this process. False where another was faster.

        Not by the library: version 37 passes a bool for a text here, which its own API refuses.
        """
        body = V1Lease(metadata=V1ObjectMeta(name=name), spec=self.update_lease(election_record))
        return await self._hold(self._create(namespace, body))

    async def _create(self, namespace: str, body: V1Lease) -> bool:
        try:
            await self.api_instance.create_namespaced_lease(namespace, body)
        except ApiException as error:
            self._failed("created", error)
            return False
        return True

    async def update(self, name: str, namespace: str, updated_record: LeaderElectionRecord) -> bool:
        """Take or renew the Lease. False where it has changed meanwhile.

        Not by the library, which would tell of that with a traceback.
        """
        return await self._hold(self._update(name, namespace, updated_record))

    async def _update(self, name: str, namespace: str, updated_record: LeaderElectionRecord) -> bool:
        lease = self.lease_reference
        if lease is None:
            return False  # nothing was read that could be changed
        lease.spec = self.update_lease(updated_record, lease.spec)
        try:
            await self.api_instance.replace_namespaced_lease(name=name, namespace=namespace, body=lease)
        except ApiException as error:
            self._failed("written", error)
            return False
        return True

    async def _hold(self, call: Awaitable[bool]) -> bool:
        began = time.monotonic()  # the API server notes a later time than this
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                is_held = await call
        except Exception as error:
            self._failed("written", error)
            return False
        if is_held:
            self.held_until = began + self._renew_deadline
        return is_held

    def _failed(self, what: str, error: Exception) -> None:
        self._outage = outage_log.kind_of(error)
        logger.warning("the Lease could not be %s: %s", what, _reason(error), extra={"outage": self._outage})

    def _worked(self) -> None:
        outage, self._outage = self._outage, ""
        if outage:
            logger.info("the Lease can be read again", extra={"over": outage})

    def time_str_to_iso(self, str_time: str | None) -> str | None:
        """The library's local time as RFC 3339 in UTC."""
        if str_time is None:
            return None
        local = datetime.fromisoformat(str_time).astimezone()
        return local.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def election_record(self, lease: V1Lease) -> LeaderElectionRecord:
        """And back, or the time since which the Lease is held would wander with every renewal."""
        record: LeaderElectionRecord = super().election_record(lease)
        if lease.spec is not None:
            record.acquire_time = _local(lease.spec.acquire_time)
            record.renew_time = _local(lease.spec.renew_time)
        return record


def _reason(error: Exception) -> str:
    if isinstance(error, ApiException) and error.body:
        try:
            return str(json.loads(error.body)["message"])
        except (ValueError, LookupError, TypeError):
            return f"{error.status} {error.reason}"  # whatever it is, it may be long
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")


def _local(moment: datetime | None) -> str | None:
    return None if moment is None else str(moment.astimezone().replace(tzinfo=None))
