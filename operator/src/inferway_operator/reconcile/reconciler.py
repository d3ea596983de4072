"""The reconciler: dirty -> hold-off -> world -> compile -> publish, and only while leading.

Statuses and garbage collection follow in tasks of their own (`status_loop`): whatever becomes of them, the next change is
published. Level-triggered: whatever happened, everything is compiled again, and only what differs is written. A call that
fails leaves nothing behind that the next attempt does not put right.
"""

import asyncio
import functools
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from inferway_contract.document import Endpoint, Format
from inferway_contract.problem_log import ProblemLog
from inferway_kube.api_health import ApiHealth
from inferway_kube.client import Client
from inferway_kube.errors import ApiError, NotLeading
from inferway_operator import compiler
from inferway_operator.compiler import services
from inferway_operator.compiler.emit import LeftOut
from inferway_operator.metrics import OperatorMetrics
from inferway_operator.publish import held_objects, size_limits
from inferway_operator.publish import plan as publish_plan
from inferway_operator.publish.config_maps import ConfigMaps
from inferway_operator.publish.format_choice import FormatChoice, newest_common
from inferway_operator.publish.obstacle import Obstacle
from inferway_operator.publish.write_budget import WriteBudget
from inferway_operator.reconcile import retry_loop
from inferway_operator.reconcile.data_plane_presence import DataPlanePresence
from inferway_operator.reconcile.held_endpoints import LONGEST_DEBT, HeldEndpoints
from inferway_operator.reconcile.held_namespaces import HeldNamespaces
from inferway_operator.reconcile.refused_namespaces import RefusedNamespaces, to_hold
from inferway_operator.reconcile.status_loop import StatusLoop
from inferway_operator.reconcile.term import Outcome, Term
from inferway_operator.settings import OperatorSettings
from inferway_operator.status.acknowledgements import Acknowledgements
from inferway_operator.watch import kinds
from inferway_operator.watch.object_cache import ObjectCache
from inferway_operator.watch.reflectors import NotDefined, Reflectors
from inferway_operator.world.stored_slices import StoredSlice

_SHOWN_SERVICES: Final = 10

logger = logging.getLogger(__name__)


class Reconciler:
    """Makes the cluster's documents follow its resources."""

    def __init__(
        self,
        client: Client,
        cache: ObjectCache,
        reflectors: Reflectors,
        settings: OperatorSettings,
        metrics: OperatorMetrics,
        health: ApiHealth,
    ) -> None:
        self._metrics = metrics
        self._cache = cache
        self._settings = settings
        self._reflectors = reflectors
        self._health = health
        self._config_maps = ConfigMaps(client, settings)
        presence = DataPlanePresence(settings.namespace, settings.selector("pods"))
        self._status_loop = StatusLoop(client, cache, reflectors, self._config_maps, metrics, presence, health)
        budget = WriteBudget(settings.namespace_write_bytes, settings.total_write_bytes)
        self._held = HeldNamespaces(budget, functools.partial(cache.mark, is_world=True))
        of_endpoints = WriteBudget(settings.namespace_write_bytes, settings.total_write_bytes, LONGEST_DEBT)
        self._endpoints = HeldEndpoints(of_endpoints, functools.partial(cache.mark, is_world=False))
        self._refused = RefusedNamespaces(functools.partial(cache.mark, is_world=True))
        self._left_out = ProblemLog(logger)
        self._term: Term | None = None
        self._obstacle = Obstacle()
        self._is_synced = False
        """The cache holds everything that existed when this term began."""
        self._is_unfinished = True
        self._format: FormatChoice | None = None
        """The format to publish in; None = that of what another leader has published."""
        self._is_undefined = False
        """Definitions of ours were missing when they were looked for last."""

    async def lead(self) -> None:
        """Work until cancelled. No failure ends it."""
        self._term, self._is_unfinished, self._is_synced = None, True, False
        self._format = None
        self._held.begin_term()
        self._refused.begin_term()
        attempts = {"the reconciler": self._reconcile, "the documents' check": self._check_documents}
        async with asyncio.TaskGroup() as tasks:
            for caller, attempt in (attempts | dict(self._status_loop.begin_term())).items():
                retrying = retry_loop.retry_forever(attempt, caller, self._health, self._cache.excuse_silence)
                tasks.create_task(retrying, name=caller)

    async def _reconcile(self) -> None:
        rest = self._format.remaining(time.monotonic()) if self._format is not None else None
        most = 0.0 if self._is_unfinished else rest
        await self._cache.wait(self._settings.hold_off, self._settings.max_hold_off, most=most)
        self._is_unfinished = True
        began = time.monotonic()
        try:
            has_written = await self._round()
        except Exception as error:
            if isinstance(error, NotLeading):
                self._term = None
            self._metrics.reconciled("failed", time.monotonic() - began)
            raise
        self._is_unfinished = False
        self._metrics.reconciled("written" if has_written else "unchanged", time.monotonic() - began)

    async def _round(self) -> bool:
        """Put everything right. Returns whether that took a write."""
        term = self._term or await self._begin()
        await self._check_losses()
        now = time.monotonic()
        acknowledged = Acknowledgements.of(self._cache, now)
        version = self._choose_format(term, acknowledged, now).version
        await self._compile(term, acknowledged, version)
        async with self._status_loop.documents:
            return await self._publish(term, acknowledged)

    async def _check_losses(self) -> None:
        """Keep serving what went with its definition. Nothing is waited for between this and the compiler's snapshot."""
        while self._cache.has_lost_ours:
            self._cache.has_lost_ours = False
            try:
                await self._reflectors.check_definitions()
                if self._is_undefined:
                    # Resources may have been applied together with the definitions, before the watches were back.
                    await self._reflectors.sync()
            except BaseException as error:
                self._is_undefined |= isinstance(error, NotDefined)
                self._cache.has_lost_ours = True
                raise
            self._is_undefined = False

    async def _begin(self) -> Term:
        """Begin a term. Nothing is compiled, and so nothing published, before everything was listed (K2)."""
        if not self._is_synced:
            await self._reflectors.sync()
            self._is_synced = True
        async with self._status_loop.documents:
            self._status_loop.invalidate()
            actual = await self._config_maps.read()
        for error in actual.errors:
            logger.warning("%s; it is published again", error)
        if not any(slice_ and slice_.service == services.API_SERVER for slice_ in self._slices()):
            logger.warning(
                "endpoints are not compared with the API server's: allow the operator to list and watch Services and "
                "EndpointSlices in the namespace default"
            )
        self._cache.is_world_dirty = True
        self._term = Term(actual.published, dict(actual.configs), actual.config)
        return self._term

    def _slices(self) -> Iterator[StoredSlice | None]:
        return (entry.value for entry in self._cache.entries(kinds.SLICES))

    def _choose_format(self, term: Term, acknowledged: Acknowledgements, now: float) -> FormatChoice:
        """Go back to an older format at once when a pod appears that reads no newer one, and forth when all do for a while."""
        before = self._format
        if before is None:
            published = term.configs.get(term.published.revision)
            before = FormatChoice(newest_common(acknowledged.formats) if published is None else published.version)
        chosen = self._format = before.with_pods(acknowledged.formats, now)
        if chosen.version != before.version:
            logger.info(
                "documents have format %d from now on, before %d: it is the newest that every data-plane pod reads",
                chosen.version,
                before.version,
            )
        return chosen

    async def _check_documents(self) -> None:
        """Look from time to time whether the published ConfigMaps are as they were written."""
        await asyncio.sleep(self._settings.audit_interval)
        if self._term is not None and not await self._config_maps.is_untouched():
            logger.warning("ConfigMaps of the gateway were changed by another client: reading them again")
            self._term = None
            self._cache.mark(is_world=False)

    async def _compile(self, term: Term, acknowledged: Acknowledgements, version: Format) -> None:
        named = publish_plan.needed_services(term.published, term.configs, acknowledged.reported)
        is_same = not self._cache.is_world_dirty and term.replicas == acknowledged.live
        last = term.config
        if is_same and term.wanted is not None and named <= term.wanted.endpoints.services.keys() | term.live.keys():
            if term.wanted.version != version:
                compilation = term.wanted.compilation
                wanted = await asyncio.to_thread(
                    size_limits.desired_state, compilation, self._settings.gateway, last, version
                )
                await self._desire(term, wanted)
            return
        self._cache.is_world_dirty = False
        policies = {policy.id: policy for policy in last.policies} if last else {}
        world = self._held.world(self._cache.world(self._settings.world, policies, acknowledged.live))
        # Together with the snapshot: what comes later and is about others cannot change this compilation.
        routed = frozenset(service for route in world.routes for service in route.named_services())
        self._cache.named_services = routed | {key.rpartition(":")[0] for key in named} | {services.API_SERVER}
        began = time.monotonic()

        def compile_and_lay_out() -> tuple[size_limits.DesiredState, Mapping[str, tuple[Endpoint, ...]]]:
            compilation = compiler.compile(world)
            known_services = services.Services(world)
            live = {key: known_services.endpoints(key) for key in named if key not in compilation.endpoints.services}
            return size_limits.desired_state(compilation, self._settings.gateway, last, version), live

        try:
            wanted, term.live = await asyncio.to_thread(compile_and_lay_out)
        except BaseException:
            self._cache.is_world_dirty = True
            raise
        self._metrics.compiled(time.monotonic() - began)
        term.replicas = acknowledged.live
        await self._desire(term, wanted)
        self._held.note_compiled(world)
        self._metrics.uses(wanted.compilation.usage.values(), self._settings.world.bounds)
        for key, why in wanted.too_large.items():
            logger.warning("%s %s", key, why)
        self._metrics.overlapping(sum(bool(verdict.overlaps) for verdict in wanted.compilation.verdicts))
        self._report_left_out(wanted.compilation.left_out)

    async def _desire(self, term: Term, newest: size_limits.DesiredState) -> None:
        """Want these documents, but for the namespaces whose objects were refused."""
        term.compiled = newest.parsed.fragments
        term.wanted, term.held = newest, {}
        if held := self._refused.held(term.compiled, time.monotonic()):
            await self._hold(term, newest, held)

    async def _hold(self, term: Term, wanted: size_limits.DesiredState, held: Mapping[str, str]) -> None:
        term.wanted = await asyncio.to_thread(
            held_objects.with_published, wanted, term.config, held, self._settings.gateway, term.live
        )
        term.held = {**term.held, **held}

    def _report_left_out(self, left_out: Mapping[str, LeftOut]) -> None:
        self._metrics.left_out(sum(item.forbidden + item.excess for item in left_out.values()))
        if left_out:
            # Without numbers, which change with every pod.
            services = ", ".join(list(left_out)[:_SHOWN_SERVICES])
            self._left_out.report(logging.WARNING, "endpoints of Services get no requests", services=services)
        else:
            self._left_out.clear()

    async def _publish(self, term: Term, acknowledged: Acknowledgements) -> bool:
        """Publish, without the changes of namespaces whose objects are refused. Returns whether that took a write."""
        refused: dict[str, str] = {}
        has_written = False
        while True:
            wanted = term.wanted
            assert wanted is not None  # noqa: S101 - `_compile` came before
            try:
                writes, refusals = await self._write(term, wanted, acknowledged)
                has_written |= bool(writes)
                if not refusals:
                    break
                reasons: dict[str, str] = {}
                for shard, error in refusals:
                    reasons |= await to_hold(shard, error, term, wanted, self._config_maps, self._settings.gateway)
                if not reasons:
                    raise refusals[0][1]
            except ApiError as error:
                # It may have been written nevertheless, or another has written: what is there is read again.
                self._term = None
                if not isinstance(error, NotLeading) and (why := self._obstacle.met(error, time.monotonic())):
                    self._status_loop.set_outcome(Outcome(term, wanted, term.published.revision, why))
                raise
            refused |= reasons
            await self._hold(term, wanted, reasons)
        self._obstacle.clear()
        self._refused.add(refused, term.compiled, time.monotonic())
        self._refused.note_published(term.held)
        self._metrics.has_format(wanted.version)
        term.config, term.has_published = wanted.config, True
        term.configs[wanted.layout.revision] = wanted.parsed
        kept = {wanted.layout.revision, *acknowledged.reported, *(revision for revision, _ in term.published.history)}
        term.configs = {revision: config for revision, config in term.configs.items() if revision in kept}
        self._status_loop.set_outcome(Outcome(term, wanted, term.published.revision))
        return has_written

    async def _write(
        self, term: Term, wanted: size_limits.DesiredState, acknowledged: Acknowledgements
    ) -> tuple[Sequence[publish_plan.Write], Sequence[tuple[publish_plan.Write, ApiError]]]:
        """Write what is missing, but no index after a refused shard. Returns what was written, and what was refused."""
        # Laying out the addresses of thousands of Services takes longer than a turn of the loop may.
        planned = await asyncio.to_thread(
            publish_plan.plan,
            wanted,
            term.published,
            term.configs,
            acknowledged.reported,
            self._settings.gateway,
            term.live,
            self._endpoints.held() if term.has_published else frozenset(),
        )
        if planned:
            self._status_loop.invalidate()
        before = term.configs.get(term.published.revision)
        written: list[publish_plan.Write] = []
        refused: list[tuple[publish_plan.Write, ApiError]] = []
        try:
            for write in planned:
                if refused and write.part != "shard":
                    continue
                written.append(write)
                try:
                    await self._config_maps.write(write)
                except ApiError as error:
                    if write.part != "shard" or not error.is_about_content:
                        raise
                    refused.append((written.pop(), error))
                    continue
                term.published = write.after(term.published)
                if write.part == "config":
                    self._metrics.published(time.time())
                    logger.info("published config %s", wanted.layout.revision)
                    # A second round leaves out of the endpoints what only the config before needed, if no pod serves it.
                    self._cache.mark(is_world=False)
        finally:
            if before is not None and term.has_published:  # the first publication writes what did not change too
                self._held.spend(written, wanted.layout, before.fragments)
                self._endpoints.spend(written)
        return written, refused
