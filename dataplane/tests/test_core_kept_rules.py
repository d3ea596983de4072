"""Rules that are kept from document to document: the same as compiled from the start, and really kept."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from routing_oracle import make_request

from inferway_contract.document import (
    Backend,
    ConfigDocument,
    Cors,
    DirectResponse,
    Endpoint,
    EndpointsDocument,
    KeyPart,
    Limit,
    Match,
    PathMatch,
    Policy,
    Route,
    Rule,
    Target,
    Url,
    ValueMatch,
)
from inferway_contract.pattern_bounds import PatternBounds
from inferway_dataplane.core import runtime
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.runtime import Runtime
from inferway_dataplane.core.steps import completed
from inferway_dataplane.observability.stats import Stats
from inferway_testing.examples import examples

HOSTS = ("a.example", "b.example", "*.example")
BOUNDS = PatternBounds(route=400, namespace=600, document=900)
ANSWER = DirectResponse(status=200, content_type="text/plain")


class Endpoints:
    """A pool: one object for each address."""

    def __init__(self) -> None:
        self.by_address: dict[object, object] = {}

    def __call__(self, host: str, port: int, *, tls: bool, is_name: bool, further: tuple[str, ...] = ()) -> Any:
        return self.by_address.setdefault((host, port, tls, further), object())


def build(
    config: ConfigDocument,
    services: dict[str, tuple[Endpoint, ...]],
    pool: Endpoints,
    older: Runtime | None = None,
    bounds: PatternBounds = BOUNDS,
) -> Runtime:
    return completed(
        runtime.building(
            ConfigDocument.model_validate_json(config.model_dump_json()),  # equal, and never identical
            EndpointsDocument(services=services),
            endpoint_of=pool,
            stats_of=Stats().of,
            older=older,
            now=0.0,
            bounds=bounds,
        )
    )


def limit(name: str, requests: int, kind: Any) -> Limit:
    return Limit(name=name, requests=requests, per=1000, burst=5, key=(KeyPart(type=kind),) if kind else ())


patterns = st.sampled_from(["/a.*", "/(", r"/\pL+", "/[ab]{1,20}", "/x{1,200}", r"/\pL{9}"])
paths = st.one_of(
    st.builds(PathMatch, type=st.just("RegularExpression"), value=patterns),
    st.builds(PathMatch, type=st.sampled_from(["Exact", "PathPrefix"]), value=st.sampled_from(["/", "/a", "/a/b"])),
)
headers = st.builds(
    ValueMatch, name=st.just("x"), type=st.just("RegularExpression"), value=st.sampled_from(["1|2", "("])
)
matches = st.builds(Match, path=paths, headers=st.lists(headers, max_size=1).map(tuple))
backends = st.sampled_from(
    [
        Backend(service="n/a:80"),
        Backend(service="n/b:80", weight=2),
        Backend(url=Url(scheme="https", host="model.example", port=443)),
        Backend(refusal="backend_not_found"),
    ]
)
rules = st.builds(
    Rule,
    name=st.sampled_from("rs"),
    matches=st.lists(matches, min_size=1, max_size=2).map(tuple),
    backends=st.lists(backends, max_size=2).map(tuple),
    respond=st.sampled_from([None, ANSWER]),
    cors=st.sampled_from([None, Cors(allow_origins=("*",))]),
)
routes = st.builds(
    Route,
    id=st.sampled_from(["n/a", "n/b", "m/a"]),
    hostnames=st.lists(st.sampled_from(HOSTS), max_size=2, unique=True).map(tuple),
    rules=st.lists(rules, max_size=2, unique_by=lambda rule: rule.name).map(tuple),
)
policies = st.builds(
    Policy,
    id=st.sampled_from(["n/p", "n/q", "m/p"]),
    targets=st.sampled_from([(), (Target(route="a"),), (Target(route="a", rule="r"),)]),
    limits=st.sampled_from(
        [(limit("l", 1, "rule"),), (limit("l", 2, "rule"),), (limit("l", 1, None), limit("k", 1, "host"))]
    ),
)
configs = st.builds(
    ConfigDocument,
    routes=st.lists(routes, max_size=3, unique_by=lambda route: route.id).map(tuple),
    policies=st.lists(policies, max_size=2, unique_by=lambda policy: policy.id).map(tuple),
)
endpoints = st.fixed_dictionaries(
    {
        name: st.sampled_from([(), (Endpoint(address="10.0.0.1", port=1),), (Endpoint(address="10.0.0.2", port=1),)])
        for name in ("n/a:80", "n/b:80")
    }
)
REQUESTS = [
    make_request(path, host, method, fields)
    for path in (b"/", b"/a", b"/a/b", b"/ab", b"/xx")
    for host in (b"a.example", b"b.example", b"c.example", b"other")
    for method, fields in ((b"GET", ()), (b"GET", ((b"X", b"1"),)))
]


def view(built: Runtime) -> object:
    """All that requests can see of a runtime."""
    return (
        [_selected(built, number) for number in range(len(REQUESTS))],
        [_rule(rule) for rule in built.rules],
        built.upstreams,
        built.secrets,
        {name: (bucket.interval, bucket.burst) for name, bucket in built.buckets.items()},
        {owner: list(members) for owner, members in built.members.items()},
        set(built.counters_of),
        built.invalid_rules,
        built.credentials,
        set(built.programs),
    )


def _selected(built: Runtime, number: int) -> object:
    selected = built.table.select(REQUESTS[number])
    return selected if isinstance(selected, Problem) else _rule(selected.rule)


def _rule(rule: Any) -> object:
    return (
        rule.route,
        rule.name,
        rule.problem,
        rule.responses is None,
        rule.preflight is None,
        [(bucket.policy, bucket.name, bucket.interval, key is None) for bucket, key in rule.limits],
        [(backend.name, backend.problem, backend.endpoints) for backend in rule.backend_set.backends],
    )


@settings(max_examples=examples(150))
@given(st.lists(st.tuples(configs, endpoints), min_size=2, max_size=5))
def test_kept_runtime_equals_one_from_the_start(
    documents: list[tuple[ConfigDocument, dict[str, tuple[Endpoint, ...]]]],
) -> None:
    pool = Endpoints()
    older = None
    for config, services in documents:
        older = build(config, services, pool, older)
        assert view(older) == view(build(config, services, pool))
        # Every bucket that a request is charged to is one of the runtime.
        buckets = {id(bucket) for bucket in older.buckets.values()}
        assert all(id(bucket) in buckets for rule in older.rules for bucket, _ in rule.limits)


def regex(value: str) -> Match:
    return Match(path=PathMatch(type="RegularExpression", value=value))


def route(name: str, *values: str, hostnames: tuple[str, ...] = ("a.example",), backend: str = "n/a:80") -> Route:
    rule = Rule(name="r", matches=tuple(map(regex, values)), backends=(Backend(service=backend),))
    return Route(id=name, hostnames=hostnames, rules=(rule,))


ADDRESSES = {"n/a:80": (Endpoint(address="10.0.0.1", port=1),), "n/b:80": (Endpoint(address="10.0.0.2", port=1),)}


def test_unchanged_rule_table_and_pattern_are_kept() -> None:
    pool = Endpoints()
    config = ConfigDocument(routes=(route("n/a", "/a+"), route("n/b", "/b+", hostnames=("b.example",))))
    first = build(config, ADDRESSES, pool)
    changed = config.model_copy(update={"routes": (config.routes[0], route("n/b", "/c+", hostnames=("b.example",)))})
    second = build(changed, ADDRESSES, pool, first)
    assert second.rules[0] is first.rules[0]
    assert second.rules[1] is not first.rules[1]
    assert second.programs["/a+"] is first.programs["/a+"]
    assert set(second.programs) == {"/a+", "/c+"}
    kept = set(map(id, first.table.tables.values())) & set(map(id, second.table.tables.values()))
    assert len(kept) == 1  # that of a.example


def test_rule_is_compiled_again_when_its_endpoints_change() -> None:
    pool = Endpoints()
    config = ConfigDocument(routes=(route("n/a", "/a+"), route("n/b", "/b+", backend="n/b:80")))
    first = build(config, ADDRESSES, pool)
    second = build(config, {**ADDRESSES, "n/b:80": (Endpoint(address="10.0.0.3", port=1),)}, pool, first)
    assert second.rules[0] is first.rules[0]
    assert second.rules[1] is not first.rules[1]
    assert second.programs["/b+"] is first.programs["/b+"]  # its pattern is not


def test_route_over_a_bound_refuses_what_it_may_match() -> None:
    costly = route("n/a", *(rf"/v{number}/\pL+" for number in range(9)))
    cheap = route("n/b", "/w[0-9]+")
    built = build(ConfigDocument(routes=(costly, cheap)), ADDRESSES, Endpoints(), bounds=PatternBounds(route=5000))
    of_costly, of_cheap = (built.rules[0], built.rules[1])
    assert of_costly.problem is problems.INVALID_RULE
    assert of_cheap.problem is None
    selected = built.table.select(make_request(b"/v3/x"))
    assert not isinstance(selected, Problem)
    assert selected.rule is of_costly
    assert built.table.select(make_request(b"/w1")).rule is of_cheap  # type: ignore[union-attr]
    (invalid,) = built.invalid_rules
    assert "the patterns of this route take" in invalid.detail
    assert "may take 5000" in invalid.detail
    assert not any(r"\pL+" in pattern for pattern in built.programs)


def test_route_over_the_bound_of_a_namespace_spares_others() -> None:
    bounds = PatternBounds(namespace=3000)
    names = ("n/a", "n/b", "m/a")
    config = ConfigDocument(
        routes=tuple(route(name, rf"/{name[0]}{name[2]}\pL+", hostnames=()) for name in (*names, "n/c"))
    )
    built = build(config, ADDRESSES, Endpoints(), bounds=bounds)
    assert [rule.problem is None for rule in built.rules] == [True, True, True, False]
    older = config.model_copy(update={"routes": config.routes[1:]})
    again = build(older, ADDRESSES, Endpoints(), built, bounds=bounds)
    assert [rule.problem is None for rule in again.rules] == [True, True, True]


def test_rules_with_equal_policies_share_their_limits() -> None:
    rules = tuple(Rule(name=str(number), respond=ANSWER) for number in range(5))
    keys = ("rule", "route", "client_ip", None)
    policy = Policy(id="n/p", limits=tuple(limit(f"l{number}", 1, key) for number, key in enumerate(keys)))
    built = build(ConfigDocument(routes=(Route(id="n/a", rules=rules),), policies=(policy,)), {}, Endpoints())
    assert len({id(rule.limits) for rule in built.rules}) == len({id(rule.limit_headers) for rule in built.rules}) == 1


def test_hostnames_of_a_route_share_their_entries() -> None:
    hostnames = tuple(f"h{number}.example" for number in range(16))
    built = build(ConfigDocument(routes=(route("n/a", "/a", hostnames=hostnames),)), ADDRESSES, Endpoints())
    assert len(built.table.tables) == 1
    selected = {id(built.table.select(make_request(b"/a", name.encode()))) for name in hostnames}
    assert len(selected) == 1


def test_patterns_of_many_namespaces_refuse_no_small_one() -> None:
    """Older routes of five namespaces took the bound of all; a valid younger route of another answered 500."""
    large = tuple(route(f"evil{number}/a", rf"/{number}\pL+", hostnames=()) for number in range(5))
    config = ConfigDocument(routes=(*large, route("victim/a", "/v[0-9]+", hostnames=("v.example",))))
    built = build(config, ADDRESSES, Endpoints(), bounds=PatternBounds(document=5000))
    assert built.rules[-1].problem is None
    assert {rule.problem for rule in built.rules[:-1]} == {problems.INVALID_RULE}


def test_literal_beginning_takes_no_program_and_no_place() -> None:
    literal = [route(f"n/{number}", rf"\/{number}\/" + "x" * 240 + r"\C*") for number in range(20)]
    built = build(ConfigDocument(routes=(*literal, route("n/z", "/v[0-9]+"))), ADDRESSES, Endpoints())
    assert all(rule.problem is None for rule in built.rules)
    path = b"/3/" + b"x" * 240
    assert built.table.select(make_request(path + b"\xff")).rule is built.rules[3]  # type: ignore[union-attr]
    assert isinstance(built.table.select(make_request(path[:-1])), Problem)
