"""The order of the stages, and the rules that have them."""

import pytest
from fake_transport import BACKEND, Wire

from inferway_contract.document import Cache, Cors, DirectResponse, Limit, Policy, Redirect, Rule, Target

LIMITS = Policy(
    id="demo/limits",
    targets=(Target(route="a", rule="limited"),),
    limits=(Limit(name="all", requests=1, per=1000, burst=1),),
)

RULES: dict[str, tuple[Rule, list[str]]] = {
    "a backend": (Rule(name="r", backends=(BACKEND,)), ["forward"]),
    "limits": (Rule(name="limited", backends=(BACKEND,)), ["limit", "forward"]),
    "CORS": (Rule(name="r", backends=(BACKEND,), cors=Cors(allow_origins=("*",))), ["forward"]),
    "a redirect": (Rule(name="r", redirect=Redirect(status=302, hostname="b.example")), ["respond", "forward"]),
    "a direct response": (
        Rule(name="r", respond=DirectResponse(status=200, body="", content_type="text/plain")),
        ["respond", "forward"],
    ),
    "a cache": (Rule(name="r", backends=(BACKEND,), cache=Cache(ttl=1000)), ["cache", "forward"]),
    "all of them": (
        Rule(
            name="limited",
            backends=(BACKEND,),
            cors=Cors(allow_origins=("*",)),
            cache=Cache(ttl=1000),
        ),
        ["limit", "cache", "forward"],
    ),
}


@pytest.mark.parametrize(("rule", "names"), RULES.values(), ids=RULES)
def test_rule_has_the_stages_that_it_needs_in_order(rule: Rule, names: list[str]) -> None:
    runtime = Wire(rule, policies=(LIMITS,)).gateway.context.runtime
    assert runtime is not None
    assert [stage.__name__ for stage in runtime.rules[0].stages] == names


@pytest.mark.parametrize("rule", [rule for rule, _ in RULES.values()], ids=RULES)
def test_only_a_rule_with_cors_answers_preflights(rule: Rule) -> None:
    runtime = Wire(rule, policies=(LIMITS,)).gateway.context.runtime
    assert runtime is not None
    preflight = runtime.rules[0].preflight
    assert (preflight is not None) == (rule.cors is not None)
    if preflight is not None:
        # No limit before it, and no upstream behind it.
        assert [stage.__name__ for stage in preflight.stages] == ["preflight"]
