"""The entry point of the image `standalone`: `inferway` with the listeners of a container.

Platforms such as Koyeb set PORT to the port of a container. The default addresses of `inferway run` are loopback addresses,
which are not reachable from outside of the container.
"""

import os
import sys
from collections.abc import Mapping
from typing import Final

PORT: Final = 8080
"""Data port if the platform does not set PORT."""


def listeners(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the settings to add to those of the environment; raise `ValueError` for an invalid PORT."""
    port = environ.get("PORT") or str(PORT)
    if not (port.isascii() and port.isdecimal() and 0 < int(port) <= 65535):
        raise ValueError(f"PORT: {port!r} is not a port, such as {PORT}")
    standard = {"INFERWAY_LISTEN": f"0.0.0.0:{port}", "INFERWAY_ADMIN": "0.0.0.0:9090"}
    return {name: value for name, value in standard.items() if not environ.get(name)}


def main() -> None:
    """Run a command; exit with code 2 for an invalid PORT."""
    try:
        os.environ.update(listeners(os.environ))
    except ValueError as error:
        sys.stderr.write(f"inferway: {error}\n")
        sys.exit(2)
    from inferway_cli.main import run

    run()


if __name__ == "__main__":
    main()
