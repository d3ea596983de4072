"""Tests run without the gateway's settings of the shell that started them (loaded by the root conftest).

A program that a test starts inherits the variables of the tests, and refuses a setting that it does not know.
"""

import os
from collections.abc import MutableMapping

PREFIX = "INFERWAY_"


def pytest_configure() -> None:
    remove_settings(os.environ)


def remove_settings(variables: MutableMapping[str, str]) -> None:
    for name in [name for name in variables if name.upper().startswith(PREFIX)]:
        del variables[name]
