"""`make images`: builds each image, and prints a table of sizes and times."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from inferway_cluster import shell
from inferway_cluster.images import IMAGES, ROOT, Image


@dataclass(frozen=True)
class Built:
    """A built image."""

    reference: str
    size: int
    """Bytes, of all layers, those of the base image included."""
    seconds: float


def command(image: Image, tag: str, revision: str) -> tuple[str, ...]:
    """Return docker's command line."""
    return (
        "docker", "buildx", "build", "--load",
        "--file", str(ROOT / image.dockerfile),
        "--tag", image.reference(tag),
        "--build-arg", f"VERSION={tag.removeprefix('v')}",
        "--build-arg", f"REVISION={revision}",
        str(ROOT / image.context),
    )  # fmt: skip


def build(tag: str, names: Iterable[str] = ()) -> list[Built]:
    """Build all images, or those named. Raises `CannotGoOn` if a build fails."""
    shell.need("docker")
    chosen = _chosen(tuple(names))
    revision = _revision()
    built = []
    for image in chosen:
        begin = time.monotonic()
        shell.run(*command(image, tag, revision))
        seconds = time.monotonic() - begin
        reference = image.reference(tag)
        size = int(shell.ask("docker", "image", "inspect", "--format", "{{.Size}}", reference))
        built.append(Built(reference, size, seconds))
    return built


def _chosen(names: tuple[str, ...]) -> list[Image]:
    images = {image.name: image for image in IMAGES}
    if unknown := [name for name in names if name not in images]:
        raise shell.CommandError(f"there is no image {', '.join(unknown)}; there are {', '.join(images)}")
    return [images[name] for name in names] or list(IMAGES)


def _revision() -> str:
    """Return the commit, with `-dirty` if files differ from it; `unknown` outside a git checkout."""
    try:
        return shell.ask(
            "git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"
        ).strip()
    except (shell.CommandError, FileNotFoundError):
        return "unknown"


def show(built: Iterable[Built]) -> None:
    """Print the table."""
    table = Table("image", "MB", "seconds", box=None, pad_edge=False)
    for one in built:
        table.add_row(one.reference, f"{one.size / 1e6:.0f}", f"{one.seconds:.1f}")
    Console(width=100).print(table)
