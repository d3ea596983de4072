"""Lists and events: tables of what is one and what is not."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_kube import events
from inferway_kube.errors import ApiError, Gone

OBJECT = {"metadata": {"name": "a", "uid": "1", "resourceVersion": "7"}}


def written(value: Any) -> bytes:
    """As a server sends it."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def listed(*items: Any, **metadata: Any) -> dict[str, Any]:
    """A list's answer."""
    return {"kind": "ThingList", "metadata": {"resourceVersion": "9", **metadata}, "items": list(items)}


def test_page_has_items_version_and_continuation() -> None:
    managed = {"metadata": {**OBJECT["metadata"], "managedFields": [{"manager": "kubectl"}]}}
    page = events.page("GET /a", written(listed(managed, **{"continue": "abc"})))
    assert (page.items, page.version, page.continuation) == ([OBJECT], "9", "abc")


def test_page_without_items_is_empty() -> None:
    assert events.page("GET /a", written({**listed(), "items": None})).items == []


NO_LISTS = {
    "page": b"<html>",
    "empty": b"",
    "array": [],
    "text": '"List"',
    "status": {"kind": "Status", "metadata": {}, "message": "no"},
    "object": {"kind": "Thing", **OBJECT},
    "no version": {"kind": "ThingList", "metadata": {}, "items": []},
    "no metadata": {"kind": "ThingList", "items": []},
    "items are none": {**listed(), "items": "none"},
    "item without uid": listed({"metadata": {"name": "a", "resourceVersion": "7"}}),
    "item is none": listed(None),
    "half": json.dumps(listed(OBJECT)).encode()[:-5],
}


@pytest.mark.parametrize("answer", NO_LISTS.values(), ids=NO_LISTS)
def test_page_refuses_what_is_not_a_list(answer: Any) -> None:
    with pytest.raises(ApiError, match="GET /a") as caught:
        events.page("GET /a", written(answer))
    assert caught.value.is_answer


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED"])
def test_event_of_a_change(kind: str) -> None:
    event = events.event("watch /a", written({"type": kind, "object": OBJECT}))
    assert (event.type, event.manifest, event.version) == (kind, OBJECT, "7")


def test_event_bookmark_needs_only_a_version() -> None:
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "8"}}}
    assert events.event("watch /a", written(bookmark)).version == "8"


NO_EVENTS = {
    "page": b"<html>",
    "blank": b"\n",
    "array": [],
    "no object": {"type": "ADDED"},
    "empty object": {"type": "ADDED", "object": {}},
    "unknown type": {"type": "REPLACED", "object": OBJECT},
    "bookmark without version": {"type": "BOOKMARK", "object": {"metadata": {}}},
    "type is a list": {"type": ["ADDED"], "object": OBJECT},
    "error of 500": {"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "sorry"}},
    "error of nothing": {"type": "ERROR", "object": None},
}


@pytest.mark.parametrize("line", NO_EVENTS.values(), ids=NO_EVENTS)
def test_event_refuses_what_is_not_one(line: Any) -> None:
    with pytest.raises(ApiError) as caught:
        events.event("watch /a", written(line))
    assert not isinstance(caught.value, Gone)
    assert caught.value.is_answer


def test_event_of_410_is_gone() -> None:
    with pytest.raises(Gone):
        events.event("watch /a", written({"type": "ERROR", "object": {"kind": "Status", "code": 410}}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["ADDED", "ERROR", "BOOKMARK", "7"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "object", "metadata", "items", "name", "uid", "resourceVersion", "kind"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON.map(written) | st.binary(max_size=30))
def test_any_line_is_an_event_or_an_error(line: bytes) -> None:
    for parse in (events.event, events.page):
        with contextlib.suppress(ApiError):  # and nothing else
            parse("GET /a", line)
