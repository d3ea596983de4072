"""The corpus over real sockets: whole, and one byte at a time. A `known` case must fail until the gateway is fixed."""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest
import uvloop
from corpus import run, running
from corpus.cases import RequestCase, ResponseCase, request_cases, response_cases
from corpus.recorder import Recorder
from corpus.running import Result

pytestmark = pytest.mark.outside

REQUESTS = request_cases()
RESPONSES = response_cases()

C = TypeVar("C", RequestCase, ResponseCase)
Both = tuple[dict[str, Result], dict[str, Result]]


def as_parameters(cases: Sequence[C]) -> list[object]:
    """Return parameters: a `known` case is a strict xfail; a source like `case P9` becomes the mark `case`."""
    parameters = []
    for case in cases:
        marks = [pytest.mark.case(name) for name in re.findall(r"\b[Cc]ases? ([A-Z]\d+)\b", case.source)]
        if case.known:
            marks.append(pytest.mark.xfail(reason=case.known))
        parameters.append(pytest.param(case, id=case.id, marks=marks))
    return parameters


async def _put_requests(*, is_bytewise: bool) -> list[Result]:
    recorder = Recorder()
    async with running.gateway(await recorder.start()) as address:
        results = await running.put_requests(REQUESTS, address, recorder, is_bytewise=is_bytewise)
    await recorder.stop()
    assert recorder.strays == []
    return results


def _both(put: Callable[[bool], Sequence[Result]]) -> Both:
    whole, bytewise = ({result.case.id: result for result in put(is_bytewise)} for is_bytewise in (False, True))
    return whole, bytewise


@pytest.fixture(scope="module")
def requests() -> Both:
    """What became of every request case, sent in both ways."""
    return _both(lambda is_bytewise: uvloop.run(_put_requests(is_bytewise=is_bytewise)))


@pytest.fixture(scope="module")
def responses() -> Both:
    """What became of every response case, sent in both ways."""
    return _both(lambda is_bytewise: uvloop.run(running.put_responses(RESPONSES, is_bytewise=is_bytewise)))


@pytest.mark.parametrize("case", as_parameters(REQUESTS))
def test_corpus_request_passes_whole_and_bytewise(requests: Both, case: RequestCase) -> None:
    assert [result[case.id].wrong for result in requests] == ["", ""]


@pytest.mark.parametrize("case", as_parameters(RESPONSES))
def test_corpus_response_passes_whole_and_bytewise(responses: Both, case: ResponseCase) -> None:
    assert [result[case.id].wrong for result in responses] == ["", ""]


def test_corpus_causes_no_errors_of_the_gateway(requests: Both) -> None:
    erred = [result.case.id for results in requests for result in results.values() if run.own_errors(result)]
    assert erred == []


def test_corpus_has_its_documented_size() -> None:
    assert len(REQUESTS) >= 350
    assert len(RESPONSES) >= 80
    assert sum(case.is_legal for case in REQUESTS) >= 100
    ids = [case.id for case in (*REQUESTS, *RESPONSES)]
    assert len(ids) == len(set(ids))
