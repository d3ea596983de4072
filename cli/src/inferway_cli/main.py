"""The command line: `inferway run|validate|compile|status|crds`.

Exit codes: 0 = success, 1 = an error in the input or while serving it, 2 = wrong usage. Results go to standard output,
messages to standard error.
"""

import os
import sys
from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from inferway_contract import __version__

# Imports are inside the commands, so that `inferway --version` does not load the compiler.


class _Commands(TyperGroup):
    """Adds `run` on demand: its flags are the data plane's settings, which take time to load."""

    def list_commands(self, ctx: Any) -> list[str]:
        return ["run", *super().list_commands(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name == "run" and "run" not in self.commands:
            only = typer.Typer(rich_markup_mode=None, add_completion=False)
            try:
                from inferway_cli.commands import run as run_command
            except ModuleNotFoundError as missing:
                anything = {"ignore_unknown_options": True, "allow_extra_args": True}
                only.command("run", context_settings=anything)(_cannot_run(missing.name or ""))
            else:
                only.command("run")(run_command.command())
            self.add_command(typer.main.get_command(only), "run")
        return super().get_command(ctx, cmd_name)


def _cannot_run(missing: str) -> Callable[[], None]:
    def run() -> None:
        """Serve a directory of manifests (needs the extra `dataplane`)."""
        typer.echo(f"inferway: run needs {missing}: pip install 'inferway[dataplane]'", err=True)
        raise typer.Exit(1)

    return run


# Plain help: markup would remove the brackets of [::]:8080, and draw boxes in a pipe.
app = typer.Typer(
    cls=_Commands,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Inferway, an API gateway for AI workloads on Kubernetes.",
)

Paths = Annotated[list[str], typer.Argument(metavar="FILE|DIR", help="YAML files, directories, or - for stdin")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"inferway {__version__}")
        raise typer.Exit


@app.callback()
def inferway(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Inferway, an API gateway for AI workloads on Kubernetes."""


@app.command()
def validate(
    paths: Paths,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
    output: Annotated[Literal["text", "json"], typer.Option("--output", "-o", help="Output format.")] = "text",
) -> None:
    """Check manifests: their form, and whether a gateway accepts them."""
    from inferway_cli.commands import validate as validate_command

    raise typer.Exit(validate_command.validate(paths, is_strict=strict, as_json=output == "json"))


@app.command("compile")
def compile_(
    paths: Paths,
    output: Annotated[Literal["yaml", "json"], typer.Option("--output", "-o", help="Output format.")] = "yaml",
) -> None:
    """Print the compiled manifests: config, endpoints and conditions."""
    from inferway_cli.commands import validate as validate_command

    raise typer.Exit(validate_command.compile_and_print(paths, as_json=output == "json"))


@app.command()
def status(
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="Namespace (default: that of the context).", metavar="NAME")
    ] = None,
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", "-A", help="All namespaces.")] = False,
    kubeconfig: Annotated[
        str | None, typer.Option(help="Kubeconfig file (default: KUBECONFIG, then ~/.kube/config).", metavar="FILE")
    ] = None,
    context: Annotated[
        str | None, typer.Option(help="Context of the kubeconfig (default: the current one).", metavar="NAME")
    ] = None,
    output: Annotated[Literal["table", "json"], typer.Option("--output", "-o", help="Output format.")] = "table",
) -> None:
    """Show the state of the resources in a cluster; exit code 1 unless all are ready."""
    if namespace is not None and all_namespaces:
        raise typer.BadParameter("--namespace and --all-namespaces exclude each other")
    try:
        from inferway_cli.commands.status import command as reporting
    except ModuleNotFoundError as missing:
        typer.echo(f"inferway: status needs {missing.name}: pip install 'inferway[cluster]'", err=True)
        raise typer.Exit(1) from None
    as_json = output == "json"
    raise typer.Exit(reporting.status(namespace, kubeconfig, context, everywhere=all_namespaces, as_json=as_json))


@app.command()
def crds() -> None:
    """Print the CustomResourceDefinitions, ready for kubectl apply -f -."""
    from inferway_contract import resources
    from inferway_contract.generate import crds as generate_crds

    typer.echo("---\n".join(generate_crds.text(kind) for kind in resources.SPECS), nl=False)


def run() -> None:
    """Run the app; handle errors of its output."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal without UTF-8 shows escapes instead of an error.
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="inferway")
    except BrokenPipeError:
        # The reader has closed the pipe (`| head`). Python flushes once more at exit, so that output is discarded.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        sys.stderr.write(f"inferway: {error.strerror or error}\n")
        sys.exit(1)
