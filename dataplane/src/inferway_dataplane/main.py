"""The data-plane process: wires everything, owns the signals, starts and stops both servers."""

import asyncio
import logging
import signal
import socket
import sys
from time import monotonic
from typing import TYPE_CHECKING, Final

import uvloop

from inferway_dataplane.admin import app as admin_app
from inferway_dataplane.gateway import Gateway
from inferway_dataplane.observability import json_logging
from inferway_dataplane.observability.access_log import AccessLog
from inferway_dataplane.servers import DataServer, Server, admin_server, bind
from inferway_dataplane.settings import Settings, address_and_port
from inferway_dataplane.sources import Refused, Source
from inferway_dataplane.system import resource_monitor
from inferway_dataplane.system.file_watcher import follow

if TYPE_CHECKING:
    from inferway_dataplane.observability.tracing import Tracing
    from inferway_dataplane.system.tls import Certificates

log = logging.getLogger("inferway")

_PATIENCE: Final = 5.0
"""Seconds in which a first document usually comes."""
_QUIET: Final = 60.0
"""Seconds without another word about why there is none."""


class DataPlane:
    """Both servers and the gateway between them. `start` and `stop` may be used without signals (tests)."""

    def __init__(self, settings: Settings, source: Source) -> None:
        self.settings = settings
        self.source = source
        self.access_log = AccessLog(
            settings.access_log_rate, enabled=settings.access_log, query=settings.access_log_query
        )
        self.gateway = Gateway(settings, self.access_log, resource_monitor.descriptors())
        if settings.otlp_endpoint:
            self.gateway.context.tracing = _tracing(settings)
        self._certificates = _certificates(settings)
        self._servers: list[tuple[Server, asyncio.Task[None]]] = []
        self._data_server: DataServer | None = None
        self._source: asyncio.Task[None] | None = None
        self._followers: list[asyncio.Task[None]] = []
        self._broken = asyncio.Event()  # there is no source any more, and somebody will start the process again
        self.is_ready_to_drain = False
        """It drains, and is still said to be ready (`drain_ready`)."""
        self.listen = ("", 0)
        self.admin = ("", 0)

    @property
    def is_listening(self) -> bool:
        """Whether clients can connect."""
        return self._data_server is not None and self._data_server.started

    async def start(self) -> None:
        """Answer probes at once, and clients once there is a document to serve; it may take the source a while.

        Raises `Refused` (no first document) or `OSError` (no port); `stop` ends what was started.
        """
        loop = asyncio.get_running_loop()
        # Both ports are taken first: who cannot have them says so before it waits for anything.
        data_socket = bind(*address_and_port(self.settings.listen))
        try:
            admin_socket = bind(*address_and_port(self.settings.admin))
            self.listen, self.admin = data_socket.getsockname()[:2], admin_socket.getsockname()[:2]
            self.gateway.start()
            await self._serve(admin_server(admin_app.app(self)), admin_socket)
            log.info("waiting for the first document", extra={"admin": "{}:{}".format(*self.admin)})
            self._source = loop.create_task(self.source.follow(self.gateway.live), name="source")
            await self._first_document(self._source)
            self._source.add_done_callback(self._on_source_end)
        except BaseException:
            data_socket.close()
            raise
        self._follow_files()
        context = self._certificates.context if self._certificates is not None else None
        self._data_server = DataServer(self.gateway, context)
        await self._serve(self._data_server, data_socket)

    async def _first_document(self, source: asyncio.Task[None]) -> None:
        told, quiet_until = "", monotonic() + _PATIENCE
        while self.gateway.context.runtime is None:
            if source.done():
                await source
                raise Refused("the source ended without a document")
            if monotonic() > quiet_until and (why := self.source.waiting) != told:
                # Probes know it too, and the kubelet keeps what they say to itself.
                log.warning("there is nothing to serve yet, so this pod is not ready", extra={"why": why})
                told, quiet_until = why, monotonic() + _QUIET
            await asyncio.sleep(0.01)

    def _on_source_end(self, source: asyncio.Task[None]) -> None:
        """Nobody brings newer documents any more: never in silence."""
        if source.cancelled():
            return  # by `stop`
        error = source.exception()
        why = f"{type(error).__name__}: {error}" if error is not None else "it ended by itself"
        self.gateway.live.last_error = f"newer documents are not followed any more: {why}"
        if self.source.ends_with_process:
            log.critical("the source has ended, so the process ends", extra={"error": why}, exc_info=error)
            self._broken.set()
        else:
            log.critical("the source has ended, what is served goes on", extra={"error": why}, exc_info=error)

    def _follow_files(self) -> None:
        loop = asyncio.get_running_loop()
        secrets = self.gateway.context.secrets
        self._followers.append(loop.create_task(follow("secrets", secrets.files, secrets.refresh)))
        if self._certificates is not None:
            own = self._certificates
            self._followers.append(
                loop.create_task(follow("certificates", lambda: own.files, own.reload, own.signature))
            )

    async def _serve(self, server: Server, listener: socket.socket) -> None:
        task = asyncio.get_running_loop().create_task(server.serve(sockets=[listener]))
        self._servers.append((server, task))
        while not server.started:
            if task.done():
                await task
                raise RuntimeError("a server ended before it had started")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Close the listeners, finish what is in flight within `drain_timeout`, then close the rest."""
        self.gateway.drain()
        self.is_ready_to_drain = False
        for task in (*self._followers, *filter(None, (self._source,))):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        # The data server first: the admin port answers until everything else is done.
        for server, task in reversed(self._servers):
            server.should_exit = True
            deadline = monotonic() + (self.settings.drain_timeout if server is self._data_server else 1.0)
            while not task.done() and monotonic() < deadline:
                await asyncio.wait([task], timeout=0.1)
            if not task.done():
                server.force_exit = True
                left = list(server.server_state.connections)
                if self.gateway.context.in_flight:
                    log.warning(
                        "requests were cut, the drain took too long", extra={"requests": self.gateway.context.in_flight}
                    )
                for connection in left:
                    connection.transport.abort()
            await asyncio.gather(task, return_exceptions=True)
        await self.gateway.stop()
        if self.gateway.context.tracing is not None:
            await asyncio.to_thread(self.gateway.context.tracing.close)
        self.access_log.close()

    async def run(self) -> int:
        """Start, serve until a signal or the end of the source, drain, stop. Returns the exit code."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, stopping)
        starting = loop.create_task(self.start())
        leaving = loop.create_task(stopping.wait())
        await asyncio.wait((starting, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            # There is no document yet, and nobody wants to wait for it any more.
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await self.stop()
            return 0
        try:
            await starting
        except (Refused, OSError) as error:
            leaving.cancel()
            sys.stderr.write(f"inferway: {error}\n")
            await self.stop()
            return 1
        except Exception:
            leaving.cancel()
            log.critical("starting failed in a way that is not foreseen", exc_info=True)
            await self.stop()
            return 1
        log.info("ready", extra={"listen": "{}:{}".format(*self.listen), "admin": "{}:{}".format(*self.admin)})
        broken = loop.create_task(self._broken.wait())
        await asyncio.wait((leaving, broken), return_when=asyncio.FIRST_COMPLETED)
        code = 0 if leaving.done() else 1
        leaving.cancel()
        broken.cancel()
        # Who ends because the source has ended is in no state to be sent anything: its pod is not Terminating.
        self.is_ready_to_drain = self.settings.drain_ready and code == 0
        self.gateway.drain()
        log.info("draining", extra={"delay_seconds": self.settings.drain_delay})
        await asyncio.sleep(self.settings.drain_delay)
        await self.stop()
        log.info("stopped")
        return code

    def _on_signal(self, stopping: asyncio.Event) -> None:
        if stopping.is_set():
            # Somebody is in a hurry, and means it.
            raise SystemExit(1)
        stopping.set()


def _certificates(settings: Settings) -> "Certificates | None":
    if not settings.certificates:
        return None
    from inferway_dataplane.system.tls import Certificates  # what it needs takes eight megabytes

    try:
        return Certificates(settings.certificates)
    except (OSError, ValueError) as error:
        raise ValueError(f"tls_cert, tls_key: {error}") from None


def _tracing(settings: Settings) -> "Tracing":
    try:
        from inferway_dataplane.observability.tracing import Tracing
    except ImportError:
        raise OSError("otlp_endpoint is set, but tracing is not installed: pip install 'inferway[otel]'") from None
    return Tracing(settings.otlp_endpoint, settings.trace_sample)


def serve(settings: Settings, source: Source) -> int:
    """Run the data plane until a signal, or until a source ends with which the process ends.

    Returns the exit code: 0 after a graceful stop, 1 when it could not start or the source has ended, 2 when a setting names
    what cannot be used.
    """
    json_logging.configure(settings.log_level)
    try:
        plane = DataPlane(settings, source)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"inferway: {error}\n")
        return 2
    try:
        return uvloop.run(plane.run())
    except SystemExit as stop:
        return int(stop.code or 0)
