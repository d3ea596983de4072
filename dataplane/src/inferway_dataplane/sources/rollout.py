"""From what is published to what the gateway serves: the one place that swaps, waits and refuses."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import time

from inferway_contract.acknowledgement import Acknowledgement
from inferway_contract.document import ConfigDocument, EndpointsDocument
from inferway_contract.sharding import ConfigIndex, ConfigShard, EndpointsIndex, EndpointsShard
from inferway_dataplane.sources import Receiver, Refused
from inferway_dataplane.sources.api import Unavailable
from inferway_dataplane.sources.api_health import ApiHealth
from inferway_dataplane.sources.assembly import Assembled, Documents, decide
from inferway_dataplane.sources.backoff import Backoff
from inferway_dataplane.sources.publication import PublishedDocument

log = logging.getLogger("inferway.cluster")

Configs = PublishedDocument[ConfigIndex, ConfigShard, ConfigDocument]
Endpointses = PublishedDocument[EndpointsIndex, EndpointsShard, EndpointsDocument]


@dataclass(frozen=True, slots=True)
class Sinks:
    """Who is told what is served."""

    receiver: Receiver
    acknowledge: Callable[[Acknowledgement], None]
    keep: Callable[[Documents], None]


class Rollout:
    """Looks at both publications whenever one has changed."""

    def __init__(
        self,
        config: Configs,
        endpoints: Endpointses,
        hearers: Sinks,
        contact: ApiHealth,
        back_off: Backoff,
        changed: asyncio.Event,
        now: Callable[[], float] = time,
    ) -> None:
        """`changed` is set when one of both has. `back_off`: after failures, and before something broken is looked at again."""
        self.live: Documents | None = None
        self.restored_at = 0.0
        """Since when the last good copy is served and not what is published, in seconds since the epoch; 0 = it is not."""
        self.missing: tuple[str, ...] = ()
        """Services for whose endpoints the newest config waits."""
        self._changed = changed
        self._now = now
        self._config = config
        self._endpoints = endpoints
        self._hearers = hearers
        self._contact = contact
        self._back_off = back_off
        self._told = ""
        """The error that the receiver was told last, while it stands."""
        self._bad_config = ("", "")
        """Revisions of a config that could not be built and of the endpoints that it was tried with."""
        self._bad_endpoints = ""
        """Revision of endpoints with which not even the live config could be built."""

    @property
    def error(self) -> str:
        """Why what is published now is not served; "" = it is, or waits."""
        return self._config.error or self._endpoints.error

    @property
    def is_listed(self) -> bool:
        """Whether both were read once."""
        return self._config.following.is_listed and self._endpoints.following.is_listed

    @property
    def waiting(self) -> str:
        """Why nothing is served, as far as documents go."""
        if self.error:
            return f"the document was refused: {self.error}"
        for followed in (self._config.following, self._endpoints.following):
            if followed.is_listed and followed.text is None:
                return f"there is no ConfigMap {followed.name} yet"
        if self.missing:
            more = f" and {len(self.missing) - 3} more" if len(self.missing) > 3 else ""
            return f"waiting for endpoints of {', '.join(self.missing[:3])}{more}"
        return "no document yet"

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            pause: float | None = None
            try:
                await self._look()
                if self._config.may_mend or self._endpoints.may_mend:
                    pause = self._back_off.pause()
                else:
                    self._back_off.reset()
                self._contact.answered("shards")
            except Unavailable as error:
                self._contact.failed("shards", error)
                pause = self._back_off.pause(error.retry_after)
            except Exception:
                # A mistake of ours must not end the source: the next document may not meet it.
                log.exception("assembling a document failed in a way that is not foreseen")
                pause = self._back_off.pause()
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()

    def restore(self, copy: Documents) -> None:
        """Serve the last good copy, if nothing better has come meanwhile. `Refused`."""
        if self.live is None:
            self._accept(copy)
            self.restored_at = self._now()
            log.warning("serving the last good copy, nothing was published in time")
            self._acknowledge()
            self._changed.set()

    async def _look(self) -> None:
        # The config first: endpoints are published before the config that needs them, so these are new enough for it.
        config = await self._config.newest()
        endpoints = await self._endpoints.newest()
        if endpoints is not None:
            if endpoints.revision == self._bad_endpoints:
                endpoints = None
            else:
                self._endpoints.accept()
        if config is not None:
            if self._is_bad(config, endpoints):
                config = None
            else:
                self._config.accept()
        is_anew = bool(self._told) and not self.error
        decision = await asyncio.to_thread(decide, config, endpoints, self.live, is_anew=is_anew)
        if decision.missing and decision.missing != self.missing:
            log.debug("the newest config waits for endpoints", extra={"services": decision.missing[:10]})
        self.missing = decision.missing
        if decision.swap is not None:
            self._swap(decision.swap)
        if self._is_live(config, endpoints):
            self.restored_at = 0.0
        self._tell()
        self._acknowledge()

    def _is_live(
        self, config: Assembled[ConfigDocument] | None, endpoints: Assembled[EndpointsDocument] | None
    ) -> bool:
        """Whether what is published is what is served."""
        live = self.live
        if live is None or config is None or endpoints is None:
            return False
        return (live.config.revision, live.endpoints.revision) == (config.revision, endpoints.revision)

    def _is_bad(self, config: Assembled[ConfigDocument], endpoints: Assembled[EndpointsDocument] | None) -> bool:
        """Whether this config was refused, and it was not the fault of endpoints that are no more."""
        revision, tried_with = self._bad_config
        if config.revision != revision or tried_with == self._bad_endpoints:
            return False
        # While nothing is live, either may be at fault: it is tried again with other endpoints.
        return self.live is not None or endpoints is None or endpoints.revision == tried_with

    def _swap(self, new: Documents) -> None:
        live = self.live
        try:
            self._accept(new)
        except Refused as refused:
            error = self._told = str(refused)  # the receiver has told it
            if live is not None and new.config.revision == live.config.revision:
                self._bad_endpoints = new.endpoints.revision
                self._endpoints.refuse(new.endpoints.revision, error)
            else:
                self._bad_config = (new.config.revision, new.endpoints.revision)
                self._config.refuse(new.config.revision, error)
            # What is live may go on with newer endpoints.
            self._changed.set()

    def _accept(self, new: Documents) -> None:
        self._hearers.receiver.accept(new.config.document, new.endpoints.document, new.config.revision, self.error)
        self.live = new
        self._hearers.keep(new)

    def _tell(self) -> None:
        # Once for each refusal, however often endpoints change while it stands.
        if self.error and self.error != self._told:
            self._hearers.receiver.reject(self.error)
        self._told = self.error

    def _acknowledge(self) -> None:
        live = self.live
        self._hearers.acknowledge(
            Acknowledgement(
                config=live.config.revision if live is not None else "",
                endpoints=live.endpoints.revision if live is not None else "",
                refused=self._config.refused,
                error=self.error,
            )
        )
