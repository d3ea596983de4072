"""The kind cluster of `make cluster`."""

from collections.abc import Iterable
from typing import Final

from inferway_cluster import shell
from inferway_cluster.images import IN_CLUSTER, ROOT

NAME: Final = "inferway"
CONTEXT: Final = f"kind-{NAME}"
"""Context in the kubeconfig. Every command names it, so that no other cluster is changed; kind makes it the current one."""
CONFIG: Final = "manifests/kind/cluster.yaml"


def exists() -> bool:
    """Return whether the cluster exists."""
    return NAME in shell.ask("kind", "get", "clusters").split()


def create() -> bool:
    """Create the cluster if needed, with its context in the kubeconfig. Returns whether it was created."""
    if exists():
        shell.run("kind", "export", "kubeconfig", "--name", NAME)
        return False
    shell.run("kind", "create", "cluster", "--config", str(ROOT / CONFIG), "--wait", "180s")
    return True


def delete() -> None:
    """Delete the cluster, if it exists."""
    shell.run("kind", "delete", "cluster", "--name", NAME)


def load(tag: str) -> None:
    """Load the images of pods into the cluster. kind skips those that it already has, by their id."""
    references: Iterable[str] = (image.reference(tag) for image in IN_CLUSTER)
    shell.run("kind", "load", "docker-image", "--name", NAME, *references)


def kubectl(*arguments: str, feed: str | None = None) -> None:
    """Run kubectl and show its output."""
    shell.run("kubectl", "--context", CONTEXT, *arguments, feed=feed)


def kubectl_output(*arguments: str) -> str:
    """Run kubectl and return its output."""
    return shell.ask("kubectl", "--context", CONTEXT, *arguments)
