"""The reconciler: dirty -> hold-off -> world -> compile -> publish -> status -> garbage. One task, and only while leading.

Level-triggered: whatever happened, everything is compiled again, and only what differs is written. Whatever fails is tried
again; a call that fails leaves nothing behind that the next attempt does not put right.
"""

import asyncio
import logging
import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from inferway_contract.acknowledgement import RENEW_SECONDS
from inferway_contract.document import ConfigDocument
from inferway_operator import assembling, compiler, entries, fitting, kube, publishing, status, statuses
from inferway_operator.acknowledgements import Acknowledgements, carried
from inferway_operator.auditing import Auditor
from inferway_operator.metrics import OperatorMetrics
from inferway_operator.observed import Observed
from inferway_operator.published import Known, Published
from inferway_operator.settings import OperatorSettings
from inferway_operator.statuses import Change, StatusWriter
from inferway_operator.storing import Store

logger = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
"""Seconds between two attempts; the API server may ask for more (Retry-After)."""
_LONGEST_RETRY_AFTER: Final = 30.0


@dataclass(slots=True)
class Term:
    """What is known while leading. Another operator may have written before, so it begins with what is in the cluster."""

    published: Published
    configs: dict[str, Known]
    """What is in the configs that a pod may serve, by revision."""
    config: ConfigDocument | None
    """The published one."""
    compilation: compiler.Compilation | None = None
    wanted: fitting.Wanted | None = None
    replicas: int = 0
    """Pods that the last compilation reckoned with."""
    judged_compilation: compiler.Compilation | None = None
    judged: object = None
    """Both: what the last statuses were decided by."""
    unneeded_since: dict[str, float] = field(default_factory=dict)


class Reconciler:
    """Makes the cluster hold what its resources say."""

    def __init__(
        self, client: kube.Kube, observed: Observed, settings: OperatorSettings, metrics: OperatorMetrics
    ) -> None:
        self._metrics = metrics
        self._kube = client
        self._observed = observed
        self._settings = settings
        self._auditor = Auditor(client, observed, settings)
        self._store = Store(client, settings)
        self._statuses = StatusWriter(client)
        self._term: Term | None = None
        self._is_complete = False
        self._unfinished = 0
        self._listened = float("-inf")

    async def lead(self) -> None:
        """Work, until cancelled. No failure ends it."""
        self._term, self._is_complete = None, False
        failures = 0
        pause = 0.0
        self._observed.mark(is_world=True)
        while True:
            try:
                await self._observed.wait(self._settings.hold_off, self._settings.max_hold_off, most=pause)
                pause = await self._measured_round()
                failures = 0
            except kube.NotLeading as error:
                logger.info("%s", error)
                self._term = None
                failures, pause = failures + 1, _LONGEST_PAUSE
            except kube.KubeError as error:
                self._note(error)
                failures += 1
                pause = _pause_after(error, failures)
            except Exception:
                # A mistake of ours. To go on is right: the next change may not meet it, and pods serve the last good config.
                logger.exception("the reconciler failed")
                failures += 1
                pause = _back_off(failures)
            if failures:
                await asyncio.sleep(pause)
                pause = 0.0

    async def _measured_round(self) -> float:
        began, written = time.monotonic(), self._kube.written
        try:
            pause = await self._round()
        except Exception:
            self._metrics.reconciled("failed", time.monotonic() - began)
            raise
        self._metrics.reconciled("unchanged" if self._kube.written == written else "written", time.monotonic() - began)
        return pause

    async def _round(self) -> float:
        """Put everything right. Returns after how many seconds that is due again though nothing happens."""
        term = self._term or await self._begin()
        if self._auditor.due == 0:
            await self._audit()
            term = self._term or await self._begin()
        said = Acknowledgements.of(self._observed, time.monotonic())
        await self._compile(term, said)
        await self._publish(term, said)
        rest = publishing.MIN_AGE if term.unneeded_since else float("inf")
        return min(said.next_expiry, self._auditor.due, await self._finish(term, said), rest)

    async def _listen(self, said: Acknowledgements) -> Acknowledgements:
        if said.has_silent and time.monotonic() - self._listened >= RENEW_SECONDS:
            # Nobody is called silent before the API server was asked.
            await self._auditor.listen()
            self._listened = time.monotonic()
            said = Acknowledgements.of(self._observed, self._listened)
        return said

    def _note(self, error: kube.KubeError) -> None:
        logger.warning("%s", error)
        if not error.status:
            self._observed.excuse_silence()  # who cannot connect here can hear nobody

    async def _finish(self, term: Term, said: Acknowledgements) -> float:
        """Statuses and garbage: when they fail, the next change is published nevertheless, and at once.

        Returns after how many seconds they are to be tried again.
        """
        try:
            await self._write_statuses(term, await self._listen(said))
            await self._collect_garbage(term, said)
        except kube.NotLeading:
            raise
        except kube.KubeError as error:
            self._note(error)
            self._unfinished += 1
            return _pause_after(error, self._unfinished)
        self._unfinished = 0
        return float("inf")

    async def _begin(self) -> Term:
        """Nothing is compiled, and so nothing published, before this is over: see `observed`."""
        if not self._is_complete:
            await self._auditor.complete()
            self._is_complete = True
        found = await self._store.read()
        for mistake in found.mistakes:
            logger.warning("%s; it is published anew", mistake)
        self._observed.is_world_dirty = True
        self._term = Term(found.published, dict(found.known), found.config)
        return self._term

    async def _audit(self) -> None:
        missing = await self._auditor.run()
        if missing:
            logger.debug("the watches have not brought %d objects yet", len(missing))
        if not await self._store.is_untouched():
            logger.warning("somebody else has changed ConfigMaps of the gateway: they are read again")
            self._term = None

    async def _compile(self, term: Term, said: Acknowledgements) -> None:
        if term.wanted is not None and not self._observed.is_world_dirty and term.replicas == said.live:
            return
        self._observed.is_world_dirty = False
        last = term.config
        policies = {policy.id: policy for policy in last.policies} if last else {}
        world = assembling.world_of(self._observed, self._settings.world, policies, said.live)
        # Together with the snapshot: what comes later and is about others cannot change this compilation.
        self._observed.named_services = assembling.named_services(world)
        began = time.monotonic()

        def compile_and_lay_out() -> tuple[compiler.Compilation, fitting.Wanted]:
            made = compiler.compile(world)
            return made, fitting.want(made, self._settings.gateway, last)

        try:
            term.compilation, wanted = await asyncio.to_thread(compile_and_lay_out)
        except BaseException:
            self._observed.is_world_dirty = True
            raise
        self._metrics.compiled(time.monotonic() - began)
        term.wanted, term.replicas = wanted, said.live
        for key, why in wanted.too_large.items():
            logger.warning("%s %s", key, why)

    async def _publish(self, term: Term, said: Acknowledgements) -> None:
        wanted = term.wanted
        assert wanted is not None  # noqa: S101 - `_compile` came before
        writes = publishing.plan(wanted, term.published, term.configs, said.reported, self._settings.gateway)
        for write in writes:
            try:
                await self._store.write(write)
            except kube.NotLeading:
                raise
            except kube.KubeError:
                # It may have been written nevertheless, or another has written: what is there is read again.
                self._term = None
                raise
            term.published = write.after(term.published)
            if isinstance(write, publishing.ApplyConfig):
                self._metrics.published(time.time())
                logger.info("published config %s", wanted.revision)
                # A second round leaves out of the endpoints what only the config before needed, if no pod serves it.
                self._observed.mark(is_world=False)
        term.config = wanted.config
        term.configs[wanted.revision] = wanted.known
        kept = {wanted.revision, *said.reported, *(revision for revision, _ in term.published.history)}
        term.configs = {revision: config for revision, config in term.configs.items() if revision in kept}

    async def _write_statuses(self, term: Term, said: Acknowledgements) -> None:
        judged = (term.published.revision, said.counted)
        if term.compilation is term.judged_compilation and judged == term.judged:
            return
        objects = self._objects()
        changes = await asyncio.to_thread(self._decide, term, said, objects)
        self._count(objects, changes)
        await self._statuses.write(changes)
        term.judged, term.judged_compilation = judged, term.compilation

    def _objects(self) -> Mapping[tuple[str, str], entries.Entry]:
        found = {
            (kind_name, entry.id): self._statuses.current(entry)
            for kind_name, kind in (("GatewayRoute", entries.ROUTES), ("RateLimitPolicy", entries.POLICIES))
            for entry in self._observed.entries(kind)
        }
        self._statuses.forget(entry.uid for entry in found.values())
        return found

    def _decide(
        self, term: Term, said: Acknowledgements, objects: Mapping[tuple[str, str], entries.Entry]
    ) -> list[Change]:
        assert term.compilation is not None and term.wanted is not None  # noqa: S101, PT018 - `_compile` came before
        now = datetime.now(UTC)
        changes = []
        for verdict in term.compilation.verdicts:
            meta = verdict.meta
            entry = objects.get((meta.kind, meta.id))
            if entry is None or entry.value.meta != meta:
                continue  # deleted, or newer than what was compiled: the next round is under way
            key = f"{meta.kind}/{meta.id}"
            decided = status.decide(
                verdict,
                term.wanted.known.fragments.get(key, ""),
                carried(key, term.configs),
                term.published.revision,
                said.counted,
                entry.status,
                now,
                term.wanted.too_large.get(key, ""),
            )
            if decided is not None:
                changes.append(Change(meta.kind, entry, decided))
        return changes

    def _count(self, objects: Mapping[tuple[str, str], entries.Entry], changes: Iterable[Change]) -> None:
        """How the resources are, with the changes that are about to be written."""
        newer = {change.entry.uid: change.status for change in changes}
        for kind in ("GatewayRoute", "RateLimitPolicy"):
            found = [newer.get(entry.uid, entry.status) or {} for (of, _), entry in objects.items() if of == kind]
            self._metrics.counted(kind, len(found))
            self._metrics.judged(
                kind,
                programmed=sum(statuses.is_programmed(one) for one in found),
                refused=sum(statuses.is_refused(one) for one in found),
            )

    async def _collect_garbage(self, term: Term, said: Acknowledgements) -> None:
        due, term.unneeded_since = publishing.garbage(
            term.published, term.configs, said.reported, term.unneeded_since, time.monotonic()
        )
        for name in due:
            await self._store.delete(name)
            term.published = replace(term.published, shards=term.published.shards - {name})


def _pause_after(error: kube.KubeError, failures: int) -> float:
    return max(_back_off(failures), min(error.retry_after, _LONGEST_RETRY_AFTER))


def _back_off(failures: int) -> float:
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * float(1 << min(failures - 1, 10)))
    return longest * (0.5 + random.random() / 2)  # noqa: S311 - so that many operators do not ask at the same moment
