"""Rules of ordinary HTTPRoutes are taken as they are; what cannot be taken is refused by name."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from inferway_contract import field_errors
from inferway_contract.resources.gateway_route import GatewayRouteSpec, RouteRule

PASTED = sorted((Path(__file__).parent / "gateway_api_rules").glob("*.yaml"))


@pytest.mark.parametrize("path", PASTED, ids=[path.stem for path in PASTED])
def test_rules_of_an_httproute_are_accepted_unchanged(path: Path) -> None:
    pasted = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert list(pasted) == ["rules"]
    for rule in pasted["rules"]:
        RouteRule.model_validate(rule)
    GatewayRouteSpec.model_validate(pasted)


BACKEND = {"name": "service-python", "port": 8000}
REFUSED = {
    "RequestMirror": (
        {"filters": [{"type": "RequestMirror", "requestMirror": {"backendRef": BACKEND}}], "backendRefs": [BACKEND]},
        "RequestMirror is not supported: remove the filter",
    ),
    "ExtensionRef": (
        {"filters": [{"type": "ExtensionRef", "extensionRef": {"group": "a", "kind": "b", "name": "c"}}]},
        "ExtensionRef is not supported: remove the filter",
    ),
    "ExternalAuth": (
        {"filters": [{"type": "ExternalAuth", "externalAuth": {"protocol": "HTTP", "backendRef": BACKEND}}]},
        "ExternalAuth is not supported: remove the filter",
    ),
    "filters inside a backendRef": (
        {"backendRefs": [{**BACKEND, "filters": [{"type": "RequestHeaderModifier"}]}]},
        "filters inside a backendRef are not supported: move them to the rule",
    ),
    "sessionPersistence": (
        {"backendRefs": [BACKEND], "sessionPersistence": {"sessionName": "cup", "type": "Cookie"}},
        "sessionPersistence is not supported: remove it",
    ),
    "a Service of another cluster": (
        {"backendRefs": [{"group": "multicluster.x-k8s.io", "kind": "ServiceImport", "name": "tea", "port": 8080}]},
        "'ServiceImport': must be 'Service'",
    ),
    "a method that never passes": (
        {"matches": [{"method": "TRACE"}]},
        "'TRACE' is not one of 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_field_is_rejected_by_name(name: str) -> None:
    rule, message = REFUSED[name]
    assert message in [found.message for found in errors_of(rule)]


def errors_of(rule: dict[str, Any]) -> list[field_errors.FieldError]:
    with pytest.raises(ValidationError) as caught:
        RouteRule.model_validate(rule)
    return field_errors.from_validation(caught.value)


@pytest.mark.parametrize(
    ("backend_request", "request_"), [("5s", "5m"), ("5m", "5m"), ("301s", "301s"), ("1h30m", "1h30m"), ("0s", "5m")]
)
def test_backend_request_alone_raises_the_request_default(backend_request: str, request_: str) -> None:
    rule = RouteRule.model_validate({"timeouts": {"backendRequest": backend_request}})
    assert rule.timeouts.request == request_
    assert rule.timeouts.backend_request == backend_request


@pytest.mark.parametrize(
    ("backoff", "most"), [("100ms", "1s"), ("1s", "1s"), ("1001ms", "1001ms"), ("1m", "1m"), ("0s", "1s")]
)
def test_backoff_alone_raises_the_max_backoff_default(backoff: str, most: str) -> None:
    rule = RouteRule.model_validate({"retry": {"backoff": backoff}})
    assert rule.retry is not None
    assert (rule.retry.backoff, rule.retry.max_backoff) == (backoff, most)
