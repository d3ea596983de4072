"""pytest's fixture of a server with the manifests installed, as by a user."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inferway_envtest.binaries import Programs
from inferway_envtest.server import ApiServer

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="session")
def installed(api_server_programs: Programs) -> Iterator[ApiServer]:
    """Install the overlay dev, with its definitions, on a separate server, because it uses cluster-wide names."""
    with ApiServer.started(api_server_programs) as server:
        server.kubectl("apply", "-k", str(ROOT / "manifests/overlays/dev"))
        server.kubectl("wait", "--for=condition=Established", "--timeout=20s", "crd", "--all")
        server.apply(ROOT / "crds")  # waits until clients find them
        yield server
        server.check()
