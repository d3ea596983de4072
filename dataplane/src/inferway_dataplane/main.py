"""The data-plane process: wires everything, owns the signals, starts and stops both servers."""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import uvloop

from inferway_contract.listener import address_and_port
from inferway_contract.problem_log import ProblemLog
from inferway_dataplane.admin import app as admin_app
from inferway_dataplane.gateway import Gateway
from inferway_dataplane.observability import json_logging
from inferway_dataplane.observability.access_log import AccessLog
from inferway_dataplane.servers import AdminServer, DataServer, bind
from inferway_dataplane.settings import Settings
from inferway_dataplane.sources import Refused, Source
from inferway_dataplane.system import resource_monitor
from inferway_dataplane.system.file_watcher import follow

if TYPE_CHECKING:
    from inferway_dataplane.observability.tracing import Tracing
    from inferway_dataplane.system.tls import Certificates

log = logging.getLogger("inferway")

_PATIENCE: Final = 5.0  # seconds in which a first document usually arrives
_QUIET: Final = 60.0  # seconds between two log lines about its absence
_ADMIN_STOP: Final = 1.0  # seconds that requests of the admin port have to end


class DataPlane:
    """Both servers and the gateway between them. Tests call `start` and `stop` without signals."""

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
        self._admin_server = AdminServer(admin_app.app(self), self.gateway.stats.admin_closed)
        self._data_server: DataServer | None = None
        self._tasks: list[asyncio.Task[None]] = []  # the source, and the watchers of files
        self._reload_wanted = (asyncio.Event(), asyncio.Event())  # of secrets, of certificates
        self._source_end = asyncio.Event()  # the source has ended, and the process is to be restarted
        self.is_ready_to_drain = False  # whether it drains and `/readyz` still succeeds (`drain_ready`)
        self.listen = ("", 0)
        self.admin = ("", 0)

    @property
    def is_listening(self) -> bool:
        return self._data_server is not None

    async def start(self, before_listening: Callable[[], object] = lambda: None) -> None:
        """Serve probes at once, and clients as soon as there is a document, after a call of `before_listening`.

        Raises `Refused` (no first document) or `OSError` (no port). `stop` ends what was started.
        """
        # Both ports are taken first, so that one in use is reported before the source is waited for.
        data_socket = bind(*address_and_port(self.settings.listen))
        try:
            admin_socket = bind(*address_and_port(self.settings.admin))
            self.listen, self.admin = data_socket.getsockname()[:2], admin_socket.getsockname()[:2]
            self.gateway.start()
            await self._admin_server.start(admin_socket)
            log.info("waiting for the first document", extra={"admin": "{}:{}".format(*self.admin)})
            source = self._run(self.source.follow(self.gateway.live))
            await self._first_document(source)
            source.add_done_callback(self._on_source_end)
            secrets, certificates = self.gateway.context.secrets, self._certificates
            of_secrets, of_certificates = self._reload_wanted
            self._run(follow("secrets", secrets.files, secrets.refresh, wanted=of_secrets))
            context = None
            if certificates is not None:
                context = certificates.context
                files, read = lambda: certificates.files, certificates.signature
                self._run(follow("certificates", files, certificates.reload, read, wanted=of_certificates))
            before_listening()
            self._data_server = DataServer(self.gateway, data_socket, context)
        except BaseException:
            data_socket.close()
            raise

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._tasks.append(asyncio.get_running_loop().create_task(work))
        return self._tasks[-1]

    async def _first_document(self, source: asyncio.Task[None]) -> None:
        problem, quiet_until = ProblemLog(log), monotonic() + _PATIENCE
        while self.gateway.context.runtime is None:
            if source.done():
                await source
                raise Refused("the source ended without a document")
            # `/readyz` has it too, but the kubelet keeps the probe's response to itself.
            if monotonic() > quiet_until and problem.report(
                logging.WARNING,
                "there is nothing to serve yet, so this pod is not ready",
                why=self.source.waiting,
            ):
                quiet_until = monotonic() + _QUIET
            await asyncio.sleep(0.01)

    def _on_source_end(self, source: asyncio.Task[None]) -> None:
        """Report that no newer documents will arrive."""
        if source.cancelled():
            return  # by `stop`
        error = source.exception()
        why = f"{type(error).__name__}: {error}" if error is not None else "it ended by itself"
        self.gateway.live.last_error = f"newer documents are not followed any more: {why}"
        if self.source.ends_with_process:
            log.critical("the source has ended, so the process ends", extra={"error": why}, exc_info=error)
            self._source_end.set()
        else:
            log.critical("the source has ended, the live document stays", extra={"error": why}, exc_info=error)

    def reload(self) -> None:
        """Read all files again: the source's, secrets and certificates."""
        log.info("reloading all files")
        self.source.reload()
        for wanted in self._reload_wanted:
            wanted.set()

    async def stop(self) -> None:
        """Close the listeners, finish what is in flight within `drain_timeout`, then close the rest."""
        self.gateway.drain()
        self.is_ready_to_drain = False
        for task in reversed(self._tasks):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        # The data port first: the admin port answers until everything else is done.
        if self._data_server is not None:
            await self._data_server.stop(self.settings.drain_timeout)
        await self._admin_server.stop(_ADMIN_STOP)
        await self.gateway.stop()
        if self.gateway.context.tracing is not None:
            await asyncio.to_thread(self.gateway.context.tracing.close)
        self.access_log.close()

    async def run(self) -> int:
        """Start, serve until a signal or the end of the source, drain, stop. Returns the exit code."""
        signalled = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, signalled)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        starting = loop.create_task(self.start(_freeze))
        signal_wait = loop.create_task(signalled.wait())
        await asyncio.wait((starting, signal_wait), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            # The signal came before the first document.
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await self.stop()
            return 0
        try:
            await starting
        except Exception as error:
            signal_wait.cancel()
            if isinstance(error, (Refused, OSError)):
                sys.stderr.write(f"inferway: {error}\n")
            else:
                log.critical("unexpected error while starting", exc_info=True)
            await self.stop()
            return 1
        log.info("ready", extra={"listen": "{}:{}".format(*self.listen), "admin": "{}:{}".format(*self.admin)})
        source_wait = loop.create_task(self._source_end.wait())
        await asyncio.wait((signal_wait, source_wait), return_when=asyncio.FIRST_COMPLETED)
        code = 0 if signal_wait.done() else 1
        signal_wait.cancel()
        source_wait.cancel()
        # If the source has ended, `/readyz` fails at once: the pod is not Terminating, so it would still get requests.
        self.is_ready_to_drain = self.settings.drain_ready and code == 0
        self.gateway.drain()
        log.info("draining", extra={"delay_seconds": self.settings.drain_delay})
        await asyncio.sleep(self.settings.drain_delay)
        await self.stop()
        log.info("stopped")
        return code

    def _on_signal(self, signalled: asyncio.Event) -> None:
        if signalled.is_set():
            raise SystemExit(1)  # a second signal: end at once
        signalled.set()


def _certificates(settings: Settings) -> "Certificates | None":
    if not settings.certificates:
        return None
    from inferway_dataplane.system.tls import Certificates  # the library behind it takes eight megabytes

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


def _freeze() -> None:
    """Take modules and the first document out of garbage collections, which would stop the loop for too long.

    A full collection looks at all objects: 100 ms for 4,000 routes. There is no client connection yet: those are cycles when
    they end, and a frozen one would never be freed.
    """
    gc.collect()
    gc.freeze()


def serve(settings: Settings, source: Source) -> int:
    """Run the data plane until a signal, or until its source ends; return the exit code.

    0 = it has stopped gracefully, 1 = it could not start or the source has ended, 2 = a setting names something unusable.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nothing is to be reloaded yet, and it must not end the process
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
