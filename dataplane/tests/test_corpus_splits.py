"""The corpus without sockets: how bytes arrive, and what the memos know, never changes what becomes of a message."""

from itertools import pairwise

import pytest
from corpus import client, wires
from corpus.cases import RequestCase, ResponseCase, request_cases, response_cases
from corpus.judging import Observed, check_request, check_response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inferway_dataplane.engine.http1.head_cache import HeadCache
from inferway_testing.examples import examples

REQUESTS = [case for case in request_cases() if not case.known]
RESPONSES = [case for case in response_cases() if not case.known]
SMALL_REQUESTS = [case for case in REQUESTS if len(case.sent) < 4096]
SMALL_RESPONSES = [case for case in RESPONSES if 1 < len(case.raw) < 4096]


@pytest.mark.parametrize("case", REQUESTS, ids=lambda case: case.id)
def test_corpus_request_passes_whole_bytewise_and_cached(case: RequestCase) -> None:
    head_cache = HeadCache()
    ways = {
        "whole": wires.put_request(case, [case.sent]),
        "byte by byte": wires.put_request(case, client.pieces(case.sent, is_bytewise=True)),
        "learnt": wires.put_request(case, [case.sent], head_cache),
        "known": wires.put_request(case, [case.sent], head_cache),
    }
    assert {name: check_request(case, seen) for name, seen in ways.items()} == dict.fromkeys(ways, "")


@pytest.mark.parametrize("case", RESPONSES, ids=lambda case: case.id)
def test_corpus_response_passes_whole_and_bytewise(case: ResponseCase) -> None:
    for is_bytewise in (False, True):
        seen, is_link_closed = wires.put_response(case, list(client.pieces(case.raw, is_bytewise=is_bytewise)))
        assert check_response(case, seen, is_link_closed=is_link_closed) == "", is_bytewise


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces, cut at these places."""
    ends = [0, *sorted({place % len(data) for place in places} - {0}), len(data)] if data else [0]
    return [data[start:end] for start, end in pairwise(ends)]


PLACES = st.lists(st.integers(0, 4095), max_size=12)
QUICK = settings(max_examples=examples(1500), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def observed_effects(seen: Observed) -> tuple[list[int], bool, list[tuple[str, str, bytes]]]:
    """What a client and an upstream notice: statuses, the close, the whole requests."""
    whole = [(one.method, one.target, one.body) for one in seen.forwarded if one.is_whole]
    return seen.statuses, seen.is_closed, whole


@QUICK
@given(case=st.sampled_from(SMALL_REQUESTS), places=PLACES)
def test_corpus_request_split_anywhere_has_the_same_result(case: RequestCase, places: list[int]) -> None:
    seen = wires.put_request(case, cut(case.sent, places))
    assert check_request(case, seen) == ""
    assert observed_effects(seen) == observed_effects(wires.put_request(case, [case.sent]))


@QUICK
@given(case=st.sampled_from(SMALL_RESPONSES), places=PLACES)
def test_corpus_response_split_anywhere_has_the_same_result(case: ResponseCase, places: list[int]) -> None:
    seen, is_link_closed = wires.put_response(case, cut(case.raw, places))
    assert check_response(case, seen, is_link_closed=is_link_closed) == ""
