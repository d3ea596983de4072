"""pytest's fixtures for tests with a real API server, documented in the package.

Programs are searched, and built if needed, after collection and before the first test, because a build takes longer than a
test may. A session that selects no test with the server builds and starts nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from inferway_envtest import binaries
from inferway_envtest import gateway_api as gateway_api_module
from inferway_envtest import helm as helm_module
from inferway_envtest.binaries import MissingProgramsError, Programs
from inferway_envtest.server import ApiServer

DEFINITIONS = Path(__file__).resolve().parents[4] / "crds"
FOUND = pytest.StashKey[Programs | Exception]()
HELM = pytest.StashKey[Path | Exception]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Find the programs that selected tests need."""
    if session.config.option.collectonly:
        return
    needed = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    capturing = session.config.pluginmanager.getplugin("capturemanager")
    with capturing.global_and_fixture_disabled():
        if "api_server" in needed:
            session.config.stash[FOUND] = find()
        if "helm" in needed:
            session.config.stash[HELM] = find_helm()


def find() -> Programs | Exception:
    """Return the programs, or the exception, which each test then reports."""
    try:
        return binaries.find()
    except Exception as failure:
        return failure


def find_helm() -> Path | Exception:
    """Return helm, or the exception, which each test then reports."""
    try:
        return helm_module.find()
    except Exception as failure:
        return failure


@pytest.fixture(scope="session")
def helm(pytestconfig: pytest.Config) -> Path:
    """Return the program helm. Skips if the machine has no source for it; any other error fails the test."""
    program = pytestconfig.stash.get(HELM, None) or find_helm()
    if isinstance(program, MissingProgramsError):
        pytest.skip(str(program))
    if isinstance(program, Exception):
        raise program
    return program


@pytest.fixture(scope="session")
def api_server_programs(pytestconfig: pytest.Config) -> Programs:
    """Return the programs. Skips if the machine has no source for them; any other error fails the test."""
    programs = pytestconfig.stash.get(FOUND, None) or find()
    if isinstance(programs, MissingProgramsError):
        pytest.skip(str(programs))
    if isinstance(programs, Exception):
        raise programs
    return programs


@pytest.fixture(scope="session")
def api_server(api_server_programs: Programs) -> Iterator[ApiServer]:
    """Start a real API server with the project's definitions, one for the whole session."""
    with ApiServer.started(api_server_programs, [DEFINITIONS]) as server:
        yield server
        server.check()


@pytest.fixture
def namespace(api_server: ApiServer) -> Iterator[str]:
    """Create a namespace for one test. It is deleted afterwards, without waiting."""
    api_server.check()
    name = f"test-{uuid4().hex[:12]}"
    api_server.ask("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    api_server.check()
    api_server.ask("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture(scope="session")
def gateway_api(api_server: ApiServer) -> None:
    """Install the definition of ReferenceGrants. Skips if it is not available."""
    try:
        definition = gateway_api_module.reference_grants()
    except gateway_api_module.Unavailable as missing:
        pytest.skip(str(missing))
    api_server.apply(definition)
