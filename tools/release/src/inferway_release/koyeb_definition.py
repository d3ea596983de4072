"""The definition of the Koyeb service: the standalone image, its routes as a file, its settings. Pure.

The names of the fields are those of Koyeb's API, `DeploymentDefinition`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

SERVICE: Final = "gateway"
PORT: Final = 8080
ADMIN_PORT: Final = 9090
ROUTES: Final = "/etc/inferway/routes/routes.yaml"
"""The image's folder for resources."""
GRACE: Final = 10
"""Seconds until a failed check counts."""
SETTING: Final = re.compile(r"(INFERWAY_[A-Z_]+)=(.*)")


class NotDeployable(Exception):  # noqa: N818 - the name is the finding
    """The deployment failed or is unhealthy; the message names the cause."""


@dataclass(frozen=True)
class Wish:
    """The desired service."""

    image: str
    routes: str
    """The content of the file of resources."""
    settings: Mapping[str, str]
    region: str = "fra"
    instance: str = "nano"


def settings(lines: Iterable[str]) -> dict[str, str]:
    """Parse `INFERWAY_NAME=value` lines; `#` begins a comment line. Raises `NotDeployable` for other lines."""
    values: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = SETTING.fullmatch(text)
        if match is None or match[1] in values:
            raise NotDeployable(f"settings, line {number}: {text!r} is not one INFERWAY_NAME=value for each name")
        if match[1] in {"INFERWAY_LISTEN", "INFERWAY_ADMIN"}:
            raise NotDeployable(f"settings, line {number}: {match[1]} is set by the ports of the definition")
        values[match[1]] = match[2]
    return values


def definition(wish: Wish) -> dict[str, Any]:
    """Return a definition with one instance, because limits and cache belong to one process."""
    environment = {"PORT": str(PORT), **wish.settings}
    return {
        "name": SERVICE,
        "type": "WEB",
        "docker": {"image": wish.image},
        "regions": [wish.region],
        "instance_types": [{"type": wish.instance}],
        "scalings": [{"min": 1, "max": 1}],
        # Only the data port has a route; the admin port is open to Koyeb's checks and to services of the same mesh.
        "ports": [{"port": PORT, "protocol": "http"}, {"port": ADMIN_PORT, "protocol": "tcp"}],
        "routes": [{"port": PORT, "path": "/"}],
        "health_checks": [
            {"grace_period": GRACE, "http": {"port": ADMIN_PORT, "path": "/readyz"}},
            {"grace_period": GRACE, "tcp": {"port": PORT}},
        ],
        "config_files": [{"path": ROUTES, "permissions": "0644", "content": wish.routes}],
        "env": [{"key": name, "value": value} for name, value in sorted(environment.items())],
    }
