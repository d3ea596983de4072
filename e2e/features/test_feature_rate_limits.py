"""Rate limits: keys of buckets, the form of a 429, and the effect of a changed limit on a bucket's level."""

from __future__ import annotations

import json
import re

import http_sf
import pytest

from inferway_fakes.yaml_builders import direct_response, policy, resources, route, rule, to

TRUSTED = {"trusted_proxies": "127.0.0.0/8"}
# Slow enough that a bucket refills nothing during a test.
SLOW = "rate: {requests: 1, per: 1h}"


def limit(name="global", burst=2, key="", rate=SLOW):
    """Return a limit of a policy."""
    return rule(f"name: {name}", rate, f"burst: {burst}", "scope: Pod", f"key: [{key}]" if key else "")


def statuses(gateway, count, path="/", **headers):
    """Return the statuses of `count` requests."""
    return [gateway.request(path, **headers).status for _ in range(count)]


def parse_one_item(header):
    """Parse a structured-field List of one item; returns its name and its parameters."""
    [item] = http_sf.parse(header.encode(), tltype="list")
    return item


# --- whose bucket ---------------------------------------------------------------------------------------------------------


def test_global_limit_admits_its_burst_and_rejects_the_rest(serve, upstream):
    gateway = serve(resources(route(rule(to(upstream.port))), policy(limit(burst=3))))
    assert statuses(gateway, 5) == [200, 200, 200, 429, 429]
    assert len(upstream.seen) == 3  # what is refused never reaches the upstream
    assert gateway.metric("rate_limit_dropped_total", policy="default/limits", limit="global") == 2
    assert gateway.metric("http_requests_total", route="default/demo", code="429") == 2


def test_bucket_refills_at_its_rate(serve):
    fast = limit(burst=1, rate="rate: {requests: 5, per: 1s}")
    gateway = serve(resources(route(rule(direct_response("ok"))), policy(fast)))
    assert statuses(gateway, 2) == [200, 429]
    gateway_waits = iter(lambda: gateway.request().status, 200)
    assert set(gateway_waits) <= {429}


@pytest.mark.case("R5")
def test_each_client_behind_a_trusted_proxy_has_a_bucket(serve):
    gateway = serve(resources(route(rule(direct_response("ok"))), policy(limit(key="{clientIP: {}}"))), **TRUSTED)
    assert statuses(gateway, 3, x_forwarded_for="203.0.113.1") == [200, 200, 429]
    assert statuses(gateway, 3, x_forwarded_for="203.0.113.2") == [200, 200, 429]
    # Any client can write the addresses left of the first untrusted one.
    assert statuses(gateway, 1, x_forwarded_for="9.9.9.9, 203.0.113.1") == [429]
    assert statuses(gateway, 1, x_forwarded_for="203.0.113.1, 127.0.0.5") == [429]


def test_ipv6_clients_of_one_network_share_a_bucket(serve):
    gateway = serve(resources(route(rule(direct_response("ok"))), policy(limit(key="{clientIP: {}}"))), **TRUSTED)
    assert statuses(gateway, 1, x_forwarded_for="2001:db8:0:1::1") == [200]
    assert statuses(gateway, 2, x_forwarded_for="2001:db8:0:1:ffff::2") == [200, 429]
    assert statuses(gateway, 1, x_forwarded_for="2001:db8:0:2::1") == [200]


def test_prefixes_of_the_limit_define_a_network(serve):
    key = "{clientIP: {prefixV4: 24, prefixV6: 48}}"
    gateway = serve(resources(route(rule(direct_response("ok"))), policy(limit(key=key))), **TRUSTED)
    assert statuses(gateway, 1, x_forwarded_for="203.0.113.1") == [200]
    assert statuses(gateway, 2, x_forwarded_for="203.0.113.255") == [200, 429]
    assert statuses(gateway, 1, x_forwarded_for="203.0.112.1") == [200]
    assert statuses(gateway, 1, x_forwarded_for="2001:db8:0:1::1") == [200]
    assert statuses(gateway, 2, x_forwarded_for="2001:db8:0:ffff::1") == [200, 429]
    assert statuses(gateway, 1, x_forwarded_for="2001:db8:1:1::1") == [200]


def test_max_keys_drops_the_least_recently_used_bucket(serve):
    few = policy(rule(limit("per-tenant", burst=1, key="{header: x-tenant}"), "maxKeys: 2"))
    gateway = serve(resources(route(rule(direct_response("ok"))), few))
    assert [status for tenant in "abc" for status in statuses(gateway, 1, x_tenant=tenant)] == [200, 200, 200]
    assert statuses(gateway, 1, x_tenant="c") == [429]
    assert statuses(gateway, 1, x_tenant="a") == [200]
    assert gateway.metric("rate_limit_keys", limit="per-tenant") == 2
    assert gateway.metric("rate_limit_keys_evicted_total", limit="per-tenant") == 2


@pytest.mark.case("R5")
def test_forged_client_address_does_not_change_the_bucket(serve):
    gateway = serve(resources(route(rule(direct_response("ok"))), policy(limit(key="{clientIP: {}}"))))
    forged = [
        {"x_forwarded_for": "1.1.1.1"},
        {"x_forwarded_for": "127.0.0.1, 2.2.2.2"},
        {"forwarded": "for=3.3.3.3"},
        {"x_real_ip": "4.4.4.4"},
    ]
    assert [gateway.request(**headers).status for headers in forged] == [200, 200, 429, 429]


def test_each_header_value_and_its_absence_has_a_bucket(serve):
    gateway = serve(resources(route(rule(direct_response("ok"))), policy(limit(key="{header: X-Tenant}"))))
    assert statuses(gateway, 3, x_tenant="a") == [200, 200, 429]
    assert statuses(gateway, 3, x_tenant="b") == [200, 200, 429]
    assert statuses(gateway, 3) == [200, 200, 429]
    assert statuses(gateway, 1, x_tenant="") == [200]


@pytest.mark.parametrize(
    ("key", "target", "fields", "named"),
    [
        ("{header: x-tenant}", b"/", [b"X-Tenant: real", b"X-Tenant: 1"], {"header": "x-tenant"}),
        ("{header: x-tenant}", b"/", [b"X-Tenant: real", b"X_Tenant: 1"], {"header": "x-tenant"}),
        ("{query: k}", b"/?k=real&k=1", [], {"parameter": "k"}),
        ("{query: k}", b"/?k=real&%6B=1", [], {"parameter": "k"}),
        ("{query: k}", b"/?k=real;x=1", [], {"parameter": "k"}),
    ],
)
def test_key_that_comes_twice_is_refused(serve, upstream, key, target, fields, named):
    gateway = serve(resources(route(rule(to(upstream.port))), policy(limit(key=key))))
    head = b"\r\n".join([b"GET %b HTTP/1.1" % target, b"Host: a", *fields, b"Connection: close", b"", b""])
    status, _, body = gateway.raw(head).partition(b"\r\n\r\n")
    problem = json.loads(body)
    assert (status[:12], problem["code"]) == (b"HTTP/1.1 400", "ambiguous_key")
    assert named.items() <= problem.items()
    assert b"real" not in body
    assert not upstream.seen


def test_credentials_are_one_key_in_every_spelling(serve):
    gateway = serve(resources(route(rule(direct_response("ok"))), policy(limit(key="{header: authorization}"))))
    spellings = ("Bearer a", "bearer a", "BEARER  a")
    assert [gateway.request(authorization=value).status for value in spellings] == [200, 200, 429]
    assert gateway.request(authorization="Bearer A").status == 200


def test_parts_of_a_key_form_one_tuple(serve):
    key = "{header: x-tenant}, {query: model}"
    gateway = serve(resources(route(rule(direct_response("ok"))), policy(limit(burst=1, key=key))))
    assert statuses(gateway, 2, "/?model=m", x_tenant="a") == [200, 429]
    assert statuses(gateway, 2, "/?model=n", x_tenant="a") == [200, 429]
    assert statuses(gateway, 2, "/?model=m", x_tenant="b") == [200, 429]


def test_policy_may_target_one_rule_of_a_route(serve):
    gateway = serve(
        resources(
            route(
                rule("name: limited", "matches: [{path: {value: /limited}}]", direct_response("ok")),
                rule("name: free", direct_response("ok")),
            ),
            policy(limit(), more="targetRefs: [{kind: GatewayRoute, name: demo, sectionName: limited}]"),
        )
    )
    assert statuses(gateway, 3, "/limited") == [200, 200, 429]
    assert statuses(gateway, 3, "/free") == [200, 200, 200]


def test_rejection_by_one_limit_consumes_from_none(serve):
    both = policy(limit("global", burst=3), limit("per-tenant", burst=1, key="{header: x-tenant}"))
    gateway = serve(resources(route(rule(direct_response("ok"))), both))
    assert statuses(gateway, 4, x_tenant="a") == [200, 429, 429, 429]
    # Three refusals of `a` have cost the global bucket nothing.
    assert [*statuses(gateway, 1, x_tenant="b"), *statuses(gateway, 1, x_tenant="c")] == [200, 200]
    answer = gateway.request(x_tenant="d")
    assert (answer.status, json.loads(answer.body)["limit"]) == (429, "global")


def test_all_policies_of_a_route_apply(serve):
    gateway = serve(
        resources(
            route(rule(direct_response("ok"))),
            policy(limit("same", burst=3), name="wide"),
            policy(limit("same", burst=1, key="{header: x-tenant}"), name="narrow"),
        )
    )
    answer = gateway.request(x_tenant="a")
    items = http_sf.parse(answer.headers["ratelimit"].encode(), tltype="list")
    assert {name for name, _ in items} == {"default/narrow/same", "default/wide/same"} or {
        name for name, _ in items
    } == {
        "narrow/same",
        "wide/same",
    }
    rejected = gateway.request(x_tenant="a")
    body = json.loads(rejected.body)
    assert (rejected.status, body["limit"]) == (429, "same")
    named = [name for name, _ in http_sf.parse(rejected.headers["ratelimit-policy"].encode(), tltype="list")]
    assert body["violated-policies"] == [name for name in named if "narrow" in name]
    assert body["policy"].endswith("narrow")
    assert statuses(gateway, 3, x_tenant="b") == [200, 429, 429]


# --- form of a 429 ----------------------------------------------------------------------------------------------------------


@pytest.mark.case("R8")
def test_rejection_has_retry_after_and_hides_the_key(serve):
    secret = "tenant-that-nobody-may-read"  # noqa: S105
    gateway = serve(
        resources(
            route(rule(direct_response("ok"))),
            policy(limit("per-tenant", burst=1, key="{header: x-tenant}", rate="rate: {requests: 1, per: 90s}")),
        )
    )
    gateway.request(x_tenant=secret)
    answer = gateway.request(x_tenant=secret)
    assert answer.status == 429
    after = int(answer.headers["retry-after"])
    assert 1 <= after <= 90
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/problem+json"
    body = json.loads(answer.body)
    assert body["status"] == 429
    assert body["code"] == "rate_limited"
    assert body["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert body["title"] == "Quota Exceeded"
    assert body["violated-policies"] == ["per-tenant"]
    assert body["limit"] == "per-tenant"
    assert body["policy"].endswith("limits")
    assert body["retryAfter"] == after
    assert body["requestId"] == answer.headers["x-request-id"]
    assert {"type", "title", "detail"} <= set(body)
    assert secret.encode() not in answer.body
    assert secret not in str(answer.headers)
    assert parse_one_item(answer.headers["ratelimit"]) == ("per-tenant", {"r": 0, "t": after})
    assert parse_one_item(answer.headers["ratelimit-policy"]) == ("per-tenant", {"q": 1, "w": 90})


@pytest.mark.case("R8")
def test_retry_after_is_at_least_one_second(serve):
    fast = limit(burst=1, rate="rate: {requests: 2, per: 1s}")
    gateway = serve(resources(route(rule(direct_response("ok"))), policy(fast)))
    rejected = next(answer for answer in iter(gateway.request, None) if answer.status == 429)
    assert rejected.headers["retry-after"] == "1"


def test_ratelimit_fields_are_on_every_response(serve, upstream):
    both = policy(limit("global", burst=300, rate="rate: {requests: 1, per: 10s}"), limit("narrow", burst=2))
    gateway = serve(resources(route(rule(to(upstream.port))), both))
    answer = gateway.request()
    assert http_sf.parse(answer.headers["ratelimit-policy"].encode(), tltype="list") == [
        ("global", {"q": 300, "w": 3000}),
        ("narrow", {"q": 2, "w": 7200}),
    ]
    assert http_sf.parse(answer.headers["ratelimit"].encode(), tltype="list") == [
        ("global", {"r": 299, "t": 0}),
        ("narrow", {"r": 1, "t": 0}),
    ]
    last = http_sf.parse(gateway.request().headers["ratelimit"].encode(), tltype="list")
    assert last[0] == ("global", {"r": 298, "t": 0})
    name, parameters = last[1]
    assert (name, parameters["r"]) == ("narrow", 0)
    assert 3590 <= parameters["t"] <= 3600


def test_legacy_headers_replace_the_ratelimit_fields(serve):
    legacy = policy(limit(burst=2), more="onLimit: {headers: Legacy}")
    gateway = serve(resources(route(rule(direct_response("ok"))), legacy))
    answer = gateway.request()
    assert (answer.headers["x-ratelimit-limit"], answer.headers["x-ratelimit-remaining"]) == ("2", "1")
    assert answer.headers["x-ratelimit-reset"] == "0"
    assert answer.headers["ratelimit"] is None
    gateway.request()
    rejected = gateway.request()
    assert rejected.status == 429
    assert rejected.headers["x-ratelimit-remaining"] == "0"
    assert rejected.headers["x-ratelimit-reset"] == rejected.headers["retry-after"]


def test_headers_off_keeps_retry_after_on_rejections(serve):
    gateway = serve(
        resources(route(rule(direct_response("ok"))), policy(limit(burst=1), more="onLimit: {headers: 'Off'}"))
    )
    for answer in (gateway.request(), gateway.request()):
        assert not any("ratelimit" in name.lower() for name in answer.headers)
    assert answer.status == 429
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.case("R7")
def test_rate_of_zero_rejects_all_without_retry_after(serve, upstream):
    nothing = limit(burst=5, rate="rate: {requests: 0}")
    gateway = serve(resources(route(rule(to(upstream.port))), policy(nothing)))
    for _ in range(3):
        answer = gateway.request()
        assert answer.status == 429
        assert answer.headers["retry-after"] is None
        assert "retryAfter" not in json.loads(answer.body)
        name, parameters = parse_one_item(answer.headers["ratelimit"])
        assert (name, parameters["r"]) == ("global", 0)
    assert not upstream.seen


def test_redirects_and_local_replies_are_limited(serve):
    gateway = serve(
        resources(
            route(
                rule("filters: [{type: RequestRedirect, requestRedirect: {hostname: else.test}}]"),
            ),
            policy(limit()),
        )
    )
    assert statuses(gateway, 3) == [302, 302, 429]


def test_pipelined_requests_are_limited_one_by_one(serve):
    gateway = serve(resources(route(rule(direct_response("ok"))), policy(limit(burst=2))))
    request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
    data = gateway.raw(request * 4)
    assert re.findall(rb"HTTP/1.1 (\d+) ", data) == [b"200", b"200", b"429", b"429"]


# --- changes while it runs --------------------------------------------------------------------------------------------------


@pytest.mark.case("R7")
@pytest.mark.parametrize(
    "changed",
    [
        limit(burst=3),
        limit(burst=2),
        limit(burst=3, rate="rate: {requests: 2, per: 1h}"),
        limit(burst=3, rate="rate: {requests: 1, per: 2h}"),
    ],
    ids=["the same again", "a smaller burst", "a faster rate", "a slower rate"],
)
def test_changed_limit_does_not_refill_its_bucket(serve, changed):
    routes = route(rule(direct_response("ok")))
    gateway = serve(resources(routes, policy(limit(burst=3))))
    assert statuses(gateway, 4) == [200, 200, 200, 429]
    # The route changes too, so that each case has a new document.
    gateway.apply(resources(route(rule(direct_response("new"))), policy(changed)))
    assert statuses(gateway, 2) == [429, 429]


@pytest.mark.case("R7")
def test_raised_burst_adds_only_the_difference(serve):
    routes = route(rule(direct_response("ok")))
    gateway = serve(resources(routes, policy(limit(burst=2))))
    assert statuses(gateway, 3) == [200, 200, 429]
    gateway.apply(resources(routes, policy(limit(burst=4))))
    admitted = statuses(gateway, 5).count(200)
    assert admitted <= 2


@pytest.mark.case("R7")
def test_removed_limit_no_longer_applies(serve):
    routes = route(rule(direct_response("ok")))
    gateway = serve(resources(routes, policy(limit(burst=1))))
    assert statuses(gateway, 2) == [200, 429]
    gateway.apply(routes)
    assert statuses(gateway, 5) == [200] * 5


def test_change_of_another_route_keeps_the_bucket(serve):
    routes = route(rule(direct_response("ok")))
    gateway = serve(resources(routes, policy(limit(burst=3))))
    assert statuses(gateway, 2) == [200, 200]
    other = route(rule("matches: [{path: {value: /new}}]", direct_response("new")), name="new")
    gateway.apply(resources(routes, other, policy(limit(burst=3))))
    assert statuses(gateway, 2) == [200, 429]
