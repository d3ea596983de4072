"""`inferway status`: the state of resources in a cluster, by their conditions and the reports of data-plane pods."""

import asyncio
import json
import sys
from datetime import UTC, datetime

import typer

from inferway_cli.commands.status import cluster as status_cluster
from inferway_cli.commands.status import rows as status_rows
from inferway_cli.commands.status import table as status_table
from inferway_cli.commands.status.cluster import Cluster, ClusterError, ForbiddenError, UnknownKindError
from inferway_cli.commands.status.rows import Report
from inferway_contract import resources
from inferway_contract.acknowledgement import GATEWAY_LABEL
from inferway_contract.generate import crds as generate_crds


def status(
    namespace: str | None, kubeconfig: str | None, context: str | None, *, everywhere: bool, as_json: bool
) -> int:
    """Print the status. Return 0 if every resource is ready, else or on a cluster error 1."""
    try:
        report = asyncio.run(_ask(namespace, kubeconfig, context, everywhere=everywhere))
    except ClusterError as error:
        typer.echo(f"inferway: {error}", err=True)
        return 1
    now = datetime.now(UTC)
    if as_json:
        typer.echo(json.dumps(status_table.as_json(report), indent=2, ensure_ascii=False))
    else:
        status_table.show(report, now, is_terminal=sys.stdout.isatty())
    for note in report.notes:
        typer.echo(f"note: {note}", err=True)
    return 0 if report.is_good else 1


async def _ask(namespace: str | None, kubeconfig: str | None, context: str | None, *, everywhere: bool) -> Report:
    async with await status_cluster.connect(kubeconfig, context) as cluster:
        return await _report(cluster, None if everywhere else namespace or cluster.namespace)


async def _report(cluster: Cluster, namespace: str | None) -> Report:
    rows = []
    for kind in resources.SPECS:
        try:
            plural = generate_crds.plural(kind)
            objects = await cluster.list_kind(resources.API_GROUP, resources.API_VERSION, plural, namespace)
        except UnknownKindError as unknown:
            raise ClusterError(
                f"{unknown}: install the definitions with `inferway crds | kubectl apply -f -`"
            ) from None
        rows += status_rows.rows(kind, objects)
    notes = [] if rows else [f"no resources of Inferway in {f'namespace {namespace}' if namespace else 'the cluster'}"]
    try:
        # Leases are in the namespace of the gateway, which is usually not that of the resources.
        leases = await cluster.list_kind("coordination.k8s.io", "v1", "leases", None, selector=GATEWAY_LABEL)
    except ForbiddenError as forbidden:
        return Report(tuple(rows), None, (*notes, f"the data plane's pods are not shown: {forbidden}"))
    return Report(tuple(rows), status_rows.pod_rows(leases), tuple(notes))
