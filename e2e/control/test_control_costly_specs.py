"""The costliest specs within the schema and 256 KiB: a search, and the worst that it has found. No process, no time.

What is counted does not depend on the machine: bytes of the document, program sizes of its patterns, entries of the table.
"""

from __future__ import annotations

from collections.abc import Callable

import costly_specs as costly
import pytest
from costly_specs import Manifest
from hypothesis import given, settings, target
from hypothesis import strategies as st

from inferway_contract import pattern_bounds
from inferway_contract.canonical import canonical
from inferway_contract.resources import SPECS
from inferway_operator import compiler
from inferway_operator.compiler import Compilation
from inferway_operator.world.resources import MAX_SPEC_BYTES
from inferway_operator.world.world import from_manifests
from inferway_testing.examples import examples

GROWTH = 4
"""Bytes of the document for each byte written."""
BASE = 8 << 10
"""Bytes of a document besides, as the details of the first errors."""

NAMESPACE = "n" * 63
"""The longest name, because ids in the document contain it."""
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "s", "namespace": NAMESPACE},
    "spec": {"ports": [{"name": f"p{port}", "port": port} for port in range(10_000, 10_100)]},
}


def compiled(*manifests: Manifest) -> Compilation:
    """Compile objects of one namespace, next to a Service with many ports."""
    placed = [{**one, "metadata": {**one["metadata"], "namespace": NAMESPACE}} for one in manifests]
    return compiler.compile(from_manifests([*placed, SERVICE], standalone=False))


def growth(*manifests: Manifest) -> float:
    """Return the bytes of the document, less `BASE`, for each byte that was written."""
    document = canonical(compiled(*manifests).config)
    return (len(document) - BASE) / sum(map(costly.compact, manifests))


def pattern_sizes(made: Compilation) -> int:
    """Return the sum of the program sizes that a pod compiles for the routes."""
    matches = [match for route in made.config.routes for rule in route.rules for match in rule.matches]
    return pattern_bounds.sum_of(pattern_bounds.patterns_of(matches), 1 << 62)


# --- the worst that were found ---------------------------------------------------------------------------------------


def named_backends(ref: Manifest) -> Manifest:
    """Return a route of as many of this reference as the schema admits."""
    rules = [{"backendRefs": [ref] * costly.BACKENDS} for _ in range(costly.RULES)]
    return costly.route("evil", rules)


def of_targets(policies: int) -> list[Manifest]:
    """Return policies with the most targets, each a rule with a long name."""
    names = [f"{number}-" + "z" * 200 for number in range(8)]
    rules = [{"name": name, "matches": [{"path": {"value": f"/{n}"}}], "filters": [costly.ANSWER]} for n, name in enumerate(names)]  # fmt: skip
    refs = [{"kind": "GatewayRoute", "name": f"r{k}", "sectionName": name} for k in range(4) for name in names]
    return [costly.route(f"r{k}", rules) for k in range(4)] + [
        costly.policy(f"p{number}", targetRefs=refs) for number in range(policies)
    ]


def with_bad_patterns(most: int) -> Manifest:
    """Return a route whose matches are all invalid."""
    return costly.of_matches("evil", [{"path": {"type": "RegularExpression", "value": "("}}] * most)


WORST: dict[str, Callable[[], list[Manifest]]] = {
    "policies of long names": lambda: costly.of_policies(40, 3),
    "targets of long names": lambda: of_targets(20),
    "references without a Service": lambda: [named_backends({"name": "x", "port": 1})],
    "references without a port": lambda: [named_backends({"name": "s", "port": 1})],
    "references that resolve": lambda: [named_backends({"name": "s", "port": 10_000})],
    "references by url": lambda: [costly.fitted(costly.backends, costly.RULES * costly.BACKENDS)],
    "references without a grant": lambda: [named_backends({"name": "s", "namespace": "m" * 63, "port": 1})],
    "invalid matches": lambda: [with_bad_patterns(costly.MOST_MATCHES)],
    "hostnames times matches": lambda: [costly.fitted(costly.products, costly.MOST_MATCHES)],
    "backslashes": lambda: [costly.fitted(lambda parts: costly.escapes(parts, "\\"), costly.RULES)],
    "control characters": lambda: [costly.fitted(lambda parts: costly.escapes(parts, "\x01"), costly.RULES)],
    "other letters": lambda: [costly.fitted(lambda parts: costly.escapes(parts, "\u2028"), costly.RULES)],
    "patterns": lambda: [costly.header_patterns(costly.PATTERNS[0], 256)],
    "many patterns": lambda: [costly.fitted(lambda n: costly.header_patterns("", n), costly.MOST_CONDITIONS)],
}


@pytest.mark.parametrize("name", WORST)
def test_worst_spec_is_within_the_schema_and_the_bounds(name: str) -> None:
    written = WORST[name]()
    for one in written:
        SPECS[one["kind"]].model_validate(one["spec"])
        assert costly.size(one) <= MAX_SPEC_BYTES
    assert growth(*written) <= GROWTH
    assert pattern_sizes(compiled(*written)) <= pattern_bounds.DEFAULT.namespace


# --- the search ------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "x" * 63])
PATHS = st.sampled_from(["/", "/a", "/%c3%bc", "/" + "p" * 1000])
PATTERNS = st.sampled_from([*filter(None, costly.PATTERNS), "(", "/a", r"/\pL+"])
CONDITIONS = st.builds(
    lambda name, value, kind: {"name": name, "value": value, "type": kind},
    NAMES,
    PATTERNS | st.sampled_from(["v", "\u0416"]),
    st.sampled_from(["Exact", "RegularExpression"]),
)
MATCHES = st.fixed_dictionaries(
    {},
    optional={
        "path": st.builds(lambda kind, value: {"type": kind, "value": value}, st.sampled_from(["Exact", "PathPrefix"]), PATHS)
        | st.builds(lambda value: {"type": "RegularExpression", "value": value}, PATTERNS),
        "method": st.just("GET"),
        "headers": st.lists(CONDITIONS, max_size=3, unique_by=lambda one: one["name"]),
        "queryParams": st.lists(CONDITIONS, max_size=3, unique_by=lambda one: one["name"]),
    },
)  # fmt: skip
REFS = st.sampled_from(
    [
        {"name": "s", "port": 10_000},
        {"name": "s", "port": 1},
        {"name": "x", "port": 1, "weight": 0},
        {"name": "s", "port": 1, "namespace": "m" * 63},
        {"url": "http://192.0.2.1"},
        {"url": "http://127.0.0.1:1"},
    ]
)
ACTIONS = st.one_of(
    st.builds(lambda refs, times: {"backendRefs": (refs * times)[:32]}, st.lists(REFS, min_size=1, max_size=4), st.integers(1, 16)),
    st.builds(lambda letter, count: {"filters": [{"type": "DirectResponse", "directResponse": {"statusCode": 200, "body": letter * count}}]},
              st.sampled_from('a"\\\x01\u2028\U0001f600'), st.integers(0, 4000)),
    st.just({"filters": [{"type": "RequestRedirect", "requestRedirect": {"statusCode": 302}}]}),
)  # fmt: skip
RULES = st.builds(
    lambda action, matches, more: {**action, **more, **({"matches": matches} if matches else {})},
    ACTIONS,
    st.lists(MATCHES, max_size=4),
    st.fixed_dictionaries({}, optional={"name": NAMES, "timeouts": st.just({}), "cache": st.just({}), "retry": st.just({})}),
)  # fmt: skip


@st.composite
def routes(draw: st.DrawFn, name: str) -> Manifest:
    """A route of a few rules, repeated as often as the schema and the size admit."""
    rules = draw(st.lists(RULES, min_size=1, max_size=4))
    hostnames = tuple(f"h{number}.evil.example" for number in range(draw(st.sampled_from([1, 16]))))
    times = draw(st.integers(1, costly.RULES // len(rules)))
    made = costly.fitted(lambda parts: costly.route(name, rules * parts, hostnames), times)
    named = [rule for rule in made["spec"]["rules"] if "name" in rule]
    for number, rule in enumerate(named):  # names are unique in a route
        made["spec"]["rules"][made["spec"]["rules"].index(rule)] = {**rule, "name": f"{rule['name'][:55]}{number}"}
    return made


@st.composite
def namespaces(draw: st.DrawFn) -> list[Manifest]:
    """All objects of one tenant."""
    targets = st.lists(
        st.sampled_from(["r0", "r1", "lost"]).map(lambda name: {"kind": "GatewayRoute", "name": name}), max_size=3
    )
    written = [draw(routes(f"r{number}")) for number in range(draw(st.integers(1, 2)))]
    for number in range(draw(st.sampled_from([0, 1, 30]))):
        refs = draw(targets) if number < 3 else []
        written.append(costly.policy(f"p{number}-" + draw(NAMES), **({"targetRefs": refs} if refs else {})))
    return written


def check_namespace(written: list[Manifest]) -> None:
    """Compile, and count."""
    document = canonical(compiled(*written).config)
    wrote = sum(map(costly.compact, written))
    target(len(document) / wrote, label="bytes of the document for each written")
    assert len(document) <= GROWTH * wrote + BASE
    size = pattern_sizes(compiled(*written))
    target(float(size), label="sizes of the patterns")
    assert size <= pattern_bounds.DEFAULT.namespace


@settings(max_examples=examples(10))
@given(namespaces())
def test_search_finds_no_spec_beyond_the_bounds(written: list[Manifest]) -> None:
    check_namespace(written)


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(max_examples=200)
@given(namespaces())
def test_long_search_finds_no_spec_beyond_the_bounds(written: list[Manifest]) -> None:
    check_namespace(written)
