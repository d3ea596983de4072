"""The policies of each rule: what is shared agrees with a naive reading, and costs no product of rules and policies."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferway_contract import format_1, policy_targets
from inferway_contract.canonical import canonical
from inferway_contract.document import ConfigDocument, Limit, Policy, Refusal, Route, Rule, Target
from inferway_testing.examples import examples

REFUSAL = Refusal(code="invalid_rule", detail="x")
NAMES = st.sampled_from(["a", "b", "c"])
IDS = st.builds("{}/{}".format, st.sampled_from(["x", "y"]), NAMES)
RULES = st.lists(st.tuples(NAMES, st.booleans()), max_size=3, unique_by=lambda pair: pair[0]).map(
    lambda pairs: tuple(Rule(name=name, refusal=REFUSAL if refuses else None) for name, refuses in pairs)
)
ROUTES = st.lists(st.builds(Route, id=IDS, rules=RULES), max_size=4, unique_by=lambda route: route.id).map(tuple)
TARGETS = st.lists(st.builds(Target, route=NAMES, rule=st.none() | NAMES), max_size=3).map(tuple)
POLICIES = st.lists(
    st.builds(Policy, id=IDS, targets=TARGETS, limits=st.just((Limit(name="l", requests=1, per=1, burst=1),))),
    max_size=5,
    unique_by=lambda policy: policy.id,
).map(tuple)
CONFIGS = st.builds(ConfigDocument, routes=ROUTES, policies=POLICIES)


def applies(policy: Policy, route: Route, rule: Rule) -> bool:
    """Whether a policy applies, word for word."""
    if rule.refusal is not None or policy.id.partition("/")[0] != route.id.partition("/")[0]:
        return False
    name = route.id.partition("/")[2]
    return not policy.targets or any(
        target.route == name and target.rule in (None, rule.name) for target in policy.targets
    )


def naive(config: ConfigDocument) -> list[list[list[str]]]:
    """Ids of the policies of each rule."""
    return [
        [[policy.id for policy in config.policies if applies(policy, route, rule)] for rule in route.rules]
        for route in config.routes
    ]


def ids(config: ConfigDocument) -> list[list[list[str]]]:
    return [[[policy.id for policy in policies] for policies in rules] for rules in policy_targets.attached(config)]


@given(CONFIGS)
@settings(max_examples=examples(300), deadline=None)
def test_attached_agrees_with_a_naive_reading(config: ConfigDocument) -> None:
    assert ids(config) == naive(config)
    applied = {name for rules in naive(config) for names in rules for name in names}
    assert [policy.id for policy in policy_targets.used(config.routes, config.policies)] == [
        policy.id for policy in config.policies if policy.id in applied
    ]


@given(CONFIGS)
@settings(max_examples=examples(300), deadline=None)
def test_format_1_there_and_back_applies_the_same(config: ConfigDocument) -> None:
    older = format_1.as_format_1(config)
    assert [[list(rule.policies) for rule in route.rules] for route in older.routes] == naive(config)
    read = format_1.ConfigDocument.model_validate_json(canonical(older))
    assert read == older
    newest = format_1.from_format_1(read)
    assert ids(newest) == naive(config)
    assert newest.routes == config.routes
    assert all(type(rule) is Rule for route in newest.routes for rule in route.rules)


def test_rules_with_equal_policies_share_one_tuple() -> None:
    policies = tuple(Policy(id=f"demo/p{number}") for number in range(300))
    own = Policy(id="demo/own", targets=(Target(route="r1"),))
    rules = tuple(Rule(name=f"r{number}") for number in range(16))
    config = ConfigDocument(
        routes=tuple(Route(id=f"demo/r{number}", rules=rules) for number in range(50)), policies=(*policies, own)
    )
    shared = {id(of_rule) for of_route in policy_targets.attached(config) for of_rule in of_route}
    assert len(shared) == 2
    older = format_1.as_format_1(config)
    assert len({id(rule.policies) for route in older.routes for rule in route.rules}) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '{"routes":[{"id":"x/a","rules":[{"name":"r","policies":["x/p"]}]}]}',
            "names policy x/p, which does not exist",
        ),
        ('{"policies":[{"id":"x/p","targets":[{"route":"a"}]}]}', "policy x/p has targets"),
        (
            '{"routes":[{"id":"x/a","rules":[{"name":"r","policies":["y/p"]}]}],"policies":[{"id":"y/p"}]}',
            "policy y/p applies to route x/a of another namespace",
        ),
    ],
)
def test_format_1_that_contradicts_itself_is_rejected(content: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        format_1.from_format_1(format_1.ConfigDocument.model_validate_json(content))
