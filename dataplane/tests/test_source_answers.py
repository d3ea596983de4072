"""What an API server, or something else at its address, may answer: each answer is an event or told, never a mistake."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_dataplane.sources.api import Gone, IndexEvent, Missing, Unavailable
from inferway_dataplane.sources.api_responses import event, failure

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "object", "metadata", "resourceVersion", "data", "code"]), inner)
    ),
    max_leaves=8,
)


def line(kind: str, **found: object) -> bytes:
    """Of a watch."""
    return json.dumps({"type": kind, "object": found}).encode()


VERSION = {"resourceVersion": "7"}


def test_the_events_of_a_watch() -> None:
    assert event(line("ADDED", metadata=VERSION, data={"index": "{}"})) == IndexEvent("7", "{}")
    assert event(line("MODIFIED", metadata=VERSION)) == IndexEvent("7", None)
    assert event(line("DELETED", metadata=VERSION, data={"index": "{}"})) == IndexEvent("7", None)
    assert event(line("BOOKMARK", metadata=VERSION)) == IndexEvent("7", None, is_bookmark=True)
    with pytest.raises(Gone):
        event(line("ERROR", code=410))
    with pytest.raises(Unavailable, match="the watch ended with 500: etcd is away"):
        event(line("ERROR", code=500, message="etcd is away"))


@given(st.binary(max_size=30) | JSON.map(lambda found: json.dumps(found).encode()))
def test_anything_else_is_an_answer_that_is_no_event(content: bytes) -> None:
    told = outcome(content)
    assert told is None or isinstance(told, Gone) or told.is_answer


def outcome(content: bytes) -> Unavailable | Gone | None:
    """How reading a line fails; None = it does not. Any other exception is a mistake."""
    try:
        event(content)
    except (Unavailable, Gone) as error:
        return error
    return None


def test_refusals_by_status() -> None:
    assert isinstance(failure(404, "", b""), Missing)
    assert isinstance(failure(410, "", b""), Gone)
    for retry_after, seconds in {"": 0.0, "3": 3.0, "-1": 0.0, "Tue, 24 Nov 2026 00:00:00 GMT": 0.0}.items():
        told = failure(429, retry_after, b'{"message": "slow down"}')
        assert isinstance(told, Unavailable)
        assert (str(told), told.retry_after, told.is_answer) == ("it answers 429: slow down", seconds, True)
    for body in (b"<html>", b"[]", b"null", b"\xff"):
        assert str(failure(502, "", body)) == "it answers 502: (no Status)"
