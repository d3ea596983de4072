"""pytest's fixtures for tests with a real API server. The package's documentation says what they give.

Programs are found, and built if need be, after collection and before the first test, for a build takes longer than a test
may. That, and the start, are paid only by a session that selects a test that asks for the server.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from inferway_envtest import binaries
from inferway_envtest import gateway_api as gateway_api_module
from inferway_envtest.binaries import Missing, Programs
from inferway_envtest.server import ApiServer

DEFINITIONS = Path(__file__).resolve().parents[4] / "crds"
FOUND = pytest.StashKey[Programs | Exception]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Find the programs when a test that will run needs them."""
    if session.config.option.collectonly:
        return
    if any("api_server" in getattr(item, "fixturenames", ()) for item in session.items):
        capturing = session.config.pluginmanager.getplugin("capturemanager")
        with capturing.global_and_fixture_disabled():
            session.config.stash[FOUND] = find()


def find() -> Programs | Exception:
    """The programs, or why there are none: the tests say so, each of them."""
    try:
        return binaries.find()
    except Exception as failure:
        return failure


@pytest.fixture(scope="session")
def api_server_programs(pytestconfig: pytest.Config) -> Programs:
    """Where the programs are. Skips when the machine has no way to them; any other failure is one."""
    found = pytestconfig.stash.get(FOUND, None) or find()
    if isinstance(found, Missing):
        pytest.skip(str(found))
    if isinstance(found, Exception):
        raise found
    return found


@pytest.fixture(scope="session")
def api_server(api_server_programs: Programs) -> Iterator[ApiServer]:
    """A real API server with our definitions, one for the whole session."""
    with ApiServer.started(api_server_programs, [DEFINITIONS]) as server:
        yield server
        server.check()


@pytest.fixture
def namespace(api_server: ApiServer) -> Iterator[str]:
    """A namespace of the test's own. Its end is asked for, not awaited."""
    api_server.check()
    name = f"test-{uuid4().hex[:12]}"
    api_server.ask("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    api_server.check()
    api_server.ask("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture(scope="session")
def gateway_api(api_server: ApiServer) -> None:
    """The definition of ReferenceGrants is there. Skips when it cannot be had."""
    try:
        definition = gateway_api_module.reference_grants()
    except gateway_api_module.Unavailable as missing:
        pytest.skip(str(missing))
    api_server.apply(definition)
