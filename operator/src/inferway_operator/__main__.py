"""`python -m inferway_operator [FLAGS of kopf run]`: what the image runs.

It is `kopf run -m inferway_operator.handlers`, after a look at what would keep that from starting: kopf itself would tell it
with a traceback, and try again for ever. Which namespaces are watched follows from INFERWAY_OPERATOR_NAMESPACES, so that it is
said once; flags that name them go before.

Exit codes: 0 = stopped in order, 1 = it could not start, 2 = a setting is wrong, or there is no way to an API server.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Sequence

from pydantic import ValidationError
from pydantic_settings import SettingsError

from inferway_operator.settings import HttpSettings, OperatorSettings, refuse_unknown

_SCOPES = ("-A", "--all-namespaces", "-n", "--namespace")
"""Flags of kopf, each of which may have its value after a `=`."""


def main() -> int:
    """Work until a signal; the exit code."""
    try:
        settings = OperatorSettings()
        HttpSettings()
        refuse_unknown(os.environ)
    except (ValidationError, SettingsError, OSError) as error:
        return _complain(_wrong(error))
    except ValueError as error:
        return _complain(str(error))
    # Loaded only now: a mistake in the settings need not wait for them.
    import kopf.cli

    from inferway_operator.kube import client as kube_client

    logging.disable(logging.WARNING)  # the library says by itself, and first, that there is no file
    try:
        asyncio.run(kube_client.find_cluster())
    except kube_client.NoCluster as error:
        return _complain(str(error))
    finally:
        logging.disable(logging.NOTSET)
    flags = sys.argv[1:]
    if not any(flag.partition("=")[0] in _SCOPES for flag in flags):
        flags = [*scope(settings), *flags]
    kopf.cli.main(
        ["run", "--log-format=json", "-m", "inferway_operator.handlers", *flags], prog_name="inferway_operator"
    )
    return 0  # kopf's command line ends the process itself


def scope(settings: OperatorSettings) -> Sequence[str]:
    """The flags of `kopf run` for the namespaces that count: those whose resources do, and the data plane's."""
    if not settings.namespaces:
        return ("--all-namespaces",)
    names = dict.fromkeys([*settings.namespaces, settings.namespace])
    return tuple(f"--namespace={name}" for name in names)


def _wrong(error: ValidationError | SettingsError | OSError) -> str:
    """In one line, by the names that the environment has."""
    if isinstance(error, OSError):
        return f"INFERWAY_OPERATOR_HOSTNAME_POLICY_FILE: {error.filename}: {error.strerror}"
    if isinstance(error, SettingsError):
        return str(error)
    told = []
    for item in error.errors(include_url=False):
        name = f"INFERWAY_OPERATOR_{str(item['loc'][0]).upper()}: " if item["loc"] else ""
        told.append(name + item["msg"].removeprefix("Value error, "))
    return "; ".join(told)


def _complain(text: str) -> int:
    sys.stderr.write(f"inferway-operator: {text}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
