"""The images of this repository."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[4]
REGISTRY: Final = "ghcr.io/inferway"
DEV_TAG: Final = "dev"
"""The tag that the overlays for kind use."""
UID: Final = 10001
"""User and group id of processes in containers."""


@dataclass(frozen=True)
class Image:
    """An image. Paths are relative to the root of the repository."""

    name: str
    dockerfile: str
    context: str = "."

    def reference(self, tag: str) -> str:
        """Return its reference in manifests."""
        return f"{REGISTRY}/{self.name}:{tag}"


IMAGES: Final = (
    Image("operator", "operator/Dockerfile"),
    Image("dataplane", "dataplane/Dockerfile"),
    Image("standalone", "cli/Dockerfile"),
    Image("service-python", "services/service-python/Dockerfile"),
    Image("service-node", "services/service-node/Dockerfile", "services/service-node"),
)
IN_CLUSTER: Final = tuple(image for image in IMAGES if image.name != "standalone")
"""The images used by pods."""
