"""Unexpected responses of the API server, or of a proxy before it: the operator retries and continues (K1).

Where one of them ends kopf, its supervisor starts it again (docs/decisions/0009).
"""

import json
import socket
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
DEFINITIONS = Path(__file__).resolve().parents[2] / "crds"
PAGE = "<html><body>We are sorry</body></html>"
WATCH = r"/gatewayroutes\?.*watch=true"
MANY = 10_000
STOP = 10.0
"""Seconds that a stop may take: kopf waits 5 s where it has left a task of its own behind."""


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


def assert_still_publishing(made: Gateway, running: Process, name: str, within: float = 20.0) -> float:
    """It publishes what is new, and has not ended; the seconds that it took."""
    began = time.monotonic()
    made.apply(ROUTE % (name, name))
    until(lambda: f"{made.team}/{name}" in made.routes(), f"{name} is published", within)
    assert running.is_running
    return time.monotonic() - began


NO_OBJECT = '{"type": "ADDED", "object": {}}'
WATCHES = {
    "error-event": Fault("GET", WATCH, code=500, is_event=True),
    "not-found": Fault("GET", WATCH, code=404),
    "gone": Fault("GET", WATCH, code=410),
    "gone-event": Fault("GET", WATCH, code=410, is_event=True),
    "page": Fault("GET", r"/gatewayroutes", code=200, body=PAGE),
    "retry-date": Fault("GET", WATCH, code=429, headers={"Retry-After": "Tue, 24 Nov 2026 20:00:00 GMT"}),
    "retry-day": Fault("GET", WATCH, code=429, headers={"Retry-After": "86400"}),
    "no-object": Fault("GET", WATCH, code=200, body=NO_OBJECT, media_type="application/json"),
    "list-for-object": Fault("GET", r"/gatewayroutes", code=200, body="[]", media_type="application/json"),
    "definitions": Fault("GET", r"/customresourcedefinitions", code=200, body=PAGE),
}
TIMES = 4
"""Of each: kopf and a reflector ask the same, and both are to meet it."""
CONVERGED = 15.0
"""Seconds after the end of a fault within which a change is published, also where kopf had to be started again."""


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.case("K1")
def test_operator_converges_after_ten_odd_responses_in_a_row(prepared_gateway: Gateway, faults: HttpFaults) -> None:
    """What is published stays meanwhile."""
    with FaultyTcp(faults.port) as tcp:
        running = prepared_gateway.start(prepared_gateway.api.through(tcp, prepared_gateway.user))
        assert_still_publishing(prepared_gateway, running, "before")
        for name, given in WATCHES.items():
            before = prepared_gateway.routes()
            fault = faults.add(replace(given, times=TIMES))
            tcp.cut_all()
            until(lambda fault=fault: fault.hits == fault.times, f"{name}: the answer was given", 30)
            assert prepared_gateway.routes() == before
            faults.heal()
            seconds = assert_still_publishing(prepared_gateway, running, name, CONVERGED)
            print(
                f"{name}: published {seconds:.2f} s after the fault; starts: {1 + running.count('starting it again')}"
            )
        assert running.count("starting it again") > 0, "at least one of them ends kopf"
        assert running.stop() == 0


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
    lines = len(running.lines)
    down = faults.add(Fault("GET", r"/(gatewayroutes|services)\?", code=503, times=MANY))
    faults.cut()
    until(lambda: down.hits > 12, "it has tried often", 30)
    until(lambda: running.has_logged("the API server fails"), "the outage is logged", 10)
    assert len(running.lines) <= lines + 3, running.lines
    faults.heal()
    assert_still_publishing(prepared_gateway, running, "after", 5)
    until(lambda: running.has_logged("the API server answers again"), "its end is logged", 10)


@pytest.mark.slow
@pytest.mark.case("K1")
def test_operator_converges_after_rejected_credentials(prepared_gateway: Gateway, faults: HttpFaults) -> None:
    """kopf never tries them again, and ends; another process does."""
    running = prepared_gateway.start(prepared_gateway.api.through(faults, prepared_gateway.user))
    assert_still_publishing(prepared_gateway, running, "before")
    faults.add(Fault("GET", WATCH, code=401, times=TIMES))
    faults.cut()
    until(lambda: running.has_logged("ended with exit code 1: starting it again"), "kopf ends", 20)
    faults.heal()
    assert_still_publishing(prepared_gateway, running, "after", CONVERGED)


BROKEN = """
from inferway_kube.leader_election import LeaderElection

async def run(self):
    raise RuntimeError("a bug")

LeaderElection.run = run
"""


@pytest.mark.case("K1")
def test_operator_starts_again_after_an_internal_error(prepared_gateway: Gateway, tmp_path: Path) -> None:
    module = tmp_path / "broken.py"
    module.write_text(BROKEN)
    running = prepared_gateway.start(None, "--all-namespaces", str(module))
    until(lambda: running.has_logged("the task leadership failed"), "it is about to end", 20)
    until(lambda: running.has_logged("ended with exit code 1: starting it again"), "it ends", STOP)
    running.stop()


@pytest.mark.case("K1")
def test_operator_whose_port_is_taken_does_not_start(prepared_gateway: Gateway) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        running = prepared_gateway.start(listen=f"127.0.0.1:{taken.getsockname()[1]}")
        until(lambda: not running.is_running, "it ends", 20)
        assert running.stop() == 1
    assert running.has_logged("Address already in use") or running.has_logged("address already in use")


@pytest.mark.case("K1")
def test_operator_with_an_unknown_setting_does_not_start(prepared_gateway: Gateway) -> None:
    running = prepared_gateway.start(namespacs="team")
    until(lambda: not running.is_running, "it ends", 20)
    assert running.stop() == 2
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
    ("path", "kind"),
    [
        (r"/apis/inferway\.dev/v1alpha1/.*gatewayroutes\?.*limit", "gatewayroutes"),
        (r"/apis/gateway\.networking\.k8s\.io/v1beta1/.*limit", "referencegrants"),
    ],
)
@pytest.mark.case("K1")
def test_operator_lists_again_a_kind_that_was_not_served(
    prepared_gateway: Gateway, faults: HttpFaults, path: str, kind: str
) -> None:
    """An API server may report a definition before it serves it."""
    missing = faults.add(Fault("GET", path, code=404, times=4))
    running = prepared_gateway.start(prepared_gateway.api.through(faults, prepared_gateway.user))
    until(lambda: missing.hits == 4, "lists in vain", 40)
    until(lambda: prepared_gateway.watches(kind), f"{kind} are listed", 20)
    assert_still_publishing(prepared_gateway, running, "first")


DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{}.inferway.dev"
KINDS = ("gatewayroutes", "ratelimitpolicies")


@pytest.mark.slow
@pytest.mark.case("K5")
def test_published_config_stays_when_definitions_are_deleted(prepared_gateway: Gateway) -> None:
    """The objects go with their definitions, though no user has deleted them."""
    api = prepared_gateway.api
    running = prepared_gateway.start()
    assert_still_publishing(prepared_gateway, running, "before")
    before = prepared_gateway.routes()
    try:
        for kind in KINDS:
            api.ask("DELETE", DEFINITION.format(kind))
        until(lambda: running.has_logged("does not know a kind that this process needs"), "it is logged", 20)
        assert prepared_gateway.routes() == before
    finally:
        api.kubectl("apply", *(f"--filename={DEFINITIONS / kind}.yaml" for kind in KINDS))
        api.kubectl("wait", "--for=condition=Established", *(f"crd/{kind}.inferway.dev" for kind in KINDS))
    # The 404 may end kopf, if it opens a watch just then: the supervisor starts it again (decision 0009).
    assert_still_publishing(prepared_gateway, running, "after", 15)
    assert prepared_gateway.routes() == [f"{prepared_gateway.team}/after"]
