"""`pytest --fast`: the product's tests that open no socket and start no process (loaded by the root conftest).

A test is left out if it uses one of `OUTSIDE`, or if it is marked `outside` because it opens a socket by itself. All others
run under a guard that fails a test that binds or connects an IP socket, or starts a process.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest
import uvloop
from hypothesis import settings

from inferway_testing import examples

FOLDERS = ("crds/tests/", "operator/tests/", "dataplane/tests/", "cli/tests/", "kube/tests/")
"""Tests of the product."""
OUTSIDE = frozenset({"upstream", "upstreams", "serve", "api_server", "api_server_programs"})
"""Fixtures that open sockets or start processes; fixtures that use them count too."""
SOCKETS = frozenset({"socket.bind", "socket.connect", "socket.getaddrinfo"})
PROCESSES = frozenset({"subprocess.Popen", "os.posix_spawn", "os.fork", "os.exec", "os.system"})
"""Audit events of Python."""
LISTENERS = ("create_server", "create_connection", "create_datagram_endpoint")
"""Methods of uvloop, whose sockets Python does not see."""


class OutsideError(RuntimeError):
    """A test that is not marked `outside` opened a socket or started a process."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="tests without sockets and processes, 20 examples each")


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile(examples.PROFILE if config.getoption("--fast") else examples.USUAL)
    if config.getoption("--fast"):
        guard()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--fast"):
        return
    left_out = [item for item in items if not is_fast(item)]
    items[:] = [item for item in items if is_fast(item)]
    config.hook.pytest_deselected(items=left_out)


def is_fast(item: pytest.Item) -> bool:
    """Whether a test opens no socket and starts no process, by its place, its fixtures and its mark."""
    fixtures: list[str] = getattr(item, "fixturenames", [])
    return (
        item.nodeid.startswith(FOLDERS) and OUTSIDE.isdisjoint(fixtures) and item.get_closest_marker("outside") is None
    )


def guard() -> None:
    """Make IP sockets and processes fail, until the interpreter ends: an audit hook cannot be removed."""
    sys.addaudithook(_refuse)
    for name in LISTENERS:
        setattr(uvloop.Loop, name, _refuse_uvloop)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in PROCESSES or (event in SOCKETS and not _is_local(event, arguments)):
        raise OutsideError(
            f"{event}: a test of `make test-fast` opens no socket and starts no process; mark it `outside`"
        )


def _is_local(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether a socket's address is a path."""
    return event != "socket.getaddrinfo" and not isinstance(arguments[1], tuple)


def _refuse_uvloop(*_: object, **__: object) -> None:
    _refuse("socket.bind", (None, ()))
