"""ReferenceGrants: without, with, revoked (X2). The compiler keeps nothing, so a world is enough for each."""

from typing import Any

import pytest
import yaml

from inferway_contract.conditions import ConditionType
from inferway_operator import compiler
from inferway_operator.world.world import from_manifests

WORLD = """\
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {name: shop, namespace: demo}
spec:
  rules: [{backendRefs: [{name: sim, namespace: other, port: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: sim, namespace: other}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: sim-1, namespace: other, labels: {kubernetes.io/service-name: sim}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.1.0.1]}]
"""
FROM = {"group": "inferway.dev", "kind": "GatewayRoute", "namespace": "demo"}
TO = {"group": "", "kind": "Service"}


def grant(
    namespace: str = "other", source: dict[str, Any] | None = None, target: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1beta1",
        "kind": "ReferenceGrant",
        "metadata": {"name": "grant", "namespace": namespace},
        "spec": {"from": [source or FROM], "to": [target or TO]},
    }


def outcome(*grants: dict[str, Any]) -> tuple[str, str | None, list[str]]:
    """Reason of ResolvedRefs, the backend's refusal, Services that are published."""
    made = compiler.compile(from_manifests([*yaml.safe_load_all(WORLD), *grants], standalone=False))
    (verdict,) = made.verdicts
    (resolved,) = [item for item in verdict.conditions if item.type is ConditionType.RESOLVED_REFS]
    (backend,) = made.config.routes[0].rules[0].backends
    return str(resolved.reason), backend.refusal, list(made.endpoints.services)


SERVED = ("ResolvedRefs", None, ["other/sim:80"])
REFUSED = ("RefNotPermitted", "backend_not_found", [])


def test_backend_is_served_only_while_a_grant_exists() -> None:
    assert outcome() == REFUSED
    assert outcome(grant()) == SERVED
    assert outcome() == REFUSED


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(grant(target={**TO, "name": "sim"}), SERVED, id="to this Service"),
        pytest.param(grant(target={**TO, "name": ""}), SERVED, id="an empty name is none"),
        pytest.param(grant(target={"kind": "Service"}), REFUSED, id="no group: Gateway API requires one"),
        pytest.param(grant(target={**TO, "name": "another"}), REFUSED, id="to another Service"),
        pytest.param(grant(target={**TO, "kind": "Secret"}), REFUSED, id="to another kind"),
        pytest.param(grant(target={"group": "example.com", "kind": "Service"}), REFUSED, id="to another group"),
        pytest.param(grant(source={**FROM, "namespace": "third"}), REFUSED, id="from another namespace"),
        pytest.param(grant(source={**FROM, "kind": "HTTPRoute"}), REFUSED, id="from another kind"),
        pytest.param(grant(source={**FROM, "group": "gateway.networking.k8s.io"}), REFUSED, id="from another group"),
        pytest.param(grant(source={**FROM, "namespace": "*"}), REFUSED, id="there is no wildcard"),
        pytest.param(grant("demo"), REFUSED, id="the route's own namespace cannot grant it"),
        pytest.param(grant("third"), REFUSED, id="a third namespace cannot grant it"),
    ],
)
def test_grant_permits_the_listed_references(
    given: dict[str, Any], expected: tuple[str, str | None, list[str]]
) -> None:
    assert outcome(given) == expected


def test_one_matching_grant_of_two_is_enough() -> None:
    both = [grant(target={**TO, "name": "another"}), grant(target={**TO, "name": "sim"})]
    both[1]["metadata"]["name"] = "second"
    assert outcome(*both) == SERVED
    assert outcome(both[0]) == REFUSED
