"""The corpus without sockets: how bytes arrive, and what the memos know, never changes what becomes of a message."""

from itertools import pairwise

import pytest
from corpus import client, wires
from corpus.cases import RequestCase, ResponseCase, request_cases, response_cases
from corpus.judging import Observed, judge_request, judge_response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inferway_dataplane.engine.http1.head_cache import HeadCache
from inferway_testing.examples import examples

REQUESTS = [case for case in request_cases() if not case.known]
RESPONSES = [case for case in response_cases() if not case.known]
SMALL_REQUESTS = [case for case in REQUESTS if len(case.sent) < 4096]
SMALL_RESPONSES = [case for case in RESPONSES if 1 < len(case.raw) < 4096]


@pytest.mark.parametrize("case", REQUESTS, ids=lambda case: case.id)
def test_a_request_has_its_verdict_whole_byte_by_byte_and_known(case: RequestCase) -> None:
    head_cache = HeadCache()
    ways = {
        "whole": wires.put_request(case, [case.sent]),
        "byte by byte": wires.put_request(case, client.pieces(case.sent, is_bytewise=True)),
        "learnt": wires.put_request(case, [case.sent], head_cache),
        "known": wires.put_request(case, [case.sent], head_cache),
    }
    assert {name: judge_request(case, seen) for name, seen in ways.items()} == dict.fromkeys(ways, "")


@pytest.mark.parametrize("case", RESPONSES, ids=lambda case: case.id)
def test_a_response_has_its_fate_whole_and_byte_by_byte(case: ResponseCase) -> None:
    for is_bytewise in (False, True):
        seen, is_link_closed = wires.put_response(case, list(client.pieces(case.raw, is_bytewise=is_bytewise)))
        assert judge_response(case, seen, is_link_closed=is_link_closed) == "", is_bytewise


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces, cut at these places."""
    ends = [0, *sorted({place % len(data) for place in places} - {0}), len(data)] if data else [0]
    return [data[start:end] for start, end in pairwise(ends)]


PLACES = st.lists(st.integers(0, 4095), max_size=12)
QUICK = settings(max_examples=examples(1500), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def told(seen: Observed) -> tuple[list[int], bool, list[tuple[str, str, bytes]]]:
    """What a client and an upstream notice: statuses, the close, the whole requests."""
    whole = [(one.method, one.target, one.body) for one in seen.asked if one.is_whole]
    return seen.statuses, seen.is_closed, whole


@QUICK
@given(case=st.sampled_from(SMALL_REQUESTS), places=PLACES)
def test_no_way_to_cut_a_request_changes_what_becomes_of_it(case: RequestCase, places: list[int]) -> None:
    seen = wires.put_request(case, cut(case.sent, places))
    assert judge_request(case, seen) == ""
    assert told(seen) == told(wires.put_request(case, [case.sent]))


@QUICK
@given(case=st.sampled_from(SMALL_RESPONSES), places=PLACES)
def test_no_way_to_cut_a_response_changes_what_becomes_of_it(case: ResponseCase, places: list[int]) -> None:
    seen, is_link_closed = wires.put_response(case, cut(case.raw, places))
    assert judge_response(case, seen, is_link_closed=is_link_closed) == ""
