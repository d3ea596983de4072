"""`inferway-dataplane`: the data plane of a cluster. It has no flags: pods are configured by their environment.

Exit codes: 0 = graceful stop, 1 = it could not start or its source has ended, 2 = a setting is missing or invalid.
"""

import asyncio
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

log = logging.getLogger("inferway")

FIELD_MANAGER: Final = "inferway-dataplane"
"""The name under which the Lease is applied."""


def main() -> int:
    """Serve until a signal. Returns the exit code."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nothing is to be reloaded yet, and it must not end the process
    try:
        return _main()
    except ModuleNotFoundError as missing:
        return _fail(f"{missing.name} is not installed: pip install 'inferway[dataplane,cluster]'")


def _main() -> int:
    # Imported only now, so that a missing package is an error with a fix.
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from inferway_dataplane.observability import json_logging
    from inferway_dataplane.settings import ClusterSettings, Settings, refuse_unknown

    try:
        settings, cluster = Settings(), ClusterSettings()
        refuse_unknown(os.environ)
    except (ValidationError, SettingsError) as error:
        return _fail(_describe(error))
    except ValueError as error:
        return _fail(str(error))
    from inferway_dataplane.main import serve
    from inferway_dataplane.sources.cluster import ClusterSource
    from inferway_dataplane.sources.last_good import LastGood
    from inferway_dataplane.sources.lease import Pod
    from inferway_kube import login
    from inferway_kube.client import Client
    from inferway_kube.errors import NoCluster

    try:
        account = asyncio.run(login.with_kubeconfig(cluster.kubeconfig)) if cluster.kubeconfig else login.in_pod()
    except NoCluster as error:
        return _fail(f"{error}" if cluster.kubeconfig else f"{error}, and INFERWAY_KUBECONFIG is not set")
    json_logging.configure(settings.log_level)
    if not settings.api_server:
        settings = settings.model_copy(update={"api_server": account.address})
        if not settings.api_server:
            # The addresses of a name may change at any time, and upstreams are compared by their addresses.
            log.warning(
                "the API server is known by a name only, so routes may lead to it: set INFERWAY_API_SERVER",
                extra={"server": account.server},
            )
    source = ClusterSource(
        Client(account, FIELD_MANAGER),
        Client(account, FIELD_MANAGER),
        cluster.namespace,
        Pod(cluster.pod_name, cluster.pod_uid, cluster.gateway),
        LastGood(cluster.state_directory) if cluster.state_directory else None,
    )
    return serve(settings, source)


def _describe(error: "ValidationError | SettingsError") -> str:
    """Return invalid settings in one line, by their names in the environment."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    messages = []
    for item in error.errors(include_url=False):
        name = str(item["loc"][0]) if item["loc"] else ""
        name = name if name.isupper() or not name else f"INFERWAY_{name.upper()}"
        if item["type"] == "missing":
            alias = name.removeprefix("INFERWAY_")
            alias = alias if alias.startswith("POD_") else f"POD_{alias}"
            messages.append(f"neither {name} nor {alias} is set")
        else:
            messages.append(f"{name}: {item['msg'].removeprefix('Value error, ')}".removeprefix(": "))
    if any(item["type"] == "missing" for item in error.errors()):
        messages.append("in a pod POD_NAME, POD_NAMESPACE and POD_UID come from the downward API: apply the manifests")
    return "; ".join(messages)


def _fail(message: str) -> int:
    sys.stderr.write(f"inferway-dataplane: {message}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
