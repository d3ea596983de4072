"""A server on which the overlay dev was installed, as a user does it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kustomizations import MANIFESTS

from inferway_envtest import ApiServer
from inferway_envtest.programs import Programs


@pytest.fixture(scope="session")
def installed(api_server_programs: Programs) -> Iterator[ApiServer]:
    """A server of its own: installing takes names of the whole cluster. Definitions come with the overlay."""
    with ApiServer.started(api_server_programs) as server:
        server.kubectl("apply", "-k", str(MANIFESTS / "overlays/dev"))
        server.kubectl("wait", "--for=condition=Established", "--timeout=20s", "crd", "--all")
        server.apply(MANIFESTS.parent / "crds")  # awaited until clients find them
        yield server
        server.check()
