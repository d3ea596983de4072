"""`inferway run`: its flags are generated from the data plane's settings."""

import inspect
import os
import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import SettingsError

from inferway_contract.field_errors import printable
from inferway_dataplane.settings import Settings, refuse_unknown

if TYPE_CHECKING:
    from inferway_cli.directory_source import Files

_PREFIX = Settings.model_config.get("env_prefix", "")
_SHOWN: Final = 5
"""Paths that one message names."""
_METAVARS: Final = {"trusted_proxies": "CIDR", "proxy_fields": "NAME", "tls_cert": "FILE", "tls_key": "FILE"}
"""Of the settings that are lists."""


def command() -> Callable[..., None]:
    """Return the function of `inferway run`, with a parameter for each setting."""

    def run(directory: str, **flags: Any) -> None:
        """Serve the routes of a directory or a file, and follow its changes."""
        given = {name: _value(value) for name, value in flags.items() if value is not None}
        raise typer.Exit(serve(directory, settings(given)))

    directory = Annotated[str, typer.Argument(metavar="DIR|FILE", help="directory with YAML files, or one such file")]
    parameters = [inspect.Parameter("directory", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=directory)]
    for name, field in Settings.model_fields.items():
        annotation = _option(name, field)
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads the signature; mypy knows functions without one
    return run


def settings(given: dict[str, Any]) -> Settings:
    """Combine flags, environment and defaults, in this order; raise `typer.BadParameter` for invalid values."""
    try:
        refuse_unknown(os.environ)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    try:
        return Settings(**given)
    except ValidationError as error:
        raise typer.BadParameter("; ".join(_error(item, given) for item in error.errors())) from None
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from None


def serve(files: "str | Files", chosen: Settings) -> int:
    """Serve a directory, a file, or what `files` reads, until a signal; return the exit code."""
    from inferway_cli.directory_source import DirectorySource, InvalidDirectoryError

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the data plane reloads with it, it must not end the process
    source = DirectorySource(files)
    try:
        documents = source.load()
    except InvalidDirectoryError as error:
        typer.echo(str(error), err=True)
        return 1
    for warning in documents.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if source.passed_over:
        typer.echo(_passed_over(source.passed_over), err=True)
    # Imported only now, so that `--help` and usage errors do not load the rest of the data plane.
    try:
        from inferway_dataplane.main import serve
    except ModuleNotFoundError as missing:
        typer.echo(f"inferway: run needs {missing.name}: pip install 'inferway[dataplane]'", err=True)
        return 1
    return serve(chosen, source)


def _passed_over(paths: Sequence[str]) -> str:
    rest = len(paths) - _SHOWN
    names = ", ".join(printable(path) for path in paths[:_SHOWN]) + (f" and {rest:,} more" if rest > 0 else "")
    return f"passed over, not *.yaml or *.yml: {names}"


def _value(value: Any) -> Any:
    # A repeated flag is a list, which the environment writes with commas.
    return ",".join(value) if isinstance(value, list) else value


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _option(name: str, field: FieldInfo) -> Any:
    text = f"{field.description}  (default {_shown(field.default)}; {_PREFIX}{name.upper()})"
    if field.annotation is bool:
        return Annotated[bool | None, typer.Option(f"{_flag(name)}/--no-{_flag(name)[2:]}", help=text)]
    if isinstance(field.default, tuple):
        return Annotated[
            list[str] | None,
            typer.Option(_flag(name), help=text, metavar=_METAVARS.get(name, "TEXT")),
        ]
    # Values stay text, so that pydantic parses them like the environment, with the same messages.
    metavar = "NUMBER" if isinstance(field.default, int | float) else "TEXT"
    return Annotated[str | None, typer.Option(_flag(name), help=text, metavar=metavar)]


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    return "none" if default in ("", ()) else str(default)


def _error(item: Any, given: dict[str, Any]) -> str:
    message = str(item["msg"].removeprefix("Value error, "))
    if not item["loc"]:
        return message
    name = str(item["loc"][0])
    return f"{_flag(name) if name in given else f'{_PREFIX}{name.upper()}'}: {message}"
