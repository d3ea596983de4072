"""`python -m inferway_envtest build` finds or builds the programs; `run` starts a server until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import suppress
from pathlib import Path

from inferway_envtest import binaries
from inferway_envtest.progress import print_progress
from inferway_envtest.server import ApiServer


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m inferway_envtest", description=__doc__)
    parser.add_argument("command", choices=["build", "run"])
    parser.add_argument("--crds", type=Path, action="append", default=[], help="run: definitions, a file or folder")
    given = parser.parse_args()
    programs = binaries.find()
    binaries.print_paths(programs)
    if given.command == "run":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        with ApiServer.started(programs, given.crds) as server:
            print_progress(f"ready: export KUBECONFIG={server.kubeconfig()}")
            with suppress(KeyboardInterrupt):
                signal.pause()


if __name__ == "__main__":
    main()
