"""Events about refusals stay within the API server's bounds, which count bytes, and are few for each object."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_operator.status import events
from inferway_operator.status.events import BURST, EVERY, MAX_NOTE, EventLimit, cut
from inferway_operator.watch.kinds import CachedObject

TEXT = st.text(st.characters() | st.sampled_from("路é😀\ud800"), max_size=600)


@given(TEXT, st.integers(3, 1100))
def test_cut_text_fits_its_bytes_and_ends_after_a_character(text: str, most: int) -> None:
    found = cut(text, most)
    whole = text.encode(errors="backslashreplace").decode()
    assert len(found.encode()) <= most
    assert found == whole or whole.startswith(found.removesuffix("..."))
    if len(whole.encode()) > most:
        assert found.endswith("...")
        assert len(found.encode()) > most - 4, "no more is cut than one character of four bytes"


@pytest.mark.parametrize("message", ["a" * 5000, "路" * 1000, "😀" * 400, "e\u0301" * 700, "\ud800" * 300, ""])
def test_event_fits_the_bounds_of_the_api_server(message: str) -> None:
    entry = CachedObject("demo", "a" * 253, "1", "7", 1, None)
    condition = {"type": "Accepted", "status": "False", "reason": "Invalid", "message": message}
    found: dict[str, Any] = events.event("GatewayRoute", entry, condition, datetime(2026, 1, 1, tzinfo=UTC))
    assert len(found["note"].encode()) <= MAX_NOTE
    assert len(found["metadata"]["name"]) <= 253
    assert all(
        len(found[field].encode()) <= 128 for field in ("reason", "action", "reportingController", "reportingInstance")
    )


def test_event_limit_bounds_each_object() -> None:
    limit = EventLimit()
    assert [limit.may_create("a", 0.0) for _ in range(BURST + 1)] == [True] * BURST + [False]
    assert limit.may_create("b", 0.0)
    assert [limit.may_create("a", EVERY), limit.may_create("a", EVERY)] == [True, False]
    limit.keep({"b"})
    assert limit.may_create("a", EVERY)
