"""Unexpected responses of the API server, or of a proxy before it: the operator retries and continues (K1)."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from operator_process import SERVICE, Gateway, gateway

from inferway_envtest import ApiServer
from inferway_envtest.http_faults import Fault, HttpFaults
from inferway_fakes.faulty_tcp import FaultyTcp
from inferway_testing.process import Process
from inferway_testing.until import until

ROUTE = """
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {name: %s}
spec: {rules: [{matches: [{path: {value: /%s}}], backendRefs: [{name: web, port: 80}]}]}
"""
PAGE = "<html><body>We are sorry</body></html>"
WATCH = r"/gatewayroutes\?.*watch=true"
MANY = 10_000
STOP = 4.5
"""Seconds that a stop may take: less than the 5 that kopf waits where something has left a task of its own behind. It takes
less than one on a machine that has nothing else to do."""


@pytest.fixture
def prepared_gateway(api_server: ApiServer) -> Iterator[Gateway]:
    """A gateway with a Service, and no operator yet."""
    with gateway(api_server) as found:
        found.apply(SERVICE)
        yield found


@pytest.fixture
def faults(api_server: ApiServer) -> Iterator[HttpFaults]:
    """A proxy in front of the API server."""
    with api_server.http_faults() as found:
        yield found


def assert_still_publishing(made: Gateway, running: Process, name: str) -> None:
    """It has not ended, and publishes what is new."""
    made.apply(ROUTE % (name, name))
    until(lambda: f"{made.team}/{name}" in made.routes(), f"{name} is published", 20)
    assert running.is_running


WATCHES = {
    "error-event": Fault("GET", WATCH, code=500, is_event=True),
    "not-found": Fault("GET", WATCH, code=404),
    "gone": Fault("GET", WATCH, code=410),
    "page": Fault("GET", r"/gatewayroutes", code=200, body=PAGE, times=4),
    "retry-date": Fault("GET", WATCH, code=429, headers={"Retry-After": "Tue, 24 Nov 2026 20:00:00 GMT"}),
    "no-object": Fault("GET", WATCH, code=200, body='{"type": "ADDED", "object": {}}', media_type="application/json"),
    "list-for-object": Fault("GET", r"/gatewayroutes", code=200, body="[]", media_type="application/json", times=4),
    "definitions": Fault("GET", r"/customresourcedefinitions", code=200, body=PAGE),
}


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.case("K1")
def test_operator_survives_every_odd_response_to_a_watch(prepared_gateway: Gateway, faults: HttpFaults) -> None:
    """One process through all of them: none leaves anything behind that the next would meet, or the stop."""
    with FaultyTcp(faults.port) as tcp:
        running = prepared_gateway.start(prepared_gateway.api.through(tcp, prepared_gateway.user))
        assert_still_publishing(prepared_gateway, running, "before")
        for name, given in WATCHES.items():
            fault = faults.add(replace(given))
            tcp.cut_all()
            until(lambda fault=fault: fault.hits == fault.times, f"{name}: the answer was given", 20)
            faults.heal()
            assert_still_publishing(prepared_gateway, running, name)
        began = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began < STOP


@pytest.mark.slow
@pytest.mark.parametrize("path", [r"/apis(\?|$)", r"/apis/inferway\.dev/v1alpha1$", r"/api/v1$", r"/namespaces\?"])
@pytest.mark.case("K1")
def test_operator_starts_after_html_responses_to_its_first_lists(
    prepared_gateway: Gateway, faults: HttpFaults, path: str
) -> None:
    page = faults.add(Fault("GET", path, code=200, body=PAGE, times=2))
    running = prepared_gateway.start(
        prepared_gateway.api.through(faults, prepared_gateway.user),
        "-n",
        prepared_gateway.team,
        "-n",
        prepared_gateway.namespace,
    )
    until(lambda: page.hits == 2, "two pages", 20)
    assert_still_publishing(prepared_gateway, running, "first")


def lease(**spec: str) -> str:
    """A Lease as no API server would give it."""
    found = {"holderIdentity": "somebody", "leaseDurationSeconds": 15, **spec}
    return json.dumps(
        {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"}, "spec": found}
    )


LEASES = {
    "page": Fault("GET|PUT", r"/leases/", code=200, body=PAGE, times=2),
    "list": Fault("GET|PUT", r"/leases/", code=200, body="[]", media_type="application/json", times=2),
    "empty": Fault("GET|PUT", r"/leases/", code=200, body="", media_type="application/json", times=2),
    "no-time": Fault(
        "GET|PUT", r"/leases/", code=200, body=lease(renewTime="yesterday"), media_type="application/json", times=2
    ),
    "text": Fault("GET|PUT", r"/leases/", code=200, body='"Lease"', media_type="application/json", times=2),
    "not-found-page": Fault("GET", r"/leases/", code=404, body=PAGE, times=2),
    "refused": Fault("PUT", r"/leases/", code=200, body=PAGE),
}


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.case("K1")
def test_operator_keeps_leading_after_odd_lease_responses(prepared_gateway: Gateway, faults: HttpFaults) -> None:
    running = prepared_gateway.start(prepared_gateway.api.through(faults, prepared_gateway.user), retry_period="1")
    assert_still_publishing(prepared_gateway, running, "before")
    for name, given in LEASES.items():
        fault = faults.add(replace(given))
        until(lambda fault=fault: fault.hits == fault.times, f"{name}: the answer was given", 20)
        faults.heal()
        assert_still_publishing(prepared_gateway, running, name)
    assert running.stop() == 0


@pytest.mark.slow
@pytest.mark.case("K1")
def test_outage_of_the_api_server_is_logged_in_few_lines(prepared_gateway: Gateway, faults: HttpFaults) -> None:
    running = prepared_gateway.start(prepared_gateway.api.through(faults, prepared_gateway.user))
    assert_still_publishing(prepared_gateway, running, "before")
    down = faults.add(Fault("GET", r"/(gatewayroutes|services)\?", code=503, times=MANY))
    faults.cut()
    until(lambda: down.hits > 12, "it has tried often", 30)
    told = [line for line in list(running.lines) if "Request attempt" in line]
    assert 1 <= len(told) <= 2, told
    faults.heal()
    assert_still_publishing(prepared_gateway, running, "after")


@pytest.mark.case("K1")
def test_operator_with_rejected_credentials_exits_with_1(prepared_gateway: Gateway, faults: HttpFaults) -> None:
    """kopf never retries them: the process would receive no more events."""
    running = prepared_gateway.start(prepared_gateway.api.through(faults, prepared_gateway.user))
    assert_still_publishing(prepared_gateway, running, "before")
    faults.add(Fault("GET", WATCH, code=401))
    faults.cut()
    until(lambda: not running.is_running, "it ends, and waits for no other watch", STOP)
    assert running.stop() == 1


BROKEN = """
from inferway_operator.leadership import Leadership

async def run(self):
    raise RuntimeError("a mistake of ours")

Leadership.run = run
"""


@pytest.mark.case("K1")
def test_operator_exits_with_1_after_an_internal_error(prepared_gateway: Gateway, tmp_path: Path) -> None:
    module = tmp_path / "broken.py"
    module.write_text(BROKEN)
    running = prepared_gateway.start(None, "--all-namespaces", str(module))
    until(lambda: running.has_logged("Operator is stopping"), "it is about to end", 20)
    until(lambda: not running.is_running, "it ends", STOP)
    assert running.stop() == 1
    assert running.has_logged("the task leadership failed")


@pytest.mark.case("K1")
def test_operator_with_an_unknown_setting_does_not_start(prepared_gateway: Gateway) -> None:
    running = prepared_gateway.start(namespacs="team")
    until(lambda: not running.is_running, "it ends", 20)
    assert running.stop() == 1
    assert running.has_logged("did you mean INFERWAY_OPERATOR_NAMESPACE")


@contextmanager
def namespace(made: Gateway, name: str) -> Iterator[None]:
    """A namespace that begins to exist here."""
    made.api.ask("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield
    made.api.ask("DELETE", f"/api/v1/namespaces/{name}")


@pytest.mark.case("K1")
def test_operator_does_not_wait_for_a_missing_namespace(prepared_gateway: Gateway) -> None:
    later = prepared_gateway.team.replace("team", "later")
    flags = [flag for name in (prepared_gateway.team, prepared_gateway.namespace, later) for flag in ("-n", name)]
    running = prepared_gateway.start(
        None, *flags, namespaces=f"{prepared_gateway.team},{prepared_gateway.namespace},{later}"
    )
    assert_still_publishing(prepared_gateway, running, "first")
    with namespace(prepared_gateway, later):
        prepared_gateway.apply(SERVICE, later)
        prepared_gateway.apply(ROUTE % ("second", "second"), later)
        until(lambda: f"{later}/second" in prepared_gateway.routes(), "it is watched when it exists", 20)
    until(lambda: f"{later}/second" not in prepared_gateway.routes(), "and no more when it is gone", 20)
    assert_still_publishing(prepared_gateway, running, "third")


@pytest.mark.slow
@pytest.mark.usefixtures("gateway_api")
@pytest.mark.parametrize(
    ("path", "found"),
    [
        (r"/apis/inferway\.dev/v1alpha1$", "gatewayroutes"),
        (r"/apis/gateway\.networking\.k8s\.io/\w+$", "referencegrants"),
    ],
)
@pytest.mark.case("K1")
def test_operator_retries_the_discovery_of_missing_kinds(
    prepared_gateway: Gateway, faults: HttpFaults, path: str, found: str
) -> None:
    """An API server may list a definition before it serves it."""
    missing = faults.add(Fault("GET", path, code=404, times=2))
    running = prepared_gateway.start(prepared_gateway.api.through(faults, prepared_gateway.user))
    until(lambda: missing.hits == 2, "two looks in vain", 30)
    until(lambda: prepared_gateway.watches(found), f"{found} are watched", 20)
    assert_still_publishing(prepared_gateway, running, "first")
