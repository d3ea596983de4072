"""The cluster of kind that `make cluster` makes."""

from collections.abc import Iterable
from typing import Final

from inferway_cluster import shell
from inferway_cluster.images import IN_CLUSTER, ROOT

NAME: Final = "inferway"
CONTEXT: Final = f"kind-{NAME}"
"""In the kubeconfig. Everything names it, so that no other cluster is touched; kind makes it the current one."""
CONFIG: Final = "manifests/kind/cluster.yaml"


def exists() -> bool:
    """Whether kind knows the cluster."""
    return NAME in shell.ask("kind", "get", "clusters").split()


def create() -> bool:
    """Whether there was none before. Afterwards the kubeconfig has its context."""
    if exists():
        shell.run("kind", "export", "kubeconfig", "--name", NAME)
        return False
    shell.run("kind", "create", "cluster", "--config", str(ROOT / CONFIG), "--wait", "180s")
    return True


def delete() -> None:
    """No matter whether it is there."""
    shell.run("kind", "delete", "cluster", "--name", NAME)


def load(tag: str) -> None:
    """Bring the images of pods into it. kind leaves out those that it has already, by their id."""
    references: Iterable[str] = (image.reference(tag) for image in IN_CLUSTER)
    shell.run("kind", "load", "docker-image", "--name", NAME, *references)


def kubectl(*arguments: str, feed: str | None = None) -> None:
    """With its output for all to see."""
    shell.run("kubectl", "--context", CONTEXT, *arguments, feed=feed)


def asked(*arguments: str) -> str:
    """What kubectl prints."""
    return shell.ask("kubectl", "--context", CONTEXT, *arguments)
