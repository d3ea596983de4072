"""`inferway-dataplane`: the data plane of a cluster. It has no flags: pods are configured by their environment.

Exit codes: 0 = stopped in order, 1 = it could not start or its source has ended, 2 = a setting is missing or wrong.
"""

import asyncio
import logging
import os
import sys

from pydantic import ValidationError
from pydantic_settings import SettingsError

from inferway_dataplane.observability import json_logging
from inferway_dataplane.settings import ClusterSettings, Settings, refuse_unknown

log = logging.getLogger("inferway")


def main() -> int:
    """Serve until a signal; the exit code."""
    try:
        settings, cluster = Settings(), ClusterSettings()
        refuse_unknown(os.environ)
    except (ValidationError, SettingsError) as error:
        return _complain(_wrong(error), 2)
    except ValueError as error:
        return _complain(str(error), 2)
    from inferway_dataplane.main import serve
    from inferway_dataplane.sources.cluster import ClusterSource
    from inferway_dataplane.sources.kubernetes_api import KubernetesApi, Limits, NoCluster, address_of, configuration
    from inferway_dataplane.sources.last_good import LastGood
    from inferway_dataplane.sources.lease import Pod

    try:
        how = asyncio.run(configuration(cluster.kubeconfig))
    except NoCluster as error:
        return _complain(str(error), 2)
    json_logging.configure(settings.log_level)
    if not settings.api_server:
        settings = settings.model_copy(update={"api_server": address_of(how)})
        if not settings.api_server:
            # What a name stands for may change at any time, and upstreams are compared by their addresses.
            log.warning(
                "the API server is known by a name only, so routes may lead to it: set INFERWAY_API_SERVER",
                extra={"server": how.host},
            )
    source = ClusterSource(
        KubernetesApi(how, cluster.namespace, Limits()),
        KubernetesApi(how, cluster.namespace, Limits()),
        Pod(cluster.pod_name, cluster.pod_uid, cluster.gateway),
        LastGood(cluster.state_directory) if cluster.state_directory else None,
    )
    return serve(settings, source)


def _wrong(error: ValidationError | SettingsError) -> str:
    """In one line, by the names that the environment has."""
    if isinstance(error, SettingsError):
        return str(error)
    told = []
    for item in error.errors(include_url=False):
        name = str(item["loc"][0]) if item["loc"] else ""
        name = name if name.isupper() or not name else f"INFERWAY_{name.upper()}"
        if item["type"] == "missing":
            also = name.removeprefix("INFERWAY_")
            also = also if also.startswith("POD_") else f"POD_{also}"
            told.append(f"neither {name} nor {also} is set")
        else:
            told.append(f"{name}: {item['msg'].removeprefix('Value error, ')}".removeprefix(": "))
    if any(item["type"] == "missing" for item in error.errors()):
        told.append("in a pod POD_NAME, POD_NAMESPACE and POD_UID come from the downward API: apply the manifests")
    return "; ".join(told)


def _complain(text: str, code: int) -> int:
    sys.stderr.write(f"inferway-dataplane: {text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
