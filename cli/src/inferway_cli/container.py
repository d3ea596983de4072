"""The entry point of the image `standalone`: `inferway`, listening where a container has to.

Platforms such as Koyeb say in PORT on which port they expect a container. The standard addresses of `inferway run` are
loopback's, where nobody outside the container would reach it.
"""

import os
import sys
from collections.abc import Mapping
from typing import Final

PORT: Final = 8080
"""Of the data port, where the platform says nothing."""


def listeners(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings to add to the environment; what is set already stays. `ValueError` when PORT is no port."""
    port = environ.get("PORT") or str(PORT)
    if not (port.isascii() and port.isdecimal() and 0 < int(port) <= 65535):
        raise ValueError(f"PORT: {port!r} is not a port, such as {PORT}")
    standard = {"INFERWAY_LISTEN": f"0.0.0.0:{port}", "INFERWAY_ADMIN": "0.0.0.0:9090"}
    return {name: value for name, value in standard.items() if not environ.get(name)}


def main() -> None:
    """Run a command; exit code 2 when PORT is wrong."""
    try:
        os.environ.update(listeners(os.environ))
    except ValueError as error:
        sys.stderr.write(f"inferway: {error}\n")
        sys.exit(2)
    from inferway_cli.main import run

    run()


if __name__ == "__main__":
    main()
