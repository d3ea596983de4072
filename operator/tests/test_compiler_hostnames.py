"""Property: under any policy, no route has a hostname that its namespace may not claim."""

from typing import Any

import compiler_inputs
from hypothesis import given, settings
from hypothesis import strategies as st

from inferway_contract.canonical import canonical
from inferway_contract.conditions import Reason
from inferway_operator import compiler
from inferway_operator.compiler import Compilation
from inferway_operator.world import hostname_policy
from inferway_operator.world.hostname_policy import HostnamePolicy, HostnameRule
from inferway_operator.world.world import Settings, World, from_manifests
from inferway_testing.examples import examples

Manifest = dict[str, Any]

HOSTS = (
    "a.example.com",
    "b.example.com",
    "*.example.com",
    "x.a.example.com",
    "*.a.example.com",
    "example.com",
    "other.net",
)
SPACES = ("demo", "shop", "other")
ROUTES = st.builds(
    lambda name, namespace, hostnames: {
        "apiVersion": "inferway.dev/v1alpha1",
        "kind": "GatewayRoute",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            **({"hostnames": hostnames} if hostnames else {}),
            "rules": [{"filters": [{"type": "DirectResponse", "directResponse": {"statusCode": 200}}]}],
        },
    },
    st.sampled_from("abcd"),
    st.sampled_from(SPACES),
    st.lists(st.sampled_from(HOSTS), max_size=3, unique=True),
)
LABELLED = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"team": "x"}}}]
POLICIES = st.lists(
    st.builds(
        lambda who, hostnames, exclusive: HostnameRule.model_validate(
            {**who, "hostnames": hostnames, "exclusive": exclusive}
        ),
        st.sampled_from([*({"namespaces": [name]} for name in (*SPACES, "*")), {"namespaceLabels": {"team": "x"}}]),
        st.lists(st.sampled_from((*HOSTS, "*")), max_size=3),
        st.booleans(),
    ),
    max_size=4,
).map(tuple)
ALL: HostnamePolicy = (HostnameRule(namespaces=("*",), hostnames=("*",)),)


def compiled(manifests: list[Manifest], policy: HostnamePolicy | None) -> Compilation:
    found = from_manifests(manifests, standalone=False)
    return compiler.compile(
        World(
            Settings(hostname_policy=policy), routes=found.routes, policies=found.policies, namespaces=found.namespaces
        )
    )


@given(st.lists(ROUTES, max_size=6), POLICIES)
@settings(deadline=None, max_examples=examples(300))
def test_compiler_publishes_allowed_hostnames_only(routes: list[Manifest], policy: HostnamePolicy) -> None:
    made = compiled([*routes, *LABELLED], policy)
    free = compiled([*routes, *LABELLED], None)
    published = {route.id: route.hostnames for route in made.config.routes}
    refused = {
        verdict.meta.id for verdict in made.verdicts if verdict.conditions[0].reason is Reason.HOSTNAME_NOT_ALLOWED
    }
    for route in free.config.routes:
        namespace = route.id.partition("/")[0]
        labels = {"team": "x"} if namespace == "shop" else {}
        patterns = hostname_policy.patterns_of(policy, namespace, labels)
        allowed = tuple(
            name
            for name in route.hostnames or ("",)
            if hostname_policy.may_claim(name, patterns)
            and hostname_policy.reserved_by(policy, namespace, labels, name) is None
        )
        assert published.get(route.id) == (None if not allowed else () if allowed == ("",) else allowed)
        assert (route.id in refused) == (allowed != (route.hostnames or ("",)))


@given(compiler_inputs.MANIFESTS)
@settings(deadline=None, max_examples=examples(100))
def test_hostname_policy_allowing_all_changes_nothing(manifests: list[Manifest]) -> None:
    with_it, without = compiled(manifests, ALL), compiled(manifests, None)
    assert canonical(with_it.config) == canonical(without.config)
    assert with_it.verdicts == without.verdicts


@given(compiler_inputs.MANIFESTS)
@settings(deadline=None, max_examples=examples(100))
def test_hostname_policy_allowing_none_leaves_no_routes(manifests: list[Manifest]) -> None:
    made = compiled(manifests, ())
    assert made.config.routes == ()
    assert made.config.policies == ()
    assert all(condition.message.isprintable() for verdict in made.verdicts for condition in verdict.conditions)


ASKED = [name for name in HOSTS if not name.startswith("*.")] + ["new.net", "y.a.example.com"]


@given(st.lists(ROUTES, max_size=6), POLICIES)
@settings(deadline=None, max_examples=examples(300))
def test_exclusive_host_is_served_by_its_namespaces_only(routes: list[Manifest], policy: HostnamePolicy) -> None:
    made = compiled([*routes, *LABELLED], policy)
    for route in made.config.routes:
        namespace = route.id.partition("/")[0]
        labels = {"team": "x"} if namespace == "shop" else {}
        for host in ASKED:
            if not any(
                name in ("", host) or (name[:2] == "*." and host.endswith(name[1:]))
                for name in route.hostnames or ("",)
            ):
                continue  # its requests do not reach the route
            exclusive = [
                (hostname_policy.may_claim(host, (pattern,)), pattern, rule.is_for(namespace, labels))
                for rule in policy
                if rule.exclusive
                for pattern in rule.hostnames
            ]
            covering = [(pattern, is_for) for covers, pattern, is_for in exclusive if covers]
            named = [is_for for pattern, is_for in covering if pattern == host]
            assert not covering or any(is_for for _, is_for in covering)
            assert not named or any(named)
