"""The rule of a request: host, path, method, headers, query, and their order of precedence."""

from __future__ import annotations

import json

import pytest

from inferway_fakes.yaml_builders import direct_response, resources, route, rule


def matched_rule(gateway, path="/", method="GET", **headers):
    """Return the rule that answered, or the code of a problem."""
    answer = gateway.request(path, method, **headers)
    return answer.body.decode() if answer.status == 200 else json.loads(answer.body)["code"]


# --- hosts --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hosts(serve):
    """Start a gateway with an exact host, two wildcards of different depth, and a route for any host."""
    return serve(
        resources(
            route(rule(direct_response("any")), name="any"),
            route(rule(direct_response("wildcard")), name="wildcard", hostnames=["*.example.com"]),
            route(rule(direct_response("deeper")), name="deeper", hostnames=["*.models.example.com"]),
            route(
                rule("matches: [{path: {value: /only}}]", direct_response("exact")),
                name="exact",
                hostnames=["api.example.com"],
            ),
        )
    )


@pytest.mark.parametrize(
    ("host", "winner"),
    [
        ("api.example.com", "exact"),
        ("API.Example.COM", "exact"),
        ("api.example.com:8080", "exact"),
        ("other.example.com", "wildcard"),
        ("a.b.example.com", "wildcard"),
        ("a.models.example.com", "deeper"),
        ("models.example.com", "wildcard"),
        ("example.com", "any"),
        ("notexample.com", "any"),
        ("api.example.com.evil.test", "any"),
    ],
)
def test_the_most_specific_host_wins(hosts, host, winner):
    assert matched_rule(hosts, "/only", host=host) == winner


def test_unmatched_request_falls_through_to_a_wider_host(hosts):
    assert matched_rule(hosts, "/only", host="api.example.com") == "exact"
    assert matched_rule(hosts, "/else", host="api.example.com") == "wildcard"


def test_host_without_a_route_is_answered_404(serve):
    gateway = serve(route(rule(direct_response("mine")), hostnames=["mine.test"]))
    assert matched_rule(gateway, host="mine.test") == "mine"
    assert matched_rule(gateway, host="yours.test") == "no_route"
    assert gateway.request(host="yours.test").status == 404


def test_authority_of_an_absolute_target_is_the_host(hosts):
    data = hosts.raw(b"GET http://api.example.com/only HTTP/1.1\r\nhost: other.test\r\nconnection: close\r\n\r\n")
    assert data.endswith(b"exact")


# --- paths --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def paths(serve):
    """Start a gateway with one rule for each type of path."""
    return serve(
        route(
            rule("matches: [{path: {type: Exact, value: /exact}}]", direct_response("exact")),
            rule("matches: [{path: {type: PathPrefix, value: /prefix}}]", direct_response("prefix")),
            rule("matches: [{path: {value: /prefix/longer/}}]", direct_response("longer")),
            rule("matches: [{path: {type: RegularExpression, value: '/v[0-9]+/(a|b)'}}]", direct_response("regex")),
            rule("matches: [{path: {value: /a b/ü}}]", direct_response("decoded")),
        )
    )


@pytest.mark.parametrize(
    ("path", "winner"),
    [
        ("/exact", "exact"),
        ("/exact?x=1", "exact"),
        ("/exact/", "no_route"),
        ("/exact/more", "no_route"),
        ("/prefix", "prefix"),
        ("/prefix/", "prefix"),
        ("/prefix/more", "prefix"),
        ("/prefixed", "no_route"),
        ("/prefix/longer", "longer"),
        ("/prefix/longer/still", "longer"),
        ("/prefix/longest", "prefix"),
        ("/v1/a", "regex"),
        ("/v12/b", "regex"),
        ("/v1/a/more", "no_route"),
        ("/x/v1/a", "no_route"),
        ("/v1/ab", "no_route"),
        ("/a%20b/%C3%BC", "decoded"),
        ("/a%20b/%c3%bc/c", "decoded"),
        ("/%65xact", "exact"),
        ("/Exact", "no_route"),
        ("//exact", "no_route"),
        ("/exact%2F", "no_route"),
    ],
)
def test_path_is_matched_by_its_type(paths, path, winner):
    assert matched_rule(paths, path) == winner


@pytest.mark.parametrize(
    "path", ["/prefix/../exact", "/prefix/%2e%2E/exact", "/./exact", "/prefix/a\\b", "/prefix/%0a"]
)
def test_ambiguous_path_is_answered_400(paths, path):
    answer = paths.request(path)
    # An encoded backslash or slash is kept as written; a plain one is rejected.
    assert (answer.status, json.loads(answer.body)["code"]) == (400, "ambiguous_path")


# --- method, headers, query -----------------------------------------------------------------------------------------------


def test_method_restricts_a_match(serve):
    gateway = serve(route(rule("matches: [{method: POST}]", direct_response("post")), rule(direct_response("rest"))))
    assert matched_rule(gateway, method="POST") == "post"
    assert matched_rule(gateway, method="GET") == "rest"
    assert matched_rule(gateway, method="PUT") == "rest"


def test_all_headers_must_match_exactly_or_by_whole_pattern(serve):
    gateway = serve(
        route(
            rule(
                """
                matches:
                - headers:
                  - {name: X-Tenant, value: a}
                  - {name: x-version, type: RegularExpression, value: "v[0-9]+"}
                """,
                direct_response("both"),
            ),
            rule("matches: [{headers: [{name: x-tenant, value: a}]}]", direct_response("tenant")),
            rule(direct_response("rest")),
        )
    )
    assert matched_rule(gateway, x_tenant="a", x_version="v12") == "both"
    assert matched_rule(gateway, x_tenant="a", x_version="v12-beta") == "tenant"
    assert matched_rule(gateway, x_tenant="a", x_version="xv12") == "tenant"
    assert matched_rule(gateway, x_tenant="A") == "rest"
    assert matched_rule(gateway, x_version="v12") == "rest"
    assert matched_rule(gateway) == "rest"


def test_repeated_header_fields_are_matched_joined(serve):
    gateway = serve(route(rule("matches: [{headers: [{name: x-tag, value: 'a, b'}]}]", direct_response("joined"))))
    head = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    assert gateway.raw(head + b"x-tag: a\r\nX-Tag: b\r\n\r\n").endswith(b"joined")
    assert b" 404 " in gateway.raw(head + b"x-tag: a\r\n\r\n")


def test_query_parameter_is_matched_by_its_decoded_first_value(serve):
    gateway = serve(
        route(
            rule("matches: [{queryParams: [{name: v, value: 'a b'}]}]", direct_response("exact")),
            rule(
                "matches: [{queryParams: [{name: v, type: RegularExpression, value: '[0-9]+'}]}]",
                direct_response("digits"),
            ),
            rule(direct_response("rest")),
        )
    )
    assert matched_rule(gateway, "/?v=a%20b") == "exact"
    assert matched_rule(gateway, "/?x=1&v=a+b") == "exact"
    assert matched_rule(gateway, "/?v=12") == "digits"
    assert matched_rule(gateway, "/?v=12x") == "rest"
    assert matched_rule(gateway, "/?v=x&v=12") == "rest"
    assert matched_rule(gateway, "/?V=12") == "rest"
    assert matched_rule(gateway, "/?%76=12") == "digits"
    assert matched_rule(gateway) == "rest"


def test_matches_of_one_rule_are_alternatives(serve):
    gateway = serve(
        route(
            rule(
                "matches: [{path: {value: /a}, method: GET}, {path: {value: /b}, method: POST}]", direct_response("one")
            )
        )
    )
    assert matched_rule(gateway, "/a") == "one"
    assert matched_rule(gateway, "/b", "POST") == "one"
    assert matched_rule(gateway, "/a", "POST") == "no_route"
    assert matched_rule(gateway, "/b") == "no_route"


# --- precedence -----------------------------------------------------------------------------------------------------------


# Each pair: the loser, the winner. The loser is written first, so that the written order does not decide.
@pytest.mark.parametrize(
    ("loser", "winner", "path"),
    [
        ("{path: {type: RegularExpression, value: '/a/b+'}}", "{path: {type: Exact, value: /a/b}}", "/a/b"),
        ("{path: {type: PathPrefix, value: /a/b/c/d}}", "{path: {type: RegularExpression, value: '/a.*'}}", "/a/b/c/d"),
        (
            "{path: {type: RegularExpression, value: '/.*'}}",
            "{path: {type: RegularExpression, value: '/a/.*'}}",
            "/a/b",
        ),
        ("{path: {value: /a}}", "{path: {value: /a/b}}", "/a/b/c"),
        ("{headers: [{name: x-one, value: '1'}, {name: x-two, value: '2'}]}", "{method: GET}", "/"),
        ("{method: GET}", "{method: GET, headers: [{name: x-one, value: '1'}]}", "/"),
        ("{queryParams: [{name: q, value: '1'}]}", "{headers: [{name: x-one, value: '1'}]}", "/?q=1"),
        ("{headers: [{name: x-one, value: '1'}]}", "{headers: [{name: x-one, value: '1'}], method: GET}", "/"),
        (
            "{headers: [{name: x-one, value: '1'}]}",
            "{headers: [{name: x-one, value: '1'}, {name: x-two, value: '2'}]}",
            "/",
        ),
        ("{}", "{queryParams: [{name: q, value: '1'}]}", "/?q=1"),
        ("{path: {value: /a}, method: GET}", "{path: {value: /a/b}}", "/a/b"),
    ],
)
def test_more_specific_match_wins_in_any_order(serve, loser, winner, path):
    gateway = serve(
        route(
            rule(f"matches: [{loser}]", direct_response("loser")),
            rule(f"matches: [{winner}]", direct_response("winner")),
        )
    )
    assert matched_rule(gateway, path, x_one="1", x_two="2") == "winner"


def test_equal_matches_are_ordered_by_age_name_and_position(serve):
    gateway = serve(
        resources(
            route(
                rule("matches: [{path: {value: /age}}]", direct_response("young")),
                rule("matches: [{path: {value: /name}}]", direct_response("b")),
                name="b",
                created="2026-01-02T00:00:00Z",
            ),
            route(
                rule("matches: [{path: {value: /age}}]", direct_response("old")),
                name="z-old",
                created="2026-01-01T00:00:00Z",
            ),
            route(
                rule("matches: [{path: {value: /name}}]", direct_response("a")),
                rule("matches: [{path: {value: /name}}]", direct_response("second rule")),
                name="a",
                created="2026-01-02T00:00:00Z",
            ),
        )
    )
    assert matched_rule(gateway, "/age") == "old"
    assert matched_rule(gateway, "/name") == "a"


def test_host_precedes_the_path_in_specificity(serve):
    gateway = serve(
        resources(
            route(rule("matches: [{path: {type: Exact, value: /a}}]", direct_response("any host")), name="any"),
            route(rule(direct_response("own host")), name="own", hostnames=["own.test"]),
        )
    )
    assert matched_rule(gateway, "/a", host="own.test") == "own host"
    assert matched_rule(gateway, "/a", host="other.test") == "any host"


# --- paths that can be read in two ways ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "outcome"),
    [
        ("/admin/keys", "admin"),
        ("/admin%2Fkeys", "ambiguous_path"),
        ("/admin;x=1/keys", "ambiguous_path"),
        ("/models/..;/admin/keys", "ambiguous_path"),
        ("/models/meta-llama%2FLlama-3", "models"),
        ("/models/llama;v=2", "models"),
    ],
)
def test_path_that_may_mean_another_rule_is_refused(serve, path, outcome):
    gateway = serve(
        resources(
            route(
                rule("matches: [{path: {value: /admin}}]", direct_response("admin")),
                rule("matches: [{path: {value: /models}}]", direct_response("models")),
            )
        )
    )
    assert matched_rule(gateway, path) == outcome
