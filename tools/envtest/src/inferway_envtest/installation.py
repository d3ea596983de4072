"""pytest's fixture of a server on which the manifests were installed, as a user does it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inferway_envtest.binaries import Programs
from inferway_envtest.server import ApiServer

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="session")
def installed(api_server_programs: Programs) -> Iterator[ApiServer]:
    """The overlay dev, on a server of its own: installing takes names of the whole cluster. Definitions come with it."""
    with ApiServer.started(api_server_programs) as server:
        server.kubectl("apply", "-k", str(ROOT / "manifests/overlays/dev"))
        server.kubectl("wait", "--for=condition=Established", "--timeout=20s", "crd", "--all")
        server.apply(ROOT / "crds")  # awaited until clients find them
        yield server
        server.check()
