"""What a failed call means: a table of statuses, and nothing that a server sends is trusted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_kube import errors
from inferway_kube.errors import ApiError, Cause, Gone, NotFound, of_response, of_status, seconds

STATUS = {"kind": "Status", "message": "no such thing"}
ROLE = {
    "kind": "Status",
    "message": 'leases.coordination.k8s.io "a" is forbidden: User "system:serviceaccount:b:c" cannot update resource "leases" '
    'in API group "coordination.k8s.io" in the namespace "b"',
}

RESPONSES: dict[str, tuple[int, Any, type[ApiError], str, bool]] = {
    "absent object": (404, STATUS, NotFound, errors.UNDEFINED, True),
    "unknown path": (404, "404 page not found", NotFound, errors.UNDEFINED, False),
    "too old": (410, STATUS, Gone, "", True),
    "conflict": (409, STATUS, ApiError, "", True),
    "no role": (403, ROLE, ApiError, errors.FORBIDDEN, True),
    "forbidden without a known cause": (403, STATUS, ApiError, errors.REFUSED, True),
    "forbidden by a proxy": (403, "<html>", ApiError, errors.REFUSED, False),
    "no token": (401, STATUS, ApiError, errors.UNAUTHORIZED, True),
    "too many": (429, STATUS, ApiError, errors.FAILING, True),
    "a proxy's page": (503, "<html>", ApiError, errors.FAILING, False),
}


@pytest.mark.parametrize(("status", "body", "kind", "remedy", "is_status"), RESPONSES.values(), ids=RESPONSES)
def test_response_error_by_status(status: int, body: Any, kind: type[ApiError], remedy: str, is_status: bool) -> None:
    error = of_response("GET /a", status, "", (body if isinstance(body, str) else json.dumps(body)).encode())
    assert (type(error), error.status, error.remedy, error.is_status) == (kind, status, remedy, is_status)
    assert str(error).startswith(f"GET /a: {status}")
    assert ("<html>" in str(error)) is False
    assert error.is_answer


SHARD = 'configmaps "inferway-0123456789" is forbidden: '
POLICY = "ValidatingAdmissionPolicy 'p' with binding 'p' denied request: "
USER = 'User "system:serviceaccount:a:b" cannot create resource "configmaps" in API group "" in the namespace "a"'
DELETED = "unable to create new content in namespace a because it is being terminated"

REFUSALS: dict[str, tuple[int, str, Cause, str]] = {
    "role": (403, SHARD + USER, Cause.NO_ROLE, errors.FORBIDDEN),
    "role, of a collection": (403, f"configmaps is forbidden: {USER}", Cause.NO_ROLE, errors.FORBIDDEN),
    "role, of a path": (403, 'forbidden: User "a" cannot get path "/apis"', Cause.NO_ROLE, errors.FORBIDDEN),
    "quota": (403, SHARD + "exceeded quota: q, requested: count/configmaps=1, used: 9", Cause.QUOTA, errors.QUOTA),
    "quota without a figure": (403, SHARD + "failed quota: q: must specify a", Cause.QUOTA, errors.QUOTA),
    "namespace": (403, SHARD + DELETED, Cause.TERMINATING, errors.TERMINATING),
    "policy": (403, SHARD + POLICY + "no", Cause.ADMISSION, errors.DENIED),
    "policy with the words of a quota": (403, SHARD + POLICY + "exceeded quota: q", Cause.ADMISSION, errors.DENIED),
    "policy with the words of a role": (403, SHARD + POLICY + USER, Cause.ADMISSION, errors.DENIED),
    "policy that answers Invalid": (422, f'configmaps "a" is forbidden: {POLICY}no', Cause.ADMISSION, errors.DENIED),
    "policy that answers Unauthorized": (401, SHARD + POLICY + "no", Cause.ADMISSION, errors.DENIED),
    "webhook": (403, 'admission webhook "v.example" denied the request: no', Cause.ADMISSION, errors.DENIED),
    "webhook that answers 429": (429, 'admission webhook "v.example" denied the request: no', Cause.ADMISSION, errors.DENIED),
    "plugin": (403, SHARD + "unknown rule of a plugin", Cause.ADMISSION, errors.DENIED),
    "webhook without an answer": (
        500, 'Internal error occurred: failed calling webhook "v": context deadline exceeded', Cause.WEBHOOK, errors.WEBHOOK,
    ),
    "failing store": (500, "etcdserver: request timed out", Cause.UNKNOWN, errors.FAILING),
    "conflict": (409, 'configmaps "a" already exists', Cause.UNKNOWN, ""),
}  # fmt: skip


@pytest.mark.parametrize(("status", "message", "cause", "remedy"), REFUSALS.values(), ids=REFUSALS)
def test_refusal_by_its_message(status: int, message: str, cause: Cause, remedy: str) -> None:
    """As the API server writes it; the text of a policy may be anything."""
    body = json.dumps({"kind": "Status", "message": message}).encode()
    error = of_response("POST /api/v1/namespaces/a/configmaps", status, "", body)
    assert (error.cause, error.remedy) == (cause, remedy)
    assert error.is_about_content == (cause is Cause.ADMISSION)
    assert error.is_denied == (cause in (Cause.ADMISSION, Cause.QUOTA, Cause.TERMINATING))
    assert error.is_refusal == (cause not in (Cause.UNKNOWN, Cause.WEBHOOK))


def test_terminating_namespace_by_the_cause_of_the_status() -> None:
    body = {
        "kind": "Status",
        "message": "in another language",
        "details": {"causes": [{"reason": "NamespaceTerminating"}]},
    }
    assert of_response("POST /a", 403, "", json.dumps(body).encode()).cause is Cause.TERMINATING


def test_denied_lease_advises_about_the_pods_name() -> None:
    body = {"kind": "Status", "message": f'leases.coordination.k8s.io "a" is forbidden: {POLICY}not yours'}
    error = of_response("PUT /apis/coordination.k8s.io/v1/namespaces/a/leases/a", 403, "", json.dumps(body).encode())
    assert error.remedy == errors.FOREIGN_LEASE


def test_no_answer_is_unreachable() -> None:
    error = ApiError("GET /a: no answer in time")
    assert (error.is_answer, error.remedy) == (False, errors.UNREACHABLE)
    assert error.summary == "the API server cannot be reached"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 0), ("3", 3), ("86400", 86400), ("-1", 0), ("1.5", 0), ("٣", 0), ("Tue, 24 Nov 2026 20:00:00 GMT", 0)],
)
def test_retry_after_reads_seconds_only(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [({"kind": "Status", "code": 410}, 410), ({"code": 500}, 500), ({"code": "410"}, 502), ({}, 502), (None, 502), ([], 502)],
)  # fmt: skip
def test_error_event_keeps_its_code(status: Any, expected: int) -> None:
    error = of_status("watch /a", status)
    assert (error.status, isinstance(error, Gone)) == (expected, expected == 410)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kind", "code", "message", "metadata", "details", "causes", "reason"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(
    st.integers(300, 599),
    st.text(max_size=5),
    JSON.map(lambda found: json.dumps(found).encode()) | st.binary(max_size=20),
)
def test_any_response_is_an_error(status: int, retry_after: str, body: bytes) -> None:
    error = of_response("GET /a", status, retry_after, body)
    assert (error.status, error.retry_after >= 0) == (status, True)
    assert isinstance(of_status("watch /a", body), ApiError)
