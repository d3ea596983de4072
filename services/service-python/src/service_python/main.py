"""The process: settings, logs to stdout, uvicorn with the application."""

import logging
import signal
import socket
import sys

import uvicorn
from pydantic import ValidationError
from pydantic_settings import CliApp

from service_python import logs
from service_python.app import create_app
from service_python.settings import Settings

# argparse's exit code for a wrong flag, used for a wrong value too
EXIT_USAGE = 2


class Server(uvicorn.Server):
    """uvicorn's server, which also logs its address as soon as it listens."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen. Exits the process with 3 if the address cannot be bound (uvicorn's way)."""
        await super().startup(sockets)
        for server in self.servers:
            for listener in server.sockets:
                host, port = listener.getsockname()[:2]
                logs.write(logging.INFO, "listening", host=host, port=port)


def run(arguments: list[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT and finish requests in flight. `arguments`: by default those of the process.

    Raises SystemExit: 0 after --help, EXIT_USAGE if a setting is invalid (the message is on stderr).
    """
    try:
        settings = CliApp.run(Settings, cli_args=sys.argv[1:] if arguments is None else arguments)
    except ValidationError as error:
        for each in error.errors(include_url=False):
            sys.stderr.write(f"{'.'.join(map(str, each['loc']))}: {each['msg']}\n")
        raise SystemExit(EXIT_USAGE) from None

    logs.configure(settings.log_level)
    server = Server(
        uvicorn.Config(
            create_app(settings),
            host=settings.host,
            port=settings.port,
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=settings.stop_timeout_seconds,
        )
    )
    # After a graceful stop uvicorn restores the previous handlers and raises the signal again; the default ones would
    # end the process as killed. With uvicorn's own handler installed before, the repeated signal has no effect, and a
    # signal that arrives before uvicorn listens is not lost.
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, server.handle_exit)
    server.run()
    logs.write(logging.INFO, "stopped")
