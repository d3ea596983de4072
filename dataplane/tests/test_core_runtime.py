"""Building a runtime: refused documents, state that outlives it, keys of limits and of hashing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from test_core_token_bucket import take

from inferway_contract import document
from inferway_contract.document import (
    Auth,
    Cache,
    CircuitBreaker,
    ConfigDocument,
    Endpoint,
    EndpointsDocument,
    HealthCheck,
    KeyPart,
    Limit,
    LoadBalancer,
    Match,
    PathMatch,
    Policy,
    Refusal,
    Retry,
    Route,
    Rule,
    Target,
    Timeouts,
    Url,
)
from inferway_dataplane.core import runtime
from inferway_dataplane.core.limits import keys as limit_keys
from inferway_dataplane.core.limits import token_bucket
from inferway_dataplane.core.limits.token_bucket import Bucket
from inferway_dataplane.core.messages import problems, request_head, request_target
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.routing.compiled_match import CompiledMatch
from inferway_dataplane.core.runtime import Runtime
from inferway_dataplane.core.steps import completed
from inferway_dataplane.core.upstreams import outlier_detection
from inferway_dataplane.core.upstreams.backends import Backend, Credential
from inferway_dataplane.core.upstreams.members import Member
from inferway_dataplane.observability.stats import Stats

SERVICE = "demo/sim:80"
LIMIT = Limit(name="l", requests=1, per=1000, burst=5)


@dataclass(frozen=True)
class Address:
    host: str
    port: int
    tls: bool
    is_name: bool
    further: tuple[str, ...] = ()
    active: int = field(default=0, compare=False)


def build(
    *rules: Rule,
    services: dict[str, tuple[Endpoint, ...]] | None = None,
    policies: tuple[Policy, ...] = (),
    older: Runtime | None = None,
    now: float = 0.0,
    stats: Stats | None = None,
) -> Runtime:
    config = ConfigDocument(routes=(Route(id="demo/a", rules=rules),), policies=policies)
    steps = runtime.building(
        config,
        EndpointsDocument(services={} if services is None else services),
        endpoint_of=lambda host, port, *, tls, is_name, further=(): Address(host, port, tls, is_name, further),
        stats_of=(stats or Stats()).of,
        older=older,
        now=now,
    )
    built = completed(steps)
    built.policies.inherit(now)
    completed(built.policies.converting())
    return built


def rule(**settings: Any) -> Rule:
    return Rule(name="r", **settings)


def make_request(
    target: bytes = b"/", host: bytes = b"a.example", fields: tuple[tuple[bytes, bytes], ...] = ()
) -> RequestHead:
    head = request_head.read_request(b"GET", [(b"Host", host), *fields], is_http_1_1=True)
    assert isinstance(head, RequestHead)
    assert request_target.locate(head, target) is None
    return head


# --- what refuses ---------------------------------------------------------------------------------------------------------


def test_document_without_endpoints_of_a_service_is_rejected() -> None:
    with pytest.raises(LookupError, match="demo/sim:80"):
        build(rule(backends=(document.Backend(service=SERVICE),)))


def test_pattern_that_only_this_re2_rejects_costs_its_rule() -> None:
    """Such a rule refuses what its match may have meant; the others are served."""
    bad = Match(path=PathMatch(type="RegularExpression", value="/admin/("))

    built = build(rule(matches=(bad,), respond=document.DirectResponse(status=200, content_type="text/plain")))

    (invalid,) = built.invalid_rules
    assert (invalid.rule, invalid.reason) == (built.rules[0].name, "invalid_rule")
    assert built.rules[0].problem is problems.INVALID_RULE
    assert built.rules[0].responses is None


# --- backends -----------------------------------------------------------------------------------------------------------


def backends_of(built: Runtime) -> list[Backend]:
    """The backends that the first rule may choose."""
    return list({built.rules[0].backend_set.choose(0.0, lambda draw=draw: draw)[0] for draw in (0.0, 0.5, 0.99)})


def test_service_backend_has_the_endpoints_of_its_service() -> None:
    endpoints = (Endpoint(address="10.0.0.1", port=8000), Endpoint(address="2001:db8::1", port=8000))
    built = build(rule(backends=(document.Backend(service=SERVICE),)), services={SERVICE: endpoints})
    (destination,) = backends_of(built)
    assert destination.endpoints == (
        Address("10.0.0.1", 8000, False, False),
        Address("2001:db8::1", 8000, False, False),
    )
    assert (destination.name, destination.host, destination.path, destination.problem) == (SERVICE, None, b"", None)
    assert built.upstreams == set(destination.endpoints)


def test_service_without_endpoints_is_answered_503() -> None:
    built = build(rule(backends=(document.Backend(service=SERVICE),)), services={SERVICE: ()})
    assert built.rules[0].backend_set.choose(0.0, lambda: 0.0) is problems.NO_ENDPOINTS


def test_broken_backend_reference_answers_500_for_its_weight() -> None:
    document_rule = rule(
        backends=(document.Backend(refusal="backend_not_found", weight=1), document.Backend(service=SERVICE, weight=3))
    )
    built = build(document_rule, services={SERVICE: (Endpoint(address="10.0.0.1", port=1),)})
    group = built.rules[0].backend_set
    drawn = [group.choose(0.0, lambda draw=draw: draw) for draw in (0.1, 0.3, 0.9)]
    assert drawn[0] is problems.BACKEND_NOT_FOUND
    assert [one[0].name for one in drawn[1:] if isinstance(one, tuple)] == [SERVICE, SERVICE]


URLS = {
    "a name": (Url(scheme="http", host="b.example", port=80), b"b.example", Address("b.example", 80, False, True)),
    "a port": (Url(scheme="http", host="b.example", port=81), b"b.example:81", Address("b.example", 81, False, True)),
    "https": (Url(scheme="https", host="b.example", port=443), b"b.example", Address("b.example", 443, True, True)),
    "https on 80": (
        Url(scheme="https", host="b.example", port=80),
        b"b.example:80",
        Address("b.example", 80, True, True),
    ),
    "an address": (Url(scheme="http", host="192.0.2.1", port=80), b"192.0.2.1", Address("192.0.2.1", 80, False, False)),
    "IPv6": (Url(scheme="http", host="::1", port=81), b"[::1]:81", Address("::1", 81, False, False)),
    "a path": (
        Url(scheme="http", host="b.example", port=80, path="/v1"),
        b"b.example",
        Address("b.example", 80, False, True),
    ),
}


@pytest.mark.parametrize(("url", "authority", "address"), URLS.values(), ids=URLS)
def test_url_backend_has_one_endpoint(url: Url, authority: bytes, address: Address) -> None:
    built = build(rule(backends=(document.Backend(url=url),)))
    (destination,) = backends_of(built)
    assert destination.host == authority
    assert destination.path == url.path.encode()
    assert destination.endpoints == (address,)
    assert built.upstreams == {address}


# --- rules --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "problem"),
    [("invalid_rule", problems.INVALID_RULE), ("invalid_policy", problems.INVALID_POLICY)],
)
def test_k3_rejected_rule_answers_with_its_problem(code: Any, problem: problems.Problem) -> None:
    built = build(rule(refusal=Refusal(code=code, detail="why")))
    entry = built.table.select(make_request())
    assert not isinstance(entry, problems.Problem)
    assert entry.rule.problem is problem


def test_timeouts_are_seconds_and_0_is_unlimited() -> None:
    built_rule = build(rule(timeouts=Timeouts(connect=250, backend_request=0, request=1500, stream_idle=0))).rules[0]
    infinite = float("inf")
    assert (built_rule.connect_timeout, built_rule.backend_timeout, built_rule.request_timeout, built_rule.response_limits.stream_idle) == (
        0.25, infinite, 1.5, infinite,
    )  # fmt: skip


def test_plain_rule_has_no_optional_features() -> None:
    built_rule = build(rule()).rules[0]
    assert (
        built_rule.cache,
        built_rule.cors,
        built_rule.limit_headers,
        built_rule.limits,
        built_rule.request_edits,
    ) == (None, None, None, (), None)
    assert build(rule(cache=Cache())).rules[0].cache is not None


def test_first_route_of_the_document_wins_a_tie() -> None:
    config = ConfigDocument(
        routes=tuple(
            Route(id=name, hostnames=("a.example", "b.example"), rules=(rule(),)) for name in ("demo/z", "demo/a")
        )
    )
    built = completed(
        runtime.building(
            config, EndpointsDocument(), endpoint_of=Address, stats_of=Stats().of, older=None, now=0.0,
        )
    )  # fmt: skip
    for host in (b"a.example", b"b.example"):
        entry = built.table.select(make_request(host=host))
        assert not isinstance(entry, problems.Problem)
        assert entry.rule.route == "demo/z"
    assert built.table.select(make_request(host=b"c.example")) is problems.NO_ROUTE


@pytest.mark.parametrize(
    ("styles", "tells"),
    [((), False), (("Off",), False), (("Standard",), True), (("Off", "Legacy"), True), (("Off", "Off"), False)],
)
def test_rule_has_ratelimit_headers_only_if_a_policy_asks(styles: tuple[Any, ...], tells: bool) -> None:
    policies = tuple(
        Policy(id=f"demo/p{number}", limits=(LIMIT,), headers=style) for number, style in enumerate(styles)
    )
    built_rule = build(rule(), policies=policies).rules[0]
    assert (built_rule.limit_headers is not None) is tells
    assert len(built_rule.limits) == len(styles)


# --- upstreams: what outlives a document, and what does not -------------------------------------------------------------------


def addresses(*hosts: str) -> dict[str, tuple[Endpoint, ...]]:
    return {SERVICE: tuple(Endpoint(address=host, port=80) for host in hosts)}


def members_of(built: Runtime) -> list[Member]:
    return [member for by_address in built.members.values() for member in by_address.values()]


def test_backend_listed_twice_has_its_members_once() -> None:
    twice = (document.Backend(service=SERVICE, weight=3), document.Backend(service=SERVICE, priority=1))
    built = build(rule(backends=twice), services=addresses("10.0.0.1", "10.0.0.2"))
    assert list(built.rules[0].backend_set.members) == members_of(built)
    assert len(members_of(built)) == 2


def test_new_document_keeps_ejected_members() -> None:
    document_rule = rule(backends=(document.Backend(service=SERVICE),))
    first = build(document_rule, services=addresses("10.0.0.1", "10.0.0.2"), now=1.0)
    group = first.rules[0].backend_set
    for _ in range(5):
        outlier_detection.on_failure(group.members[0], 1.0, 1.0, group)
    changed = rule(backends=(document.Backend(service=SERVICE, weight=7),), timeouts=Timeouts(request=1))
    second = build(changed, services=addresses("10.0.0.2", "10.0.0.1", "2001:db8::1"), older=first, now=2.0)
    by_name = {member.name: member for member in second.rules[0].backend_set.members}
    assert by_name["10.0.0.1:80"] is group.members[0]
    assert [name for name, member in by_name.items() if member.is_ejected] == ["10.0.0.1:80"]
    assert {name: member.added_at for name, member in by_name.items()} == {
        "10.0.0.1:80": 1.0,
        "10.0.0.2:80": 1.0,
        "[2001:db8::1]:80": 2.0,
    }
    third = build(changed, services=addresses("10.0.0.2"), older=second, now=3.0)
    assert [list(by_address) for by_address in third.members.values()] == [["10.0.0.2:80"]]
    fourth = build(changed, services=addresses("10.0.0.1", "10.0.0.2"), older=third, now=4.0)
    assert not any(member.is_ejected for member in fourth.rules[0].backend_set.members)  # it was removed: a new member


def test_rejected_document_changes_no_member() -> None:
    document_rule = rule(backends=(document.Backend(service=SERVICE),))
    first = build(document_rule, services=addresses("10.0.0.1"), now=1.0)
    with pytest.raises(LookupError):
        build(
            document_rule,
            Rule(name="s", backends=(document.Backend(service="demo/other:1"),)),
            services={},
            older=first,
        )
    assert members_of(first) == list(first.rules[0].backend_set.members)


def test_member_refers_to_the_current_endpoint() -> None:
    document_rule = rule(backends=(document.Backend(service=SERVICE),))
    first = build(document_rule, services=addresses("10.0.0.1"))
    forgotten = Address("10.0.0.1", 80, True, False)  # differs in one field
    for member in members_of(first):
        member.endpoint = forgotten
    (member,) = members_of(build(document_rule, services=addresses("10.0.0.1"), older=first))
    assert member.endpoint == Address("10.0.0.1", 80, False, False)


def test_each_rule_has_its_own_member_of_an_endpoint() -> None:
    backends = (document.Backend(service=SERVICE),)
    built = build(rule(backends=backends), Rule(name="s", backends=backends), services=addresses("10.0.0.1"))
    one, other = (built_rule.backend_set.members[0] for built_rule in built.rules)
    assert one is not other
    assert one.endpoint == other.endpoint


def test_in_flight_counters_survive_a_new_document() -> None:
    document_rule = rule(circuit_breaker=CircuitBreaker(max_requests=1), retry=Retry())
    first = build(document_rule)
    assert first.rules[0].breaker.enter()
    second = build(document_rule, older=first)
    assert not second.rules[0].breaker.enter()
    first.rules[0].breaker.leave()
    assert second.rules[0].breaker.enter()
    assert second.rules[0].retry is not None
    assert second.rules[0].retry.budget.counters is second.rules[0].breaker.counters


def test_backends_keep_their_priorities_and_credentials() -> None:
    auth = Auth(header="authorization", prefix="Bearer ", file="key")
    url = Url(scheme="https", host="a.example", port=443)
    document_rule = rule(backends=(document.Backend(url=url, priority=1, auth=auth), document.Backend(service=SERVICE)))
    built = build(document_rule, services=addresses("10.0.0.1"))
    assert built.secrets == {"key"}
    group = built.rules[0].backend_set
    first = group.choose(0.0, lambda: 0.0)
    assert isinstance(first, tuple)
    assert (first[0].name, first[0].credential) == (SERVICE, None)
    second = group.choose(0.0, lambda: 0.0, None, (first[1],))
    assert isinstance(second, tuple)
    assert (second[0].name, second[1].name) == ("https://a.example", "a.example")
    assert second[0].credential is not None
    fields = [(b"Authorization", b"a client's"), (b"accept", b"*/*")]
    assert second[0].credential.apply(fields, b"k") == [(b"accept", b"*/*"), (b"authorization", b"Bearer k")]


def test_rule_without_upstream_settings_has_breaker_defaults() -> None:
    built_rule = build(rule()).rules[0]
    assert (built_rule.retry, built_rule.health_check, built_rule.hash_key) == (None, None, None)
    assert (built_rule.breaker.max_requests, built_rule.breaker.max_pending) == (1024, 256)
    ejecting = built_rule.backend_set.ejection
    assert (ejecting.failures, ejecting.open_for, ejecting.percent) == (5, 10.0, 50)
    checked = build(rule(health_check=HealthCheck(path="/up", interval=250))).rules[0]
    assert checked.health_check is not None
    assert (checked.health_check.path, checked.health_check.interval) == (b"/up", 0.25)


def test_hash_key_is_the_client_address_or_the_header() -> None:
    by_client = build(rule(load_balancer=LoadBalancer(type="ConsistentHash"))).rules[0].hash_key
    by_header = (
        build(rule(load_balancer=LoadBalancer(type="ConsistentHash", hash_header="x-session"))).rules[0].hash_key
    )
    assert by_client is not None
    assert by_header is not None
    head = make_request(fields=((b"X-Session", b"abc"),))
    assert (by_client(head, "192.0.2.1"), by_header(head, "192.0.2.1")) == (b"192.0.2.1", b"abc")
    assert by_header(make_request(), "192.0.2.1") is None


# --- buckets --------------------------------------------------------------------------------------------------------------------


def policy(*limits: Limit, name: str = "demo/p") -> Policy:
    return Policy(id=name, limits=limits or (LIMIT,))


def bucket(built: Runtime, index: int = 0) -> Bucket:
    return built.rules[index].limits[0][0]


def test_rules_of_one_policy_share_its_buckets() -> None:
    built = build(rule(), Rule(name="s"), policies=(policy(),))
    assert bucket(built, 0) is bucket(built, 1)


def test_equal_limits_of_two_policies_have_separate_buckets() -> None:
    first, second = (
        policy(name=name).model_copy(update={"targets": (Target(route="a", rule=of),)})
        for name, of in (("demo/p", "r"), ("demo/q", "s"))
    )
    built = build(rule(), Rule(name="s"), policies=(first, second))
    assert bucket(built, 0) is not bucket(built, 1)


def test_r7_limit_keeps_its_level_in_a_new_document() -> None:
    document_rule = rule()
    first = build(document_rule, policies=(policy(),))
    for _ in range(4):
        take(bucket(first), None, 10.0)
    second = build(document_rule, Rule(name="s"), policies=(policy(),), older=first, now=10.0)
    assert take(bucket(second), None, 10.0, 0).remaining == 1
    raised = policy(Limit(name="l", requests=100, per=1000, burst=500))
    third = build(document_rule, policies=(raised,), older=second, now=10.0)
    assert take(bucket(third), None, 10.0, 0).remaining == 1


def test_r7_limit_with_a_changed_key_has_a_new_bucket() -> None:
    document_rule = rule()
    first = build(document_rule, policies=(policy(),))
    take(bucket(first), None, 10.0)
    by_client = policy(Limit(name="l", requests=1, per=1000, burst=5, key=(KeyPart(type="client_ip"),)))
    second = build(document_rule, policies=(by_client,), older=first, now=10.0)
    assert not bucket(second).tats


def test_rule_keeps_its_stats_in_a_new_document() -> None:
    stats = Stats()
    assert build(rule(), stats=stats).rules[0].stats is build(rule(), stats=stats).rules[0].stats


# --- keys -----------------------------------------------------------------------------------------------------------------------


def keys(parts: tuple[KeyPart, ...], *requests: tuple[RequestHead, str]) -> list[object]:
    key_of = limit_keys.key_of(parts)
    assert key_of is not None
    return [key_of(head, client) for head, client in requests]


def test_limit_without_key_parts_has_one_bucket() -> None:
    assert limit_keys.key_of(()) is None


CLIENTS = {  # prefixes, two clients -> one bucket?
    "one address": (KeyPart(type="client_ip"), "192.0.2.1", "192.0.2.1", True),
    "two addresses": (KeyPart(type="client_ip"), "192.0.2.1", "192.0.2.2", False),
    "one network": (KeyPart(type="client_ip", prefix_v4=24), "192.0.2.1", "192.0.2.2", True),
    "R6 one IPv6 /64": (KeyPart(type="client_ip"), "2001:db8::1", "2001:db8::ffff:1", True),
    "two IPv6 /64": (KeyPart(type="client_ip"), "2001:db8::1", "2001:db8:0:1::1", False),
    "an IPv6 /128": (KeyPart(type="client_ip", prefix_v6=128), "2001:db8::1", "2001:db8::2", False),
    "an IPv6 /56": (KeyPart(type="client_ip", prefix_v6=56), "2001:db8::1", "2001:db8:0:ff::1", True),
    "mapped": (KeyPart(type="client_ip"), "192.0.2.1", "::ffff:192.0.2.1", True),
}


@pytest.mark.parametrize(("part", "one", "other", "is_one"), CLIENTS.values(), ids=CLIENTS)
def test_key_by_client_is_its_address_or_network(part: KeyPart, one: str, other: str, is_one: bool) -> None:
    first, second = keys((part,), (make_request(), one), (make_request(), other))
    assert (first == second) is is_one


PARTS = {  # part, requests that are all of different buckets
    "header": (
        KeyPart(type="header", name="x-t"),
        [
            make_request(),
            make_request(fields=((b"X-T", b""),)),
            make_request(fields=((b"X-T", b"a"),)),
            make_request(fields=((b"X-T", b"A"),)),
        ],
    ),
    "query": (
        KeyPart(type="query", name="t"),
        [make_request(), make_request(b"/?t"), make_request(b"/?t=a"), make_request(b"/?t=%C3%A4")],
    ),
    "host": (KeyPart(type="host"), [make_request(), make_request(host=b"b.example")]),
}


@pytest.mark.parametrize(("part", "requests"), PARTS.values(), ids=PARTS)
def test_key_by_request_part_separates_its_values(part: KeyPart, requests: list[RequestHead]) -> None:
    key_values = keys((part,), *((head, "192.0.2.1") for head in requests))
    assert len(set(key_values)) == len(key_values)
    assert keys((part,), *((head, "192.0.2.2") for head in requests)) == key_values


def test_key_of_equivalent_requests_is_equal() -> None:
    header, query, host = (KeyPart(type="header", name="x-t"), KeyPart(type="query", name="t"), KeyPart(type="host"))
    for part, (one, other) in (
        (header, (make_request(fields=((b"X-T", b"a"),)), make_request(b"/x", fields=((b"x-t", b"a"),)))),
        (query, (make_request(b"/?t=a&u"), make_request(b"/x?u&t=%61"))),
        (host, (make_request(host=b"a.example"), make_request(host=b"A.Example:81"))),
    ):
        first, second = keys((part,), (one, "c"), (other, "c"))
        assert first == second


LONG = b"v" * 33
BY_VALUE = {  # part, a request with this value
    "header": (KeyPart(type="header", name="x-t"), lambda value: make_request(fields=((b"X-T", value),))),
    "query": (KeyPart(type="query", name="t"), lambda value: make_request(b"/?t=" + quote_from_bytes(value).encode())),
    "host": (KeyPart(type="host"), lambda value: make_request(host=value)),
}


@pytest.mark.parametrize(("part", "request_of"), BY_VALUE.values(), ids=BY_VALUE)
def test_r6_long_key_value_is_stored_as_a_hash(part: KeyPart, request_of: Callable[[bytes], RequestHead]) -> None:
    def key(value: bytes) -> bytes:
        (key_value,) = keys((part,), (request_of(value), "c"))
        part_value = key_value[0] if isinstance(key_value, tuple) else key_value
        assert isinstance(part_value, bytes)
        return part_value

    assert key(b"v" * 32) == b"v" * 32
    for value in (LONG, b"v" * 250):
        assert len(key(value)) == 33
        assert key(value) == key(value)
    # Long values that differ only at their end have different buckets, as have a value and its hash.
    values = [LONG, b"v" * 32, b"v" * 34, b"v" * 249 + b"w", b"v" * 250]
    assert len({key(value) for value in values}) == len(values)


def test_r6_short_key_value_cannot_imitate_a_hash() -> None:
    part = KeyPart(type="header", name="x-t")
    (hashed,), (digest,) = keys((part,), (make_request(fields=((b"X-T", LONG),)), "c")), (sha256(LONG).digest(),)
    forged = [
        b"#" + digest,
        digest,
        b"#" + digest[:31],
        b"#" + digest.hex().encode(),
        b"#" + digest.hex().encode()[:31],
    ]
    key_values = keys((part,), *((make_request(fields=((b"X-T", value),)), "c") for value in forged))
    assert hashed not in key_values


def test_r6_long_values_of_several_parts_are_hashed_separately() -> None:
    parts = (KeyPart(type="header", name="x-t"), KeyPart(type="header", name="x-u"))
    key_values = keys(
        parts,
        (make_request(fields=((b"X-T", LONG), (b"X-U", LONG))), "c"),
        (make_request(fields=((b"X-T", LONG + LONG),)), "c"),
        (make_request(fields=((b"X-U", LONG + LONG),)), "c"),
    )
    assert len(set(key_values)) == 3
    assert all(len(part) == 33 for key in key_values for part in key if part is not None)  # type: ignore[attr-defined]


def key_of_rule(part: KeyPart, route: str, name: str) -> object:
    head = make_request()
    head.entry = CompiledMatch(Match(), SimpleNamespace(route=route, name=name))
    return keys((part,), (head, "c"))[0]


def test_key_by_route_or_rule_separates_routes_and_rules() -> None:
    by_route, by_rule = KeyPart(type="route"), KeyPart(type="rule")
    assert key_of_rule(by_route, "demo/a", "r") == key_of_rule(by_route, "demo/a", "s")
    assert key_of_rule(by_route, "demo/a", "r") != key_of_rule(by_route, "demo/b", "r")
    assert len({key_of_rule(by_rule, *rule) for rule in (("demo/a", "r"), ("demo/a", "s"), ("demo/b", "r"))}) == 3


def test_key_of_several_parts_is_a_tuple() -> None:
    parts = (KeyPart(type="client_ip"), KeyPart(type="header", name="x-t"))
    a, b = make_request(fields=((b"X-T", b"a"),)), make_request(fields=((b"X-T", b"b"),))
    key_values = keys(parts, (a, "1.1.1.1"), (b, "1.1.1.1"), (a, "2.2.2.2"), (make_request(), "1.1.1.1"))
    assert len(set(key_values)) == 4


def test_r6_bucket_of_an_absent_value_expires_like_others() -> None:
    # Most requests lack the header: their bucket must not be evicted first, nor prevent the eviction of others.
    limit = Bucket("demo/p", "l", 1, 1.0, 50, max_keys=3)
    key_of = limit_keys.key_of((KeyPart(type="header", name="x-t"),))
    assert key_of is not None
    absent = key_of(make_request(), "c")
    token_bucket.check([(limit, absent, 1)], 0.0)
    for number in range(6):
        token_bucket.check([(limit, key_of(make_request(fields=((b"X-T", b"%d" % number),)), "c"), 1)], 0.0)
        token_bucket.check([(limit, absent, 1)], 0.0)
    assert len(limit.tats) == 3
    assert take(limit, absent, 0.0, 0).remaining == 43
    limit.tats[absent] = 1e9  # in use
    assert limit.forget_idle(100.0, 10) == 2


def test_credential_replaces_look_alike_field_names() -> None:
    fields = [(b"X_Model_Key", b"mine"), (b"X-Model_Key", b"mine"), (b"x-other", b"1")]
    assert Credential("x-model-key", "", "f").apply(fields, b"s") == [(b"x-other", b"1"), (b"x-model-key", b"s")]
