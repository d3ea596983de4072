"""Problems, methods, and addresses that the gateway never connects to."""

import json
import re
from http import HTTPStatus
from typing import get_args

import pytest

from inferway_contract.resources.matches import Method
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem

ALL = {name: value for name, value in vars(problems).items() if isinstance(value, Problem)}


@pytest.mark.parametrize("problem", ALL.values(), ids=ALL)
def test_every_problem_is_well_formed(problem: Problem) -> None:
    content = json.loads(problems.body(problem, b"abc"))
    assert content == {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "requestId": "abc",
    }
    assert re.fullmatch(r"[a-z_]+", problem.code)
    assert 400 <= problem.status < 600
    assert problem.detail.endswith(".")


def test_only_registered_problem_types_have_their_own_title() -> None:
    plain = [problem for problem in ALL.values() if problem.type == "about:blank"]
    assert len(plain) == len(ALL) - 1
    assert all(problem.title == HTTPStatus(problem.status).phrase for problem in plain)
    limited = problems.RATE_LIMITED
    assert limited.type == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert limited.title == "Quota Exceeded"


def test_problem_codes_are_distinct() -> None:
    codes = [problem.code for problem in ALL.values()]
    assert len(set(codes)) == len(codes)


def test_problems_of_unreadable_requests_close_the_connection() -> None:
    for problem in ALL.values():
        if problem.status in (413, 414, 417, 431, 501, 505):
            assert problem.closes, problem


def test_problem_body_contains_extra_members() -> None:
    content = json.loads(problems.body(problems.RATE_LIMITED, b"abc", {"limit": "global", "retryAfter": 3}))
    assert (content["limit"], content["retryAfter"], content["code"]) == ("global", 3, "rate_limited")


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"gzip", "unsupported_coding"),
        (b"gzip, chunked", "unsupported_coding"),
        (b"GZIP ,\tchunked", "unsupported_coding"),
        (b"identity", "unsupported_coding"),
        (b"chunked, chunked", "bad_transfer_encoding"),
        (b"", "bad_transfer_encoding"),
        (b",", "bad_transfer_encoding"),
        (b"chunked,", "bad_transfer_encoding"),
        (b"chun ked", "bad_transfer_encoding"),
        (b"chunked\x00", "bad_transfer_encoding"),
    ],
)
def test_p3_transfer_coding_problem_depends_on_the_coding(value: bytes, code: str) -> None:
    assert problems.transfer_coding(value).code == code


def test_methods_are_those_that_resources_may_name() -> None:
    assert sorted(problems.METHODS) == sorted(method.encode() for method in get_args(Method))
