"""Problems, methods, and addresses that the gateway never connects to."""

import json
import re
from typing import get_args

import pytest

from inferway_contract.resources.matches import Method
from inferway_dataplane.core import addresses
from inferway_dataplane.core.messages import methods, problems
from inferway_dataplane.core.messages.problems import Problem

ALL = {name: value for name, value in vars(problems).items() if isinstance(value, Problem)}


@pytest.mark.parametrize("problem", ALL.values(), ids=ALL)
def test_every_problem_is_well_formed(problem: Problem) -> None:
    content = json.loads(problems.body(problem, b"abc"))
    assert content == {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "requestId": "abc",
    }
    assert re.fullmatch(r"[a-z_]+", problem.code)
    assert 400 <= problem.status < 600
    assert problem.detail.endswith(".")


def test_codes_are_distinct() -> None:
    codes = [problem.code for problem in ALL.values()]
    assert len(set(codes)) == len(codes)


def test_what_cannot_be_read_closes_the_connection() -> None:
    for problem in ALL.values():
        if problem.status in (413, 414, 417, 431, 501, 505):
            assert problem.closes, problem


def test_extra_members_join_the_body() -> None:
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
def test_p3_which_refusal_a_coding_gets(value: bytes, code: str) -> None:
    assert problems.transfer_coding(value).code == code


ADDRESSES = {  # address -> allowed in a cluster, allowed standalone
    "10.1.2.3": (True, True),
    "203.0.113.1": (True, True),
    "2001:db8::1": (True, True),
    "fd00::1": (True, True),
    "::ffff:10.1.2.3": (True, True),
    "127.0.0.1": (False, True),
    "127.8.9.1": (False, True),
    "::1": (False, True),
    "::ffff:127.0.0.1": (False, True),
    "169.254.169.254": (False, False),
    "169.254.0.1": (False, False),
    "::ffff:169.254.169.254": (False, False),
    "fe80::1": (False, False),
    "fe80::1%eth0": (False, False),
    "0.0.0.0": (False, False),
    "::": (False, False),
    "::ffff:0.0.0.0": (False, False),
    "224.0.0.1": (False, False),
    "ff02::1": (False, False),
    "64:ff9b::8.8.8.8": (True, True),
    "64:ff9b::127.0.0.1": (False, True),
    "64:ff9b::a9fe:a9fe": (False, False),
    "64:ff9b:1::a9fe:a9fe": (True, True),  # not the well-known prefix: its meaning is unknown
}


@pytest.mark.parametrize(("address", "allowed"), ADDRESSES.items(), ids=ADDRESSES)
def test_x1_addresses(address: str, allowed: tuple[bool, bool]) -> None:
    assert (addresses.is_allowed(address, "Cluster"), addresses.is_allowed(address, "Standalone")) == allowed


def test_methods_are_those_that_resources_may_name() -> None:
    assert sorted(methods.METHODS) == sorted(method.encode() for method in get_args(Method))
    assert methods.ALLOW.decode() == problems.METHOD_NOT_ALLOWED.allow == "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
