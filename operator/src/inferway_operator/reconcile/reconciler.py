"""The reconciler: dirty -> hold-off -> world -> compile -> publish, and only while leading. Statuses and garbage follow beside it
(`following`), and so do comparisons with what exists (`auditing`): whatever becomes of them, the next change is published.

Level-triggered: whatever happened, everything is compiled again, and only what differs is written. Whatever fails is tried
again; a call that fails leaves nothing behind that the next attempt does not put right.
"""

import asyncio
import logging
import time
from collections.abc import Mapping

from inferway_contract.document import Endpoint
from inferway_operator import compiler
from inferway_operator.compiler import services
from inferway_operator.kube import client as kube_client
from inferway_operator.metrics import OperatorMetrics
from inferway_operator.publish import plan as publish_plan
from inferway_operator.publish import size_limits
from inferway_operator.publish.config_maps import Store
from inferway_operator.reconcile import retry_loop
from inferway_operator.reconcile.data_plane_presence import DataPlanePresence
from inferway_operator.reconcile.status_loop import StatusLoop
from inferway_operator.reconcile.term import Outcome, Term
from inferway_operator.settings import OperatorSettings
from inferway_operator.status.acknowledgements import Acknowledgements
from inferway_operator.watch import snapshot
from inferway_operator.watch.object_cache import ObjectCache
from inferway_operator.watch.resync import Resync

logger = logging.getLogger(__name__)


class Reconciler:
    """Makes the cluster hold what its resources say."""

    def __init__(
        self, client: kube_client.Kube, observed: ObjectCache, settings: OperatorSettings, metrics: OperatorMetrics
    ) -> None:
        self._metrics = metrics
        self._kube = client
        self._observed = observed
        self._settings = settings
        self._auditor = Resync(client, observed, settings)
        self._store = Store(client, settings)
        attendance = DataPlanePresence(settings.namespace, settings.selector("pods"))
        self._following = StatusLoop(client, observed, self._auditor, self._store, metrics, attendance)
        self._term: Term | None = None
        self._complete = asyncio.Event()
        """Everything has been seen that existed when this term began."""
        self._is_unfinished = True
        self._is_undefined = False
        """Definitions of ours were missing when they were looked for last."""

    async def lead(self) -> None:
        """Work, until cancelled. No failure ends it."""
        self._term, self._is_unfinished = None, True
        self._complete.clear()
        publishing_forever = retry_loop.retry_forever(
            self._reconcile, "the reconciler", self._observed, longest_forbidden=retry_loop.LONGEST_PAUSE
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(publishing_forever, name="publishing")
            tasks.create_task(self._following.run(), name="following")
            tasks.create_task(retry_loop.retry_forever(self._audit, "the audit", self._observed), name="audits")

    async def _reconcile(self) -> None:
        await self._observed.wait(
            self._settings.hold_off, self._settings.max_hold_off, most=0 if self._is_unfinished else None
        )
        self._is_unfinished = True
        began, written = time.monotonic(), self._kube.written
        try:
            await self._round()
        except Exception as error:
            if isinstance(error, kube_client.NotLeading):
                self._term = None
            self._metrics.reconciled("failed", time.monotonic() - began)
            raise
        self._is_unfinished = False
        self._metrics.reconciled("unchanged" if self._kube.written == written else "written", time.monotonic() - began)

    async def _round(self) -> None:
        """Put everything right."""
        term = self._term or await self._begin()
        await self._check_losses()
        said = Acknowledgements.of(self._observed, time.monotonic())
        await self._compile(term, said)
        async with self._following.documents:
            await self._publish(term, said)

    async def _check_losses(self) -> None:
        """What went because its definition goes is served on. Nothing is waited for between this and the compiler's snapshot."""
        while self._observed.has_lost_ours:
            self._observed.has_lost_ours = False
            try:
                await self._auditor.check_definitions()
                if self._is_undefined:
                    # Whoever has installed them again may have applied resources, of which the watches know nothing yet.
                    await self._auditor.complete()
            except BaseException as error:
                self._is_undefined |= isinstance(error, kube_client.NotDefined)
                self._observed.has_lost_ours = True
                raise
            self._is_undefined = False

    async def _begin(self) -> Term:
        """Nothing is compiled, and so nothing published, before this is over: see `observed`."""
        if not self._complete.is_set():
            await self._auditor.complete()
            await self._auditor.check_definitions()
            self._complete.set()
        async with self._following.documents:
            self._following.withdraw()
            found = await self._store.read()
        for error in found.errors:
            logger.warning("%s; it is published anew", error)
        self._observed.is_world_dirty = True
        self._term = Term(found.published, dict(found.configs), found.config)
        return self._term

    async def _audit(self) -> None:
        await self._complete.wait()
        await self._auditor.wait()
        await self._auditor.compare()
        if not await self._store.is_untouched():
            logger.warning("somebody else has changed ConfigMaps of the gateway: they are read again")
            self._term = None
            self._observed.mark(is_world=False)

    async def _compile(self, term: Term, said: Acknowledgements) -> None:
        named = publish_plan.named(term.published, term.configs, said.reported)
        is_same = not self._observed.is_world_dirty and term.replicas == said.live
        if is_same and term.wanted is not None and named <= term.wanted.endpoints.services.keys() | term.live.keys():
            return
        self._observed.is_world_dirty = False
        last = term.config
        policies = {policy.id: policy for policy in last.policies} if last else {}
        world = snapshot.world_of(self._observed, self._settings.world, policies, said.live)
        # Together with the snapshot: what comes later and is about others cannot change this compilation.
        self._observed.named_services = snapshot.named_services(world) | {key.rpartition(":")[0] for key in named}
        began = time.monotonic()

        def compile_and_lay_out() -> tuple[
            compiler.Compilation, size_limits.DesiredState, Mapping[str, tuple[Endpoint, ...]]
        ]:
            made = compiler.compile(world)
            found = services.Services(world)
            live = {key: found.endpoints(key) for key in named if key not in made.endpoints.services}
            return made, size_limits.desired_state(made, self._settings.gateway, last), live

        try:
            term.compilation, wanted, term.live = await asyncio.to_thread(compile_and_lay_out)
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
        assert term.compilation is not None  # noqa: S101 - likewise
        writes = publish_plan.plan(
            wanted, term.published, term.configs, said.reported, self._settings.gateway, term.live
        )
        if writes:
            self._following.withdraw()
        for write in writes:
            try:
                await self._store.write(write)
            except kube_client.NotLeading:
                raise
            except kube_client.KubeError:
                # It may have been written nevertheless, or another has written: what is there is read again.
                self._term = None
                raise
            term.published = write.after(term.published)
            if isinstance(write, publish_plan.ApplyConfig):
                self._metrics.published(time.time())
                logger.info("published config %s", wanted.revision)
                # A second round leaves out of the endpoints what only the config before needed, if no pod serves it.
                self._observed.mark(is_world=False)
        term.config = wanted.config
        term.configs[wanted.revision] = wanted.parsed
        kept = {wanted.revision, *said.reported, *(revision for revision, _ in term.published.history)}
        term.configs = {revision: config for revision, config in term.configs.items() if revision in kept}
        self._following.hand_over(Outcome(term, term.compilation, wanted, term.published.revision))
