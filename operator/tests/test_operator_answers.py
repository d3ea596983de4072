"""Odd answers of the API server, or of a proxy before it: the operator asks again, and goes on (K1).

Where one of them ends kopf, its supervisor starts it again (docs/decisions/0009).
"""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from operator_process import SERVICE, Gateway, Running, gateway

from inferway_envtest import ApiServer
from inferway_envtest.http_faults import Fault, HttpFaults
from inferway_fakes.faulty_tcp import FaultyTcp
from inferway_fakes.waiting import wait_until

ROUTE = """
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {name: %s}
spec: {rules: [{matches: [{path: {value: /%s}}], backendRefs: [{name: web, port: 80}]}]}
"""
PAGE = "<html><body>We are sorry</body></html>"
WATCH = r"/gatewayroutes\?.*watch=true"
MANY = 10_000
STOP = 10.0
"""Seconds that a stop may take: kopf waits 5 s where it has left a task of its own behind."""


@pytest.fixture
def made(api_server: ApiServer) -> Iterator[Gateway]:
    """A gateway with a Service, and no operator yet."""
    with gateway(api_server) as found:
        found.apply(SERVICE)
        yield found


@pytest.fixture
def faults(api_server: ApiServer) -> Iterator[HttpFaults]:
    """A proxy in front of the API server."""
    with api_server.http_faults() as found:
        yield found


def goes_on(made: Gateway, running: Running, name: str, within: float = 20.0) -> float:
    """It publishes what is new, and has not ended; the seconds that it took."""
    began = time.monotonic()
    made.apply(ROUTE % (name, name))
    wait_until(lambda: f"{made.team}/{name}" in made.routes(), f"{name} is published", within)
    assert running.process.poll() is None
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
def test_operator_converges_after_ten_odd_answers_in_a_row(made: Gateway, faults: HttpFaults) -> None:
    """What is published stays meanwhile."""
    with FaultyTcp(faults.port) as tcp:
        running = made.start(made.api.through(tcp, made.user))
        goes_on(made, running, "before")
        for name, given in WATCHES.items():
            before = made.routes()
            fault = faults.add(replace(given, times=TIMES))
            tcp.cut_all()
            wait_until(lambda fault=fault: fault.hits == fault.times, f"{name}: the answer was given", 30)
            assert made.routes() == before
            faults.heal()
            seconds = goes_on(made, running, name, CONVERGED)
            print(f"{name}: published {seconds:.2f} s after the fault; starts: {1 + running.count('starting it again')}")
        assert running.count("starting it again") > 0, "at least one of them ends kopf"
        assert running.end(signal.SIGTERM) == 0


@pytest.mark.slow
@pytest.mark.parametrize("path", [r"/apis(\?|$)", r"/apis/inferway\.dev/v1alpha1$", r"/api/v1$", r"/namespaces\?"])
@pytest.mark.case("K1")
def test_operator_starts_after_pages_for_what_it_asks_first(made: Gateway, faults: HttpFaults, path: str) -> None:
    page = faults.add(Fault("GET", path, code=200, body=PAGE, times=2))
    running = made.start(made.api.through(faults, made.user), "-n", made.team, "-n", made.namespace)
    wait_until(lambda: page.hits == 2, "two pages", 20)
    goes_on(made, running, "first")


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
def test_operator_leads_on_after_every_answer_about_its_lease(made: Gateway, faults: HttpFaults) -> None:
    running = made.start(made.api.through(faults, made.user), retry_period="1")
    goes_on(made, running, "before")
    for name, given in LEASES.items():
        fault = faults.add(replace(given))
        wait_until(lambda fault=fault: fault.hits == fault.times, f"{name}: the answer was given", 20)
        faults.heal()
        goes_on(made, running, name)
    assert running.end(signal.SIGTERM) == 0


@pytest.mark.slow
@pytest.mark.case("K1")
def test_operator_tells_an_outage_in_few_lines(made: Gateway, faults: HttpFaults) -> None:
    running = made.start(made.api.through(faults, made.user))
    goes_on(made, running, "before")
    down = faults.add(Fault("GET", r"/(gatewayroutes|services)\?", code=503, times=MANY))
    faults.cut()
    wait_until(lambda: down.hits > 12, "it has tried often", 30)
    told = [line for line in list(running.lines) if "Request attempt" in line]
    assert 1 <= len(told) <= 2, told
    faults.heal()
    goes_on(made, running, "after")


@pytest.mark.case("K1")
def test_operator_whose_credentials_are_refused_ends_with_an_exit_code(made: Gateway, faults: HttpFaults) -> None:
    """kopf never tries them again: to go on would be to hear nothing for ever."""
    running = made.start(made.api.through(faults, made.user))
    goes_on(made, running, "before")
    faults.add(Fault("GET", WATCH, code=401))
    faults.cut()
    wait_until(lambda: running.process.poll() is not None, "it ends, and waits for no other watch", STOP)
    assert running.end() == 1


BROKEN = """
from inferway_operator.leadership import Leadership

async def run(self):
    raise RuntimeError("a mistake of ours")

Leadership.run = run
"""


@pytest.mark.case("K1")
def test_operator_that_ends_by_a_mistake_of_ours_says_so_by_its_exit_code(made: Gateway, tmp_path: Path) -> None:
    module = tmp_path / "broken.py"
    module.write_text(BROKEN)
    running = made.start(None, "--all-namespaces", str(module))
    wait_until(lambda: running.said("Operator is stopping"), "it is about to end", 20)
    wait_until(lambda: running.process.poll() is not None, "it ends", STOP)
    assert running.end() == 1
    assert running.said("the task leadership failed")


@pytest.mark.case("K1")
def test_operator_with_a_mistyped_setting_does_not_start(made: Gateway) -> None:
    running = made.start(namespacs="team")
    wait_until(lambda: running.process.poll() is not None, "it ends", 20)
    assert running.end() == 1
    assert running.said("the nearest is INFERWAY_OPERATOR_NAMESPACE")


@contextmanager
def namespace(made: Gateway, name: str) -> Iterator[None]:
    """A namespace that begins to exist here."""
    made.api.ask("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield
    made.api.ask("DELETE", f"/api/v1/namespaces/{name}")


@pytest.mark.case("K1")
def test_operator_of_named_namespaces_does_not_wait_for_one_that_does_not_exist(made: Gateway) -> None:
    later = made.team.replace("team", "later")
    flags = [flag for name in (made.team, made.namespace, later) for flag in ("-n", name)]
    running = made.start(None, *flags, namespaces=f"{made.team},{made.namespace},{later}")
    goes_on(made, running, "first")
    with namespace(made, later):
        made.apply(SERVICE, later)
        made.apply(ROUTE % ("second", "second"), later)
        wait_until(lambda: f"{later}/second" in made.routes(), "it is watched when it exists", 20)
    wait_until(lambda: f"{later}/second" not in made.routes(), "and no more when it is gone", 20)
    goes_on(made, running, "third")


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
def test_operator_looks_again_for_kinds_that_it_did_not_find(
    made: Gateway, faults: HttpFaults, path: str, found: str
) -> None:
    """An API server may tell of a definition before it serves it."""
    missing = faults.add(Fault("GET", path, code=404, times=2))
    running = made.start(made.api.through(faults, made.user))
    wait_until(lambda: missing.hits == 2, "two looks in vain", 30)
    wait_until(lambda: made.watches(found), f"{found} are watched", 20)
    goes_on(made, running, "first")
