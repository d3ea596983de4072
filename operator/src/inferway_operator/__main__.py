"""`python -m inferway_operator [FLAGS of kopf run]`: what the image runs.

It supervises `kopf run -m inferway_operator.handlers` (`supervisor`), after a look at what would keep that from starting: kopf
itself would report it with a traceback. Which namespaces kopf watches follows from INFERWAY_OPERATOR_NAMESPACES; flags that
name them take precedence.

Exit codes: 0 = stopped in order, 1 = it could not start, 2 = a setting is wrong, or there is no way to an API server.
"""

import asyncio
import os
import sys
from collections.abc import Sequence

from pydantic import ValidationError
from pydantic_settings import SettingsError

from inferway_operator.settings import HttpSettings, OperatorSettings, refuse_unknown

_SCOPES = ("-A", "--all-namespaces", "-n", "--namespace")
"""Flags of kopf, each of which may have its value after a `=`."""


def main() -> int:
    """Become the supervisor. Returns the exit code when that is not possible."""
    try:
        settings = OperatorSettings()
        HttpSettings()
        refuse_unknown(os.environ)
    except (ValidationError, SettingsError, OSError) as error:
        return _complain(_wrong(error))
    except ValueError as error:
        return _complain(str(error))
    # Loaded only now: a mistake in the settings need not wait for it.
    from inferway_kube import login
    from inferway_kube.errors import NoCluster

    try:
        asyncio.run(login.from_environment())
    except NoCluster as error:
        return _complain(str(error))
    flags = sys.argv[1:]
    if not any(flag.partition("=")[0] in _SCOPES for flag in flags):
        flags = [*scope(settings), *flags]
    command = [sys.executable, "-m", "kopf", "run", "--log-format=json", "-m", "inferway_operator.handlers", *flags]
    # A program of its own, in place of this one: without the libraries of the checks it takes a third of the memory.
    supervisor = [sys.executable, "-m", "inferway_operator.supervisor", *command]
    return os.execv(sys.executable, supervisor)  # noqa: S606 - no shell is needed


def scope(settings: OperatorSettings) -> Sequence[str]:
    """Return the flags of `kopf run` for the namespaces whose resources count."""
    return tuple(f"--namespace={name}" for name in settings.namespaces) or ("--all-namespaces",)


def _wrong(error: ValidationError | SettingsError | OSError) -> str:
    """Describe the error in one line, by the names of the environment variables."""
    if isinstance(error, OSError):
        return f"INFERWAY_OPERATOR_HOSTNAME_POLICY_FILE: {error.filename}: {error.strerror}"
    if isinstance(error, SettingsError):
        return str(error)
    messages = []
    for item in error.errors(include_url=False):
        field = str(item["loc"][0]) if item["loc"] else ""
        # A field with several names is reported by a name, the others by themselves.
        name = (
            f"INFERWAY_OPERATOR_{field.upper()}"
            if field in OperatorSettings.model_fields | HttpSettings.model_fields
            else field
        )
        messages.append((f"{name}: " if name else "") + item["msg"].removeprefix("Value error, "))
    return "; ".join(messages)


def _complain(text: str) -> int:
    sys.stderr.write(f"inferway-operator: {text}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
