"""What a refused status is about: the object, its namespace, or this process."""

import json

import pytest

from inferway_kube.errors import ApiError, NotLeading, of_response
from inferway_operator.status.dispatch import is_about_object, is_about_operator

CALL = "PATCH /apis/inferway.dev/v1alpha1/namespaces/a/gatewayroutes/b/status"
OBJECT = 'gatewayroutes.inferway.dev "b" is forbidden: '
POLICY = f"{OBJECT}ValidatingAdmissionPolicy 'p' with binding 'p' denied request: no"


def refused(code: int, message: str) -> ApiError:
    return of_response(CALL, code, "", json.dumps({"kind": "Status", "message": message}).encode())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (refused(403, POLICY), "object"),
        (refused(401, POLICY), "object"),
        (refused(413, POLICY), "object"),
        (refused(429, 'admission webhook "v" denied the request: slower'), "object"),
        (refused(422, 'GatewayRoute.inferway.dev "b" is invalid: status.conditions: Too many'), "object"),
        (refused(500, "failed to create typed patch object (a/b): .status.x: field not declared in schema"), "object"),
        (refused(403, f'{OBJECT}User "a" cannot patch resource "gatewayroutes/status"'), "namespace"),
        (refused(403, "a fault of the test"), "namespace"),
        (refused(500, 'Internal error occurred: failed calling webhook "v": EOF'), "namespace"),
        (refused(500, "etcdserver: request timed out"), "namespace"),
        (ApiError(f"{CALL}: no answer in time"), "namespace"),
        (of_response(CALL, 403, "", b"<html>"), "namespace"),
        (refused(401, "Unauthorized"), "operator"),
        (refused(429, "Too many requests"), "operator"),
        (NotLeading(f"{CALL}: not written"), "operator"),
    ],
)
def test_refusal_is_about(error: ApiError, expected: str) -> None:
    found = "object" if is_about_object(error) else "operator" if is_about_operator(error) else "namespace"
    assert found == expected
