"""A data plane that serves from a cluster, in a thread of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from inferway_dataplane.main import DataPlane
from inferway_dataplane.sources.cluster import ClusterSource, Pace
from inferway_dataplane.sources.last_good import LastGood
from inferway_dataplane.sources.last_good_writer import WriterPace
from inferway_dataplane.sources.lease import Pod
from inferway_fakes.loop_thread import LoopThread
from inferway_kube import login
from inferway_kube.client import Client, Deadlines
from inferway_testing.gateway import RunningGateway, settings
from inferway_testing.until import DEADLINE, until

QUICK = Pace(patience=0.5, renew=0.5, copies=WriterPace(rest=0.05))


class ClusterGateway(RunningGateway):
    """A data plane that serves from a cluster."""

    def ask(self, path: str = "/", *, admin: bool = False) -> tuple[int, str]:
        """One request on a connection of its own."""
        response = self.request(path, port=self.admin_port if admin else self.port)
        return response.status, response.body.decode()

    def says(self, body: str, path: str = "/") -> bool:
        """Whether it answers so, now."""
        try:
            return self.ask(path) == (200, body)
        except OSError:
            return False

    def serves(self, body: str, path: str = "/", deadline: float = DEADLINE) -> None:
        """Wait until it answers so."""
        until(lambda: self.says(body, path), lambda: f"{path} says {body}; {self.why_not()}", deadline)

    def is_probed(self) -> bool:
        """Whether the admin port answers."""
        try:
            return self.ask("/healthz", admin=True)[0] == 200
        except OSError:
            return False

    def why_not(self) -> str:
        """Return the text of /readyz."""
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
    deadlines: Deadlines | None = None,
    pace: Pace = QUICK,
) -> Iterator[ClusterGateway]:
    """Until the block ends."""
    with LoopThread("gateway", uvloop.new_event_loop()) as thread:
        account = thread.run(login.with_kubeconfig(str(kubeconfig)))

        def begin() -> tuple[DataPlane, asyncio.Task[None]]:
            source = ClusterSource(
                Client(account, "inferway-dataplane", deadlines),
                Client(account, "inferway-dataplane", deadlines),
                namespace,
                pod,
                LastGood(str(state)) if state is not None else None,
                pace,
            )
            plane = DataPlane(settings(), source)
            return plane, asyncio.get_running_loop().create_task(plane.start())

        plane, starting = thread.call(begin)
        running = ClusterGateway(plane, thread.loop)
        try:
            until(running.is_probed, "the admin port answers")
            yield running
        finally:
            thread.run(_stop(plane, starting))


async def _stop(plane: DataPlane, starting: asyncio.Task[None]) -> None:
    """Of a plane that may still wait for its first document."""
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await plane.stop()
