"""Stored answers, their keys and lifetimes, and answers that are never stored (RFC 9111, as a shared cache)."""

from __future__ import annotations

import http.client
from itertools import count

import pytest

from inferway_fakes.upstream import Close, Pause
from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import policy, resources, route, rule, to
from inferway_testing.until import until


def cached_route(port, settings="ttl: 1h"):
    """Return a route with a cache."""
    return route(rule(f"cache: {{{settings}}}", to(port)))


@pytest.fixture
def numbered_responses(upstream):
    """Make the upstream answer with a growing number, and with these headers and this status."""

    def script(status="200 OK", **headers):
        numbers = count(1)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        upstream.script = lambda seen: reply(b"%d" % next(numbers), status, fields)

    script()
    return script


def outcomes(gateway, times=2, path="/", method="GET", **headers):
    """Return the cache's outcomes of `times` requests."""
    return [gateway.request(path, method, **headers).headers["x-cache"] for _ in range(times)]


# --- hits and misses ------------------------------------------------------------------------------------------------------


def test_first_request_is_a_miss_and_the_next_a_hit(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port))
    numbered_responses(x_own="kept", content_type="text/fancy")
    first, second = gateway.request("/a?b=1"), gateway.request("/a?b=1")
    assert (first.headers["x-cache"], second.headers["x-cache"]) == ("MISS", "HIT")
    assert first.body == second.body == b"1"
    assert len(upstream.seen) == 1
    for name in ("x-own", "content-type", "date", "content-length"):
        assert second.headers[name] == first.headers[name]
    assert first.headers["age"] is None
    assert int(second.headers["age"]) in (0, 1)
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert gateway.metric("cache_hits_total", route="default/demo", kind="fresh") == 1
    assert gateway.metric("cache_misses_total", route="default/demo") == 1
    assert gateway.metric("cache_entries") == 1


def test_age_includes_the_age_of_the_upstream_response(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port))
    numbered_responses(age="100", cache_control="max-age=1000")
    assert gateway.request().headers["age"] == "100"
    assert int(gateway.request().headers["age"]) in (100, 101)


def test_response_expires_after_its_ttl(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port, "ttl: 1s"))
    assert outcomes(gateway) == ["MISS", "HIT"]
    until(lambda: outcomes(gateway, 1) == ["MISS"], "the answer to be stale", 2.0)
    assert outcomes(gateway, 1) == ["HIT"]
    assert len(upstream.seen) == 2


def test_max_age_overrides_ttl_up_to_max_ttl(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port, "ttl: 1h, maxTtl: 1s"))
    numbered_responses(cache_control="max-age=3600")
    assert outcomes(gateway) == ["MISS", "HIT"]
    until(lambda: outcomes(gateway, 1) == ["MISS"], "the answer to be stale", 2.0)


def test_without_ttl_only_explicit_freshness_is_stored(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port, "maxTtl: 1h"))
    assert outcomes(gateway, path="/silent") == ["MISS", "MISS"]
    numbered_responses(cache_control="max-age=60")
    assert outcomes(gateway, path="/max-age") == ["MISS", "HIT"]
    numbered_responses(expires="Thu, 01 Jan 2099 00:00:00 GMT")
    assert outcomes(gateway, path="/expires") == ["MISS", "HIT"]


# --- what the origin forbids --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"cache_control": "no-store"},
        {"cache_control": "private"},
        {"cache_control": 'private="x-own", max-age=60'},
        {"cache_control": "max-age=0"},
        {"cache_control": "max-age=60, s-maxage=0"},
        {"cache_control": "max-age=60, NO-STORE"},
        {"cache_control": "max-age=abc"},
        {"expires": "0"},
        {"expires": "Thu, 01 Jan 1970 00:00:00 GMT"},
        pytest.param({"set_cookie": "session=1", "cache_control": "max-age=60"}, marks=pytest.mark.case("C3")),
        {"vary": "*"},
        {"vary": "accept, *"},
        {"age": "7200", "cache_control": "max-age=3600"},
    ],
    ids=str,
)
def test_uncacheable_response_is_not_stored(serve, upstream, numbered_responses, headers):
    gateway = serve(cached_route(upstream.port))
    numbered_responses(**headers)
    assert outcomes(gateway, 3) == ["MISS"] * 3
    assert len(upstream.seen) == 3


@pytest.mark.parametrize("status", ["500 Oops", "302 Found", "201 Created"])
def test_status_outside_status_codes_is_not_stored(serve, upstream, numbered_responses, status):
    gateway = serve(cached_route(upstream.port))
    numbered_responses(status)
    assert outcomes(gateway) == ["MISS", "MISS"]


def test_404_in_status_codes_is_stored(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port, "ttl: 1h, statusCodes: [200, 404]"))
    numbered_responses("404 Not Found")
    answers = [gateway.request(), gateway.request()]
    assert [(answer.status, answer.headers["x-cache"]) for answer in answers] == [(404, "MISS"), (404, "HIT")]


def test_partial_response_is_never_stored(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port))
    upstream.script = lambda seen: reply(b"he", "206 Partial Content", {"content-range": "bytes 0-1/5"})
    assert gateway.request(range="bytes=0-1").status == 206
    numbered_responses()
    answer = gateway.request()
    assert (answer.status, answer.body) == (200, b"1")


@pytest.mark.case("C4")
@pytest.mark.parametrize(
    "part",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ],
    ids=["counted", "chunked"],
)
def test_aborted_response_is_never_stored(serve, upstream, numbered_responses, part):
    gateway = serve(cached_route(upstream.port))
    upstream.script = lambda seen: [part, Pause(0.05), Close()]
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        gateway.request()
    numbered_responses()
    answer = gateway.request()
    assert (answer.headers["x-cache"], answer.body) == ("MISS", b"1")


def test_response_over_max_body_is_forwarded_and_not_stored(serve, upstream):
    gateway = serve(cached_route(upstream.port, "ttl: 1h, maxBody: 1Ki"))
    for chunked in (False, True):
        upstream.script = lambda seen, chunked=chunked: reply(bytes(1025), chunked=chunked)
        answers = [gateway.request(f"/{chunked}") for _ in range(2)]
        assert [(len(answer.body), answer.headers["x-cache"]) for answer in answers] == [(1025, "MISS")] * 2
    upstream.script = lambda seen: reply(bytes(1024), chunked=True)
    assert outcomes(gateway, path="/fits") == ["MISS", "HIT"]


def test_chunked_response_is_stored_and_sent_with_its_length(serve, upstream):
    gateway = serve(cached_route(upstream.port))
    upstream.script = lambda seen: reply(b"hello", chunked=True)
    assert gateway.request().body == b"hello"
    answer = gateway.request()
    assert (answer.headers["x-cache"], answer.headers["content-length"], answer.body) == ("HIT", "5", b"hello")
    assert answer.headers["transfer-encoding"] is None


# --- what the request forbids -------------------------------------------------------------------------------------------------


def test_no_store_request_bypasses_the_cache(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port))
    assert outcomes(gateway, 2, cache_control="no-store") == ["BYPASS", "BYPASS"]
    assert outcomes(gateway) == ["MISS", "HIT"]
    assert gateway.metric("cache_bypass_total", route="default/demo") == 2


def test_no_cache_request_refreshes_the_stored_response(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port))
    assert gateway.request().body == b"1"
    assert gateway.request(cache_control="no-cache").body == b"2"
    assert gateway.request().body == b"2"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_methods_except_get_and_head_bypass_the_cache(serve, upstream, numbered_responses, method):
    gateway = serve(cached_route(upstream.port))
    body = b"body" if method in ("POST", "PUT") else None
    answers = [gateway.request(method=method, body=body) for _ in range(2)]
    assert [answer.headers["x-cache"] for answer in answers] == ["BYPASS", "BYPASS"]
    assert len(upstream.seen) == 2


def test_get_with_a_body_bypasses_the_cache(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port))
    assert [gateway.request(body=b"query").headers["x-cache"] for _ in range(2)] == ["BYPASS", "BYPASS"]
    assert outcomes(gateway) == ["MISS", "HIT"]


def test_head_is_served_from_a_stored_get(serve, upstream):
    gateway = serve(cached_route(upstream.port))
    upstream.script = lambda seen: reply(b"hello")
    gateway.request()
    answer = gateway.request(method="HEAD")
    assert (answer.headers["x-cache"], answer.headers["content-length"], answer.body) == ("HIT", "5", b"")
    assert len(upstream.seen) == 1


def test_response_to_head_is_never_served_to_get(serve, upstream):
    gateway = serve(cached_route(upstream.port))
    upstream.script = lambda seen: [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n" + (b"" if seen.method == "HEAD" else b"hello")
    ]
    assert gateway.request(method="HEAD").status == 200
    answer = gateway.request()
    assert (answer.headers["x-cache"], answer.body) == ("MISS", b"hello")


# --- for whom -------------------------------------------------------------------------------------------------------------------


@pytest.mark.case("C2")
@pytest.mark.parametrize(
    "name", ["authorization", "cookie", "x-api-key", "api-key", "x-goog-api-key", "x-vault-token", "x-acme-secret"]
)
def test_each_credential_has_separate_entries(serve, upstream, numbered_responses, name):
    gateway = serve(cached_route(upstream.port))
    field = name.replace("-", "_")
    assert outcomes(gateway, **{field: "a"}) == ["MISS", "HIT"]
    assert outcomes(gateway, **{field: "b"}) == ["MISS", "HIT"]
    assert outcomes(gateway) == ["MISS", "HIT"]
    assert gateway.request(**{field: "a"}).body == b"1"


@pytest.mark.case("C2")
def test_public_response_is_stored_for_its_authorization(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port))
    numbered_responses(cache_control="public, max-age=60")
    assert outcomes(gateway, authorization="Bearer a") == ["MISS", "HIT"]
    assert outcomes(gateway, authorization="Bearer b") == ["MISS", "HIT"]


@pytest.mark.case("C2")
def test_spelling_of_authorization_does_not_matter(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port))
    assert outcomes(gateway, authorization="Bearer a") == ["MISS", "HIT"]
    assert outcomes(gateway, 1, authorization="bearer  a") == ["HIT"]
    assert outcomes(gateway, 1, authorization="Bearer A") == ["MISS"]


@pytest.mark.case("C2")
def test_private_response_is_stored_where_the_rule_allows_it(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port, "ttl: 1h, storePrivate: true"))
    numbered_responses(cache_control="private, max-age=60")
    assert outcomes(gateway, authorization="Bearer a") == ["MISS", "HIT"]
    assert outcomes(gateway, authorization="Bearer b") == ["MISS", "HIT"]
    assert outcomes(gateway) == ["MISS", "MISS"]


@pytest.mark.case("C2")
def test_excluded_credential_parameter_separates_users(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port, "ttl: 1h, key: {query: {exclude: [key, page]}}"))
    assert outcomes(gateway, path="/?q=1&key=alice&page=1") == ["MISS", "HIT"]
    assert outcomes(gateway, 1, path="/?q=1&key=alice&page=2") == ["HIT"]
    assert outcomes(gateway, 1, path="/?q=1&key=bob&page=1") == ["MISS"]
    assert outcomes(gateway, 1, path="/?q=1") == ["MISS"]


def test_shared_identity_serves_one_entry_to_all_clients(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port, "ttl: 1h, identity: Shared"))
    assert outcomes(gateway, 1, cookie="a=1") == ["MISS"]
    assert outcomes(gateway, 1, cookie="b=1") == ["HIT"]
    # But the origin decides on Authorization (RFC 9111 3.5).
    assert outcomes(gateway, path="/auth", authorization="Bearer a") == ["MISS", "MISS"]


# --- keys of two answers ----------------------------------------------------------------------------------------------------------


def test_vary_separates_entries(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port))
    numbered_responses(vary="Accept-Language")
    assert outcomes(gateway, accept_language="de") == ["MISS", "HIT"]
    assert outcomes(gateway, accept_language="en") == ["MISS", "HIT"]
    assert outcomes(gateway) == ["MISS", "HIT"]
    assert gateway.request(accept_language="de").body == b"1"


def test_path_query_and_host_separate_entries(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port))
    for path in ("/", "/a", "/a?", "/a?x=1", "/a?x=2", "/a/", "//a", "/%61"):
        assert outcomes(gateway, path=path) == ["MISS", "HIT"], path
    assert outcomes(gateway, host="one.test") == ["MISS", "HIT"]
    assert outcomes(gateway, host="two.test") == ["MISS", "HIT"]


def test_excluded_query_parameters_share_an_entry(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port, "ttl: 1h, key: {query: {exclude: [utm_source]}}"))
    assert outcomes(gateway, 1, "/?a=1&utm_source=x") == ["MISS"]
    assert outcomes(gateway, 1, "/?a=1&utm_source=y") == ["HIT"]
    assert outcomes(gateway, 1, "/?utm_source=z&a=1") == ["HIT"]
    assert outcomes(gateway, 1, "/?a=1") == ["HIT"]
    assert outcomes(gateway, 1, "/?a=2") == ["MISS"]


def test_only_included_query_parameters_separate_entries(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port, "ttl: 1h, key: {query: {include: [id], sort: true}}"))
    assert outcomes(gateway, 1, "/?id=1&x=1") == ["MISS"]
    assert outcomes(gateway, 1, "/?x=2&id=1") == ["HIT"]
    assert outcomes(gateway, 1, "/?id=2") == ["MISS"]
    assert outcomes(gateway, 1, "/?x=3") == ["MISS"]
    assert outcomes(gateway, 1, "/?y=4") == ["HIT"]


def test_sorted_queries_share_an_entry_in_any_order(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port, "ttl: 1h, key: {query: {sort: true}}"))
    assert outcomes(gateway, 1, "/?a=1&b=2") == ["MISS"]
    assert outcomes(gateway, 1, "/?b=2&a=1") == ["HIT"]
    assert outcomes(gateway, 1, "/?a=2&a=1&b=2") == ["MISS"]
    assert outcomes(gateway, 1, "/?a=1&a=2&b=2") == ["MISS"]


def test_key_headers_separate_entries_and_host_may_be_excluded(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port, "ttl: 1h, key: {headers: [X-Plan], host: false}"))
    assert outcomes(gateway, x_plan="free") == ["MISS", "HIT"]
    assert outcomes(gateway, x_plan="paid") == ["MISS", "HIT"]
    assert outcomes(gateway) == ["MISS", "HIT"]
    assert outcomes(gateway, 1, host="other.test") == ["HIT"]


def test_excluded_parameter_hides_no_other_parameter(serve, upstream):
    gateway = serve(cached_route(upstream.port, "ttl: 1h, key: {query: {exclude: [utm_content]}}"))
    # As Rack and Bottle read queries: `;` separates parameters too.
    upstream.script = lambda seen: reply(seen.target.partition("?")[2].replace(";", "&").split("&q=")[-1].encode())
    gateway.request("/?a=1&q=good&utm_content=1;q=evil")
    assert gateway.request("/?a=1&q=good").body == b"good"


def test_scheme_and_host_of_the_client_separate_entries(serve, upstream):
    gateway = serve(cached_route(upstream.port), trusted_proxies="127.0.0.0/8")
    upstream.script = lambda seen: reply(
        f"{seen.header('x-forwarded-proto')}://{seen.header('x-forwarded-host')}".encode()
    )
    for scheme in ("http", "https"):
        for host in ("one.test", "two.test"):
            answers = [gateway.request(x_forwarded_proto=scheme, x_forwarded_host=host) for _ in range(2)]
            assert [answer.headers["x-cache"] for answer in answers] == ["MISS", "HIT"]
            assert [answer.body for answer in answers] == [f"{scheme}://{host}".encode()] * 2


def test_two_rules_never_share_an_entry(serve, upstream, numbered_responses):
    gateway = serve(
        route(
            rule("name: a", "matches: [{headers: [{name: x-rule, value: a}]}]", "cache: {ttl: 1h}", to(upstream.port)),
            rule("name: b", "cache: {ttl: 1h}", to(upstream.port)),
        )
    )
    assert outcomes(gateway, x_rule="a") == ["MISS", "HIT"]
    assert outcomes(gateway) == ["MISS", "HIT"]


# --- without the cache ------------------------------------------------------------------------------------------------------------


def test_status_header_of_the_rule_carries_the_outcome(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port, "ttl: 1h, statusHeader: X-Kept"))
    answers = [gateway.request(), gateway.request()]
    assert [answer.headers["x-kept"] for answer in answers] == ["MISS", "HIT"]
    assert answers[1].headers["x-cache"] is None


def test_rule_without_cache_sends_no_status_header(serve, upstream, numbered_responses):
    gateway = serve(route(rule(to(upstream.port))))
    assert outcomes(gateway) == [None, None]
    assert len(upstream.seen) == 2


def test_hit_is_rate_limited_with_current_limit_headers(serve, upstream, numbered_responses):
    limit = "{name: global, rate: {requests: 1, per: 1h}, burst: 3, scope: Pod}"
    gateway = serve(resources(cached_route(upstream.port), policy(limit)))
    answers = [gateway.request() for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["ratelimit"].split(";")[1] for answer in answers[:3]] == ["r=2", "r=1", "r=0"]
    assert all(len(answer.headers.get_all("ratelimit")) == 1 for answer in answers)


def test_entries_survive_a_reload_of_other_routes(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port))
    assert outcomes(gateway) == ["MISS", "HIT"]
    other = route(rule("matches: [{path: {value: /else}}]", to(upstream.port)), name="else")
    gateway.apply(resources(cached_route(upstream.port), other))
    assert outcomes(gateway, 1) == ["HIT"]


def test_changed_rule_does_not_use_entries_of_the_older_one(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port))
    assert outcomes(gateway) == ["MISS", "HIT"]
    edit = "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: b}]}}]"
    gateway.apply(route(rule("cache: {ttl: 1h}", edit, to(upstream.port))))
    assert outcomes(gateway) == ["MISS", "HIT"]
    gateway.apply(cached_route(upstream.port))  # the first rule again: its entries are still right
    assert outcomes(gateway, 1) == ["HIT"]


def test_rules_keep_their_entries_when_they_are_reordered(serve, upstream, numbered_responses):
    tenants = [
        rule(f"matches: [{{headers: [{{name: x-tenant, value: {tenant}}}]}}]", "cache: {ttl: 1h}", to(upstream.port))
        for tenant in "ab"
    ]
    gateway = serve(route(*tenants))
    assert outcomes(gateway, x_tenant="a") == ["MISS", "HIT"]
    gateway.apply(route(*reversed(tenants)))
    assert outcomes(gateway, x_tenant="b") == ["MISS", "HIT"]
    assert gateway.request(x_tenant="a").body == b"1"


# --- freshness --------------------------------------------------------------------------------------------------------------------


def test_time_that_the_upstream_took_counts(serve, upstream):
    gateway = serve(cached_route(upstream.port))
    upstream.script = lambda seen: [Pause(1.1), *reply(b"late", headers={"cache-control": "max-age=1"})]
    assert outcomes(gateway) == ["MISS", "MISS"]


def test_first_of_two_age_lines_counts(serve, upstream):
    gateway = serve(cached_route(upstream.port))
    head = b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\nage: %b\r\nage: %b\r\ncontent-length: 0\r\n\r\n"
    upstream.script = lambda seen: [head % ((b"90", b"0") if seen.target == "/old" else (b"0", b"90"))]
    assert outcomes(gateway, path="/old") == ["MISS", "MISS"]
    assert outcomes(gateway, path="/new") == ["MISS", "HIT"]


def test_204_is_stored(serve, upstream):
    gateway = serve(cached_route(upstream.port))
    upstream.script = lambda seen: [b"HTTP/1.1 204 No Content\r\n\r\n"]
    assert outcomes(gateway) == ["MISS", "HIT"]
    assert gateway.request().status == 204


@pytest.mark.parametrize("status", ["302 Found", "500 Oops"])
def test_freshness_of_the_upstream_counts_for_any_status(serve, upstream, numbered_responses, status):
    gateway = serve(cached_route(upstream.port))
    numbered_responses(status, cache_control="max-age=60")
    assert outcomes(gateway) == ["MISS", "HIT"]


def test_hit_has_no_quota_of_an_earlier_exchange(serve, upstream, numbered_responses):
    gateway = serve(cached_route(upstream.port))
    numbered_responses(ratelimit='"l";r=3', x_ratelimit_remaining_tokens="7")
    answers = [gateway.request() for _ in range(2)]
    assert [answer.headers["x-cache"] for answer in answers] == ["MISS", "HIT"]
    for name in ("ratelimit", "x-ratelimit-remaining-tokens"):
        assert [answer.headers[name] is None for answer in answers] == [False, True]
