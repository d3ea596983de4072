"""What the compiler reports as overlaps, compared with what the data plane's table serves."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferway_contract.conditions import ConditionType
from inferway_contract.document import ConfigDocument
from inferway_dataplane.core.messages import request_head, request_target
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.routing import table
from inferway_dataplane.core.routing.compiled_match import CompiledMatch
from inferway_dataplane.core.routing.table import RoutingTable
from inferway_dataplane.core.steps import completed
from inferway_operator import compiler
from inferway_operator.compiler import Verdict
from inferway_operator.world.world import from_manifests
from inferway_testing.examples import examples

HOSTS = ("a.example", "b.a.example", "*.example", "*.a.example")
ASKED_HOSTS = ("a.example", "b.a.example", "c.example")
ASKED_PATHS = ("/", "/a", "/a/b", "/a/b/c", "/ab", "/b")

PATHS = st.sampled_from(
    [
        *({"type": "PathPrefix", "value": value} for value in ("/", "/a", "/a/b", "/b")),
        *({"type": "Exact", "value": value} for value in ("/a", "/a/b", "/ab")),
        *(
            {"type": "RegularExpression", "value": value}
            for value in ("/a/.*", "/a", "/(a|b)", "/a[a-z]", "(?i)/A.*", "/b(")
        ),
    ]
)
MATCHES = st.fixed_dictionaries(
    {"path": PATHS},
    optional={
        "method": st.sampled_from(["GET", "POST"]),
        "headers": st.just([{"name": "X", "value": "1"}]) | st.just([{"name": "x", "value": "2"}]),
    },
)
ROUTES = st.lists(
    st.tuples(
        st.sampled_from(["one", "two"]),
        st.lists(st.sampled_from(HOSTS), max_size=2, unique=True),
        st.lists(MATCHES, min_size=1, max_size=2),
    ),
    min_size=2,
    max_size=4,
)


def manifest(number: int, namespace: str, hostnames: list[str], matches: list[dict[str, Any]]) -> dict[str, Any]:
    """A route with one rule; the higher the number, the younger."""
    return {
        "apiVersion": "inferway.dev/v1alpha1",
        "kind": "GatewayRoute",
        "metadata": {
            "name": f"r{number}",
            "namespace": namespace,
            "creationTimestamp": f"2026-01-0{number + 1}T00:00:00Z",
        },
        "spec": {
            "hostnames": hostnames,
            "rules": [
                {"matches": matches, "filters": [{"type": "DirectResponse", "directResponse": {"statusCode": 200}}]}
            ],
        },
    }


def table_of(config: ConfigDocument, *ids: str, has_any_host: bool = True) -> RoutingTable[str]:
    """The table of some routes; each entry's rule is the id of its route."""
    return completed(
        table.building(
            [
                (
                    route.hostnames or ("",),
                    tuple(CompiledMatch(match, route.id) for rule in route.rules for match in rule.matches),
                )
                for route in config.routes
                if route.id in ids and (route.hostnames or has_any_host)
            ]
        )
    )


def request(host: str, path: str, method: str, header: str) -> RequestHead:
    fields = [(b"Host", host.encode()), *([(b"X", header.encode())] if header else [])]
    head = request_head.read_request(method.encode(), fields, is_http_1_1=True)
    assert isinstance(head, RequestHead)
    assert request_target.locate(head, path.encode()) is None
    return head


def served(routes: RoutingTable[str], head: RequestHead) -> str | None:
    selected = routes.select(head)
    return None if isinstance(selected, Problem) else selected.rule


def overlaps_of(verdict: Verdict) -> str:
    return next((item.message for item in verdict.conditions if item.type is ConditionType.OVERLAPS), "")


@given(ROUTES)
@settings(max_examples=examples(300), deadline=None)
def test_every_request_taken_from_another_namespace_is_reported(
    routes: list[tuple[str, list[str], list[dict[str, Any]]]],
) -> None:
    made = compiler.compile(
        from_manifests([manifest(number, *route) for number, route in enumerate(routes)], standalone=False)
    )
    verdicts = {verdict.meta.id: verdict for verdict in made.verdicts}
    hostnames = {route.id: route.hostnames for route in made.config.routes}
    whole = table_of(made.config, *verdicts)
    heads = [
        request(host, path, method, header)
        for host in ASKED_HOSTS
        for path in ASKED_PATHS
        for method in ("GET", "POST")
        for header in ("", "1", "2")
    ]
    for other in verdicts:
        for taker in verdicts:
            if taker.partition("/")[0] == other.partition("/")[0]:
                continue
            # A route without hostnames has no host of its own, except against another one without.
            alone = table_of(made.config, other, has_any_host=not hostnames[taker])
            for head in heads:
                if served(whole, head) != taker or served(alone, head) is None or verdicts[other].shadowed:
                    continue
                assert f"requests to {taker} rule" in overlaps_of(verdicts[other])
                assert f"requests of {other} rule" in overlaps_of(verdicts[taker])


CERTAIN = [
    ("*.example", "PathPrefix", "/", "a.example", "Exact", "/login", "a.example/login"),
    ("*.example", "Exact", "/login", "a.example", "PathPrefix", "/", "a.example/login"),
    ("*.example", "PathPrefix", "/", "*.a.example", "PathPrefix", "/x", "b.a.example/x"),
    ("a.example", "PathPrefix", "/", "a.example", "PathPrefix", "/a", "a.example/a"),
    ("a.example", "PathPrefix", "/a", "a.example", "Exact", "/a", "a.example/a"),
    ("", "PathPrefix", "/", "", "Exact", "/login", "a.example/login"),
]


@pytest.mark.parametrize("case", CERTAIN)
@pytest.mark.parametrize("is_taker_older", [True, False])
def test_certain_overlap_is_what_the_data_plane_serves(case: tuple[str, ...], is_taker_older: bool) -> None:
    host, kind, path, taker_host, taker_kind, taker_path, asked = case
    other = manifest(1, "one", [host] if host else [], [{"path": {"type": kind, "value": path}}])
    taker = manifest(
        0 if is_taker_older else 2,
        "two",
        [taker_host] if taker_host else [],
        [{"path": {"type": taker_kind, "value": taker_path}}],
    )
    made = compiler.compile(from_manifests([other, taker], standalone=False))
    name = f"two/{taker['metadata']['name']}"
    verdicts = {verdict.meta.id: overlaps_of(verdict) for verdict in made.verdicts}
    assert (
        f"rule rule-0: {kind} '{path}' on {host or 'any host'} loses requests to {name} rule rule-0:"
        in verdicts["one/r1"]
    )
    assert f" takes requests of one/r1 rule rule-0: {kind} '{path}' on {host or 'any host'}" in verdicts[name]
    asked_host, _, rest = asked.partition("/")
    assert served(table_of(made.config, "one/r1", name), request(asked_host, f"/{rest}", "GET", "")) == name
