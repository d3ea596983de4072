"""`python -m inferway_fakes.scripted --port 0`: prints one line of JSON with its port, serves until SIGTERM, SIGINT or
the end of its lifetime, and exits with 0."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys

import uvloop

from inferway_fakes.scripted.server import Server

LONGEST_LIFE = 86_400.0


async def serve(port: int, name: str, lifetime: float) -> None:
    """Serve until a signal or the end of the lifetime."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    server = Server(name)
    listening = await server.start(port)
    sys.stdout.write(json.dumps({"name": name, "port": listening}) + "\n")
    sys.stdout.flush()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), lifetime)
    await server.stop()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m inferway_fakes.scripted", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--name", default="scripted", help="reported in x-fake-process and in echoes")
    parser.add_argument("--lifetime", type=float, default=3600.0, help=f"seconds, at most {LONGEST_LIFE:.0f}")
    given = parser.parse_args()
    if not 0 < given.lifetime <= LONGEST_LIFE or not 0 <= given.port <= 65535:
        parser.error("the port or the lifetime is out of bounds")
    uvloop.run(serve(given.port, given.name, given.lifetime))


if __name__ == "__main__":
    main()
