"""The process: settings from outside, logs to stdout, uvicorn around the application."""

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

# What argparse uses for a wrong flag; a wrong value is no different.
EXIT_USAGE = 2


class Server(uvicorn.Server):
    """uvicorn's server, which also logs where it listens, as soon as it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen. Exits the process with 3 if the address cannot be bound (uvicorn's way)."""
        await super().startup(sockets)
        for server in self.servers:
            for listener in server.sockets:
                host, port = listener.getsockname()[:2]
                logs.write(logging.INFO, "listening", host=host, port=port)


def run(arguments: list[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, finish what is in flight, return. `arguments`: by default those of the process.

    Raises SystemExit: 0 after --help, EXIT_USAGE when a setting is invalid (the message is on stderr).
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
    # After a graceful stop uvicorn restores the handlers it found and raises the signal again, and the default ones
    # would end the process as killed. Its own handler, found there, makes that a repetition without effect, and
    # a signal that arrives before uvicorn listens is not lost.
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, server.handle_exit)
    server.run()
    logs.write(logging.INFO, "stopped")
