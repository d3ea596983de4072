"""The live documents: accept new ones and swap them in, or reject them and keep the ones that are served."""

import logging
from collections.abc import Callable
from typing import Final

from inferway_contract import canonical
from inferway_contract.document import ConfigDocument, EndpointsDocument
from inferway_dataplane.core import invalid_rules, runtime
from inferway_dataplane.core.invalid_rules import InvalidRule
from inferway_dataplane.core.limits.policy_sets import PolicySets
from inferway_dataplane.core.runtime import Runtime
from inferway_dataplane.core.steps import Steps
from inferway_dataplane.engine.context import Context
from inferway_dataplane.engine.stages import order
from inferway_dataplane.engine.turns import between_turns
from inferway_dataplane.sources import NewerEndpoints, Refused, nothing_newer

_IDLE_KEYS_A_TICK = 2_000
_MOST_REPORTED: Final = 20
"""Log lines about invalid rules for one document."""

log = logging.getLogger("inferway")


def _no_steps(built: Runtime) -> Steps[None]:
    yield from ()


class Live:
    """What is served: `context.runtime` and its revision."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.on_swap: Callable[[Runtime], Steps[None]] = _no_steps  # called with each new runtime
        self.revision = ""
        self.last_error = ""
        self._reported: frozenset[InvalidRule] = frozenset()

    async def accept(
        self,
        config: ConfigDocument,
        endpoints: EndpointsDocument,
        revision: str = "",
        error: str = "",
        newer: Callable[[], NewerEndpoints | None] = nothing_newer,
    ) -> None:
        """Build a runtime between turns of the loop, and swap it in; see `accepting`. Await one at a time."""
        await between_turns(self.accepting(config, endpoints, revision, error, newer))

    def accepting(
        self,
        config: ConfigDocument,
        endpoints: EndpointsDocument,
        revision: str = "",
        error: str = "",
        newer: Callable[[], NewerEndpoints | None] = nothing_newer,
    ) -> Steps[None]:
        """Build a runtime and swap it in. Raises `Refused`, and changes nothing, if the documents cannot be built.

        `revision`: the config's at its source; "" = the hash of its canonical bytes. `error`: of something newer that
        stays refused while this is served; "" = nothing is. `newer`: asked between steps of the build; what it returns
        is served at once with the live config, and then with this one.
        """
        context = self._context
        started = context.clock.now()
        passed: list[Runtime] = []
        try:
            built, policies = yield from self._building(config, endpoints, newer, passed)
        except (LookupError, ValueError) as failure:
            self.reject(str(failure))
            for older in passed:
                yield from older.releasing()
            raise Refused(str(failure)) from failure
        yield from context.secrets.wanting(built.secrets)
        context.pools.address_policy = config.address_policy
        # In one step: each admission is charged either before the levels are inherited, or to those that inherit.
        policies.inherit(context.clock.now())
        if context.runtime is not None:
            passed.append(context.runtime)
        context.runtime = built
        context.head_cache.forget_routes()
        self.revision = revision or canonical.revision(config)
        self.last_error = error
        yield
        yield from policies.converting()
        context.pools.keep_only(built.upstreams)
        yield
        context.stats.keep_only(rule.stats for rule in built.rules)
        yield
        yield from self.on_swap(built)
        self._report_invalid()
        context.stats.config_apply_seconds = context.clock.now() - started
        log.info("serving a new document", extra={"revision": self.revision, "routes": len(config.routes)})
        for older in passed:
            yield from older.releasing()

    def _building(
        self,
        config: ConfigDocument,
        endpoints: EndpointsDocument,
        newer: Callable[[], NewerEndpoints | None],
        passed: list[Runtime],
    ) -> Steps[tuple[Runtime, PolicySets]]:
        """Build a runtime; whenever newer endpoints arrive, serve the live config with them first. Errors as `building`.

        Returns it with the policies whose levels are to be inherited. Adds to `passed` what is to be released at the end:
        the build takes from them until then.
        """
        context = self._context
        steps = self._compiling(config, endpoints, context.runtime)
        served: NewerEndpoints | None = None
        while True:
            try:
                next(steps)
            except StopIteration as end:
                built: Runtime = end.value
                break
            arrived = newer()
            if arrived is not None and (yield from self._renewing(arrived, passed)):
                served = arrived
            yield
        # A pass that keeps nearly all of what was built has the same policies, so their buckets have nothing to inherit.
        policies = built.policies
        if served is not None:
            passed.append(built)
            built = yield from self._compiling(config, served.built, built, context.runtime)
        return built, policies

    def _compiling(
        self, config: ConfigDocument, endpoints: EndpointsDocument, older: Runtime | None, live: Runtime | None = None
    ) -> Steps[Runtime]:
        context = self._context
        return runtime.building(
            config,
            endpoints,
            endpoint_of=context.pools.endpoint,
            stats_of=context.stats.of,
            stages_of=order.stages_of,
            preflight_stages=order.PREFLIGHT,
            older=older,
            live=live,
            now=context.clock.now(),
        )

    def _renewing(self, arrived: NewerEndpoints, passed: list[Runtime]) -> Steps[bool]:
        """Swap in the live config with newer endpoints; all its rules, limits and secrets stay. Returns whether it is.

        No endpoint or counter is forgotten: the build has some that nothing else has yet.
        """
        context = self._context
        live = context.runtime
        if live is None:
            return False
        try:
            renewed = yield from self._compiling(live.config, arrived.live, live)
        except (LookupError, ValueError):
            return False  # the source brings them again after the build, when that is reported
        context.runtime = renewed
        context.head_cache.forget_routes()
        arrived.on_served()
        yield
        yield from self.on_swap(renewed)
        log.info("serving a new document", extra={"revision": self.revision, "routes": len(live.config.routes)})
        if passed:
            yield from live.releasing()
        else:
            passed.append(live)  # the build began with this one
        return True

    def reject(self, error: str) -> None:
        """Count and log a state that could not become a runtime; the last good one is kept."""
        self._context.stats.config_rejected += 1
        self.last_error = error
        log.error("rejected a new document, keeping the last good one", extra={"error": error})

    def invalid_rules(self) -> list[InvalidRule]:
        """Return why rules of the live documents reject requests: errors in them, and secrets that are missing now."""
        live = self._context.runtime
        if live is None:
            return []
        missing = invalid_rules.without_secret(live.credentials, self._context.secrets.objections())
        return [*live.invalid_rules, *missing]

    def _report_invalid(self) -> None:
        """Log what was not logged for the documents before."""
        standing = self.invalid_rules()
        new = [invalid for invalid in standing if invalid not in self._reported]
        self._reported = frozenset(standing)
        for invalid in new[:_MOST_REPORTED]:
            log.warning(
                "a rule rejects requests",
                extra={"route": invalid.route, "rule": invalid.rule, "code": invalid.reason, "error": invalid.detail},
            )
        if len(new) > _MOST_REPORTED:
            log.warning("more rules reject requests", extra={"rules": len(new) - _MOST_REPORTED})

    def forget_idle_keys(self, now: float) -> None:
        """Forget keys of limits whose buckets are full. Called by the wheel."""
        if self._context.runtime is not None:
            for bucket in self._context.runtime.buckets.values():
                bucket.forget_idle(now, _IDLE_KEYS_A_TICK)
