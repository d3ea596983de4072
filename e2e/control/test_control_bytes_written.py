"""What one tenant writes costs a bounded number of bytes of ConfigMaps, and no time of another tenant's changes."""

from __future__ import annotations

import itertools
import json
from threading import Event, Thread
from time import monotonic, sleep

import pytest
from control_planes import direct_response_route, limits, planes

from inferway_testing.until import until

BUDGET = 1 << 20
"""The smallest of a namespace, bytes a minute."""
ROUTES, BODY = 30, 4_000


def published(running):
    """Return the bytes of all ConfigMaps of the gateway, those that nothing needs any more included."""
    return sum(len(text) for data in running.documents().values() for text in data.values())


def rules(number):
    answer = {"type": "DirectResponse", "directResponse": {"statusCode": 200}}
    return [{"matches": [{"path": {"value": f"/{number}/{one}"}}], "filters": [answer]} for one in range(16)]


@pytest.mark.timeout(120)
def test_policies_times_rules_are_written_once(api_server, namespace, tmp_path):
    """Every rule listed the id of every policy: 150 KB of objects were 17 MB, written again with each further policy."""
    objects = [limits(f"p{number:03}-" + "x" * 240) for number in range(60)]
    for number in range(20):
        route = direct_response_route(f"r{number:03}", "x")
        route["spec"]["rules"] = rules(number)
        objects.append(route)
    with planes(api_server, namespace, tmp_path) as running:
        running.apply(*objects)
        running.operator()
        until(lambda: "r019" in json.dumps(running.documents()), "all is published", 60)
        written = sum(len(json.dumps(one)) for one in objects)
        before = published(running)
        assert before < 4 * written
        running.apply(limits("one-more"))
        until(lambda: "one-more" in json.dumps(running.documents()), "the policy is published")
        assert published(running) - before < 256 << 10


@pytest.mark.timeout(180)
def test_flapping_tenant_writes_its_budget_and_delays_no_other(api_server, namespace, tmp_path):
    tenant = f"{namespace}-flapping"
    api_server.ask(
        "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": tenant}}
    )
    stopped = Event()

    def flap(running):
        for turn in itertools.count():
            for number in range(ROUTES):
                if stopped.is_set():
                    return
                running.apply(route(number, f"{turn}" + "x" * BODY), namespace=tenant)

    with planes(api_server, namespace, tmp_path) as running:
        running.apply(*(route(number, "x" * BODY) for number in range(ROUTES)), namespace=tenant)
        running.operator(also=[tenant], namespace_write_bytes=str(BUDGET))
        until(lambda: f"{tenant}/r{ROUTES - 1}" in json.dumps(running.documents()), "all is published", 60)
        began, before = monotonic(), published(running)
        flapping = Thread(target=flap, args=(running,))
        flapping.start()
        try:
            until(lambda: "too many bytes" in running.operator_logs(), "the tenant is held back", 60)
            for number in range(5):
                changed = monotonic()
                running.apply(direct_response_route("quiet", f"quiet {number}"))
                until(lambda number=number: f"quiet {number}" in json.dumps(running.documents()), "it is published")
                assert monotonic() - changed < 2.0
                sleep(0.5)
        finally:
            stopped.set()
            flapping.join()
        whole = ROUTES * (BODY + 500)
        budget = BUDGET * (1 + (monotonic() - began) / 60)
        # The last publication may begin within the budget and end beyond it; the quiet tenant's changes have their own.
        assert published(running) - before < budget + 3 * whole + (256 << 10)
        newest = running.get("GatewayRoute", "r0", namespace=tenant)["spec"]
        body = newest["rules"][0]["filters"][0]["directResponse"]["body"]
        until(lambda: body in json.dumps(running.documents()), "the last state of the tenant is published too", 60)


def route(number, body):
    return direct_response_route(f"r{number}", body, f"/r{number}")
