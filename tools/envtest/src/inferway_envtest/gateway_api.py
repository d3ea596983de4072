"""The Gateway API's definitions, from its Go module, which gateway-api/go.mod pins."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from inferway_envtest.versions import MODULE

TIMEOUT = 40.0  # seconds, below the time limit of a test


class Unavailable(Exception):  # noqa: N818 - the name of the condition
    """The module is not available on this machine; the message names the cause."""


def reference_grants() -> Path:
    """Return the file that defines ReferenceGrants (v1beta1, standard channel). Raises `Unavailable`."""
    if shutil.which("go") is None:
        raise Unavailable("no definition of ReferenceGrants: install Go, which fetches its module")
    done = subprocess.run(
        ["go", "mod", "download", "-json", "sigs.k8s.io/gateway-api"],  # noqa: S607 - the Go on the path
        cwd=MODULE / "gateway-api",
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    module = json.loads(done.stdout or "{}")
    if done.returncode != 0 or "Dir" not in module:
        raise Unavailable(f"no definition of ReferenceGrants: {module.get('Error') or done.stderr.strip()}")
    return Path(module["Dir"]) / "config/crd/standard/gateway.networking.k8s.io_referencegrants.yaml"
