"""`python -m inferway_cluster images|load|create|delete`. Exit code 1 after an error, with one line that names it."""

import sys
import time
from typing import Annotated, Final

import typer

from inferway_cluster import build_images, kind, shell
from inferway_cluster import install as installing
from inferway_cluster.images import DEV_TAG, ROOT

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)
Tag = Annotated[str, typer.Option(help="Tag of the images.")]

REACHED: Final = """
The gateway is at http://127.0.0.1:8080 after {seconds:.0f} s. Try:

  curl -i 'http://127.0.0.1:8080/infer?prompt=hello'       # a few times: X-Cache: HIT (each pod has a cache of its own)
  kubectl --context {context} get gwr,rlp --all-namespaces
  .venv/bin/inferway status -A --context {context}
  kubectl --context {context} -n inferway-system port-forward service/inferway-gateway-admin 9090   # probes, metrics, /debug

`make cluster` again brings changed code into it, `make up` every change as it is saved, `make cluster-delete` ends it.
"""


@app.command()
def images(tag: Tag = DEV_TAG, only: Annotated[list[str] | None, typer.Option(help="Only this image.")] = None) -> None:
    """Build the images, and print their sizes and times."""
    build_images.show(build_images.build(tag, only or ()))


@app.command()
def load(tag: Tag = DEV_TAG) -> None:
    """Load the images into the cluster."""
    shell.need("docker", "kind")
    kind.load(tag)


@app.command()
def create() -> None:
    """Create the cluster unless it exists; build, load, install, wait."""
    begin = time.monotonic()
    shell.need("docker", "kind", "kubectl")
    is_new = kind.create()
    build_images.show(build_images.build(DEV_TAG))
    kind.load(DEV_TAG)
    installing.install(str(ROOT), is_new=is_new)
    typer.echo(REACHED.format(context=kind.CONTEXT, seconds=time.monotonic() - begin))


@app.command()
def delete() -> None:
    """Delete the cluster and everything in it."""
    shell.need("docker", "kind")
    kind.delete()


def main() -> int:
    """Run the command line and return the exit code."""
    try:
        app(prog_name="inferway_cluster")
    except shell.CommandError as error:
        sys.stderr.write(f"cluster: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
