"""The status loop on a real API server: refused or many statuses delay no publication and no other status."""

from collections.abc import Iterator
from time import monotonic, sleep

import pytest
from operator_process import SERVICE, Gateway, gateway

from inferway_envtest import ApiServer
from inferway_envtest.http_faults import Fault, HttpFaults
from inferway_testing.until import until

ROUTE = """
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {name: %s}
spec: {rules: [{matches: [{path: {value: /%s}}], backendRefs: [{name: web, port: 80}]}]}
"""
MANY = 100
SECONDS = 10.0
"""For which refusals are counted."""
STATUS = "/gatewayroutes/.*/status"


@pytest.fixture
def gateway_with_routes(api_server: ApiServer) -> Iterator[Gateway]:
    """A gateway with a hundred routes, and no operator yet."""
    with gateway(api_server) as found:
        found.apply(SERVICE + "---".join(["", *(ROUTE % (f"r{number}", number) for number in range(MANY))]))
        yield found


@pytest.fixture
def faults(api_server: ApiServer) -> Iterator[HttpFaults]:
    """A proxy in front of the API server."""
    with api_server.http_faults() as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize(("code", "most"), [(403, 8), (429, 8)])
def test_rejected_status_writes_are_few_and_do_not_block_config(
    gateway_with_routes: Gateway, faults: HttpFaults, code: int, most: int
) -> None:
    headers = {"Retry-After": "3"} if code == 429 else {}
    refused = faults.add(Fault("PATCH", STATUS, code=code, times=10_000, headers=headers))
    gateway_with_routes.start(gateway_with_routes.api.through(faults, gateway_with_routes.user))
    until(lambda: refused.hits, "a status is refused", 20)
    began = monotonic()
    gateway_with_routes.apply(ROUTE % ("other", "other"))
    until(lambda: len(gateway_with_routes.routes()) == MANY + 1, "a route is published meanwhile", 2)
    sleep(SECONDS - (monotonic() - began))  # what is counted needs its time
    assert 2 <= refused.hits <= most
    faults.heal()
    gateway_with_routes.wait_for("other", "Accepted", "True", "Accepted")


def test_operator_publishes_while_status_writes_are_slow(gateway_with_routes: Gateway, faults: HttpFaults) -> None:
    faults.add(Fault("PATCH", STATUS, code=0, times=10_000, is_done=True, call=lambda: sleep(0.5)))
    running = gateway_with_routes.start(gateway_with_routes.api.through(faults, gateway_with_routes.user))
    until(lambda: len(gateway_with_routes.routes()) == MANY, "all routes", 20)
    gateway_with_routes.apply(ROUTE % ("other", "other"))
    # All statuses take more than six seconds, eight at a time.
    until(lambda: len(gateway_with_routes.routes()) == MANY + 1, "a route is published meanwhile", 2)
    assert any(not gateway_with_routes.told(f"r{number}", "Accepted")[0] for number in range(MANY)), (
        "statuses are still being written"
    )
    assert running.stop() == 0


@pytest.mark.slow
def test_failing_status_write_does_not_delay_other_objects(gateway_with_routes: Gateway, faults: HttpFaults) -> None:
    broken = faults.add(Fault("PATCH", "/gatewayroutes/r0/status", code=500, times=10_000))
    gateway_with_routes.start(gateway_with_routes.api.through(faults, gateway_with_routes.user))
    until(lambda: broken.hits, "a status fails", 20)
    for number in range(1, MANY):
        gateway_with_routes.wait_for(f"r{number}", "Accepted", "True", "Accepted")
    assert gateway_with_routes.told("r0", "Accepted") == ("", "")
    faults.heal()
    gateway_with_routes.wait_for("r0", "Accepted", "True", "Accepted")


@pytest.mark.slow
def test_operator_publishes_while_a_kind_cannot_be_listed(gateway_with_routes: Gateway, faults: HttpFaults) -> None:
    running = gateway_with_routes.start(gateway_with_routes.api.through(faults, gateway_with_routes.user))
    until(lambda: len(gateway_with_routes.routes()) == MANY, "all routes", 20)
    down = faults.add(Fault("GET", r"/services", code=500, times=10_000))
    faults.cut()
    until(lambda: down.hits > 1, "Services are refused")
    gateway_with_routes.apply(ROUTE % ("other", "other"))
    until(lambda: len(gateway_with_routes.routes()) == MANY + 1, "a route is published meanwhile", 5)
    hits, began = down.hits, monotonic()
    until(lambda: monotonic() - began > 3, "three seconds pass")
    assert 1 <= down.hits - hits <= 10
    until(lambda: running.has_logged("the API server fails"), "it is logged, as it does not end", 10)
