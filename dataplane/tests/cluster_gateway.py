"""A data plane that serves from a cluster, in a thread of this process."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from inferway_dataplane.main import DataPlane
from inferway_dataplane.settings import Settings
from inferway_dataplane.sources.cluster import ClusterSource, Pace
from inferway_dataplane.sources.kubernetes_api import KubernetesApi, Limits, configuration
from inferway_dataplane.sources.last_good import LastGood
from inferway_dataplane.sources.last_good_writer import WriterPace
from inferway_dataplane.sources.lease import Pod
from inferway_fakes.loop_thread import LoopThread
from inferway_fakes.waiting import DEADLINE, wait_until

QUICK = Pace(patience=0.5, renew=0.5, copies=WriterPace(rest=0.05))


@dataclass
class ClusterGateway:
    """A running one. It may wait for its first document."""

    plane: DataPlane

    def ask(self, path: str = "/", *, admin: bool = False) -> tuple[int, str]:
        """One request on a connection of its own."""
        port = (self.plane.admin if admin else self.plane.listen)[1]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def says(self, body: str, path: str = "/") -> bool:
        """Whether it answers so, now."""
        try:
            return self.ask(path) == (200, body)
        except OSError:
            return False

    def serves(self, body: str, path: str = "/", deadline: float = DEADLINE) -> None:
        """Wait until it answers so."""
        wait_until(lambda: self.says(body, path), f"{path} says {body}; {self.why_not()}", deadline)

    def is_probed(self) -> bool:
        """Whether the admin port answers."""
        try:
            return self.ask("/healthz", admin=True)[0] == 200
        except OSError:
            return False

    def why_not(self) -> str:
        """What /readyz says."""
        return self.ask("/readyz", admin=True)[1].strip()

    def samples(self) -> set[str]:
        """The lines of /metrics."""
        return set(self.ask("/metrics", admin=True)[1].splitlines())

    @property
    def rejected(self) -> int:
        """Documents that were refused."""
        return self.plane.gateway.stats.config_rejected

    @property
    def revision(self) -> str:
        """Of the config that is live."""
        return self.plane.gateway.live.revision


@contextmanager
def cluster_gateway(
    kubeconfig: Path,
    namespace: str,
    *,
    state: Path | None = None,
    pod: Pod = Pod("gateway-0", "no-such-pod", "inferway"),  # noqa: B008 - a constant
    limits: Limits | None = None,
    pace: Pace = QUICK,
) -> Iterator[ClusterGateway]:
    """Until the block ends."""
    known = limits or Limits()
    settings = Settings(listen="127.0.0.1:0", admin="127.0.0.1:0", access_log=False, drain_timeout=1.0)
    thread = LoopThread("gateway", uvloop.new_event_loop())
    thread.start()
    try:
        how = thread.run(configuration(str(kubeconfig)))

        def begin() -> tuple[DataPlane, asyncio.Task[None]]:
            source = ClusterSource(
                KubernetesApi(how, namespace, known),
                KubernetesApi(how, namespace, known),
                pod,
                LastGood(str(state)) if state is not None else None,
                pace,
            )
            plane = DataPlane(settings, source)
            return plane, asyncio.get_running_loop().create_task(plane.start())

        plane, starting = thread.call(begin)
        running = ClusterGateway(plane)
        try:
            wait_until(running.is_probed, "the admin port answers")
            yield running
        finally:
            thread.run(_stop(plane, starting))
    finally:
        thread.stop()


async def _stop(plane: DataPlane, starting: asyncio.Task[None]) -> None:
    """Of a plane that may still wait for its first document."""
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await plane.stop()
