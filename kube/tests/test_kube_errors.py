"""What a failed call means: a table of statuses, and nothing that a server sends is trusted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_kube import errors
from inferway_kube.errors import ApiError, Gone, NotFound, of_response, of_status, seconds

STATUS = {"kind": "Status", "message": "no such thing"}
POLICY = {"kind": "Status", "message": "ValidatingAdmissionPolicy 'leases' denied"}

RESPONSES: dict[str, tuple[int, Any, type[ApiError], str, bool]] = {
    "absent object": (404, STATUS, NotFound, errors.UNDEFINED, True),
    "unknown path": (404, "404 page not found", NotFound, errors.UNDEFINED, False),
    "too old": (410, STATUS, Gone, "", True),
    "conflict": (409, STATUS, ApiError, "", True),
    "no role": (403, STATUS, ApiError, errors.FORBIDDEN, True),
    "another pod's Lease": (403, POLICY, ApiError, errors.FOREIGN_LEASE, True),
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
        | st.dictionaries(st.sampled_from(["kind", "code", "message", "metadata"]), inner, max_size=3)
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
