"""The readable parts of invalid matches and hostnames: nothing readable is left out, what is unreadable fits everything."""

from typing import Any

import pytest

from inferway_contract.resources.matches import HeaderMatch, Match, PathMatch
from inferway_operator.world import partial_hostnames, partial_matches
from inferway_operator.world.objects import PartialMatch


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"path": {"value": "/a"}}, Match(path=PathMatch(value="/a"))),
        ({}, Match()),
        ("text", PartialMatch(path=PathMatch())),
        ({"pathh": {"value": "/a"}}, PartialMatch(path=None)),
        ({"path": "/a"}, PartialMatch(path=None, path_value="/a")),
        ({"path": {"value": 7}}, PartialMatch(path=None, path_type="PathPrefix")),
        ({"path": {"value": "/a", "type": "Prefix"}}, PartialMatch(path=None, path_value="/a")),
        ({"path": {"value": "/a", "kind": "Exact"}}, PartialMatch(path=None, path_value="/a")),
        ({"path": {"value": "a", "type": "Exact"}}, PartialMatch(path=None, path_value="a", path_type="Exact")),
        ({"method": "get"}, PartialMatch(path=PathMatch(), has_method=True)),
        (
            {"method": "GET", "headers": [{"name": "x-a", "value": "1"}, {"name": "x b", "value": "1"}]},
            PartialMatch(
                path=PathMatch(), method="GET", has_method=True, header_count=2,
                headers=(HeaderMatch(name="x-a", value="1"),),
            ),
        ),
        ({"queryParams": [{"name": "q"}]}, PartialMatch(path=PathMatch(), query_count=1)),
        ({"headers": "x"}, PartialMatch(path=PathMatch())),
    ],
)  # fmt: skip
def test_match_is_read_as_far_as_possible(raw: Any, expected: object) -> None:
    assert partial_matches.read([raw]) == ((0, expected),)


@pytest.mark.parametrize("raw", [None, "text", 7, [], {}])
def test_matches_that_are_no_list_fit_every_request(raw: Any) -> None:
    assert partial_matches.read(raw) == ((0, Match()),)


def test_single_match_without_its_dash_is_read() -> None:
    assert partial_matches.read({"path": {"value": "/a"}}) == ((0, Match(path=PathMatch(value="/a"))),)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ([], ()),
        (["a.example.com", "a.example.com"], ("a.example.com",)),
        (["A.Example.COM"], ("a.example.com",)),
        (["https://u@A.example.com.:8443/x?y#z"], ("a.example.com",)),
        ([" a.example.com "], ("a.example.com",)),
        (["*.A.example.com:80"], ("*.a.example.com",)),
        (["a_b.example.com"], ("*.example.com",)),
        (["*.*.example.com"], ("*.example.com",)),
        (["a..example.com"], ("*.example.com",)),
        (["*", "a.example.com"], ()),
        ("a.example.com", ("a.example.com",)),
        ([7, "a.example.com"], ("a.example.com",)),
        ([7], None),
        (["_"], None),
        ([""], None),
        ({}, None),
        (None, None),
    ],
)
def test_hostname_is_read_in_its_closest_valid_form(raw: Any, expected: tuple[str, ...] | None) -> None:
    assert partial_hostnames.read(raw) == expected
