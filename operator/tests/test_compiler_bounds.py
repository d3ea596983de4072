"""Bounds: how large a resource may be, how long a message gets, how long compiling takes."""

import time
from typing import Any

from inferway_contract.conditions import Condition
from inferway_contract.field_errors import FieldError, printable
from inferway_operator import compiler
from inferway_operator.compiler import messages
from inferway_operator.world.objects import RouteObject
from inferway_operator.world.resources import MAX_SPEC_BYTES, parse
from inferway_operator.world.world import from_manifests

Manifest = dict[str, Any]


def _route(rules: list[Any], name: str = "shop") -> Manifest:
    return {
        "apiVersion": "inferway.dev/v1alpha1",
        "kind": "GatewayRoute",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {"rules": rules},
    }


def _answer(body: str = "") -> Manifest:
    return {"filters": [{"type": "DirectResponse", "directResponse": {"statusCode": 200, "body": body}}]}


def _accepted(manifest: Manifest) -> Condition:
    (verdict,) = compiler.compile(from_manifests([manifest], standalone=True)).verdicts
    return verdict.conditions[0]


def test_spec_over_256_kib_is_too_large_and_rejects_requests() -> None:
    manifest = _route([{"matches": [{"path": {"value": f"/{n}"}}], **_answer("x" * 4096)} for n in range(64)])
    made = compiler.compile(from_manifests([manifest], standalone=True))
    assert made.verdicts[0].conditions[0].reason == "TooLarge"
    assert not made.verdicts[0].conditions[0].status
    assert "the limit is 262144; split it" in made.verdicts[0].conditions[0].message
    # Little of it is read: what its paths have in common is refused.
    (rule,) = made.config.routes[0].rules
    assert rule.refusal is not None
    assert rule.refusal.code == "invalid_rule"
    assert [match.path.value for match in rule.matches] == [r"\/\C*"]


def test_spec_size_is_counted_in_bytes_of_canonical_json() -> None:
    exact = _route([_answer()])
    empty = len(b'{"rules":[{"filters":[{"type":"DirectResponse","directResponse":{"statusCode":200,"body":""}}]}]}')
    body = exact["spec"]["rules"][0]["filters"][0]["directResponse"]
    body["body"] = "ü" * ((MAX_SPEC_BYTES - empty) // 2) + "x" * ((MAX_SPEC_BYTES - empty) % 2)
    assert not _is_too_large(exact)
    body["body"] += "x"
    assert _is_too_large(exact)


def _is_too_large(manifest: Manifest) -> bool:
    parsed = parse(manifest)
    assert isinstance(parsed, RouteObject)
    return parsed.is_too_large


def test_recursive_spec_is_reported() -> None:
    manifest = _route([_answer()])
    manifest["spec"]["again"] = manifest["spec"]
    assert _accepted(manifest).message.startswith("spec: cannot be written as JSON")


def test_policy_over_256_kib_is_too_large() -> None:
    manifest: Manifest = {
        "apiVersion": "inferway.dev/v1alpha1",
        "kind": "RateLimitPolicy",
        "metadata": {"name": "fair"},
        "spec": {"limits": [{"name": "x" * MAX_SPEC_BYTES}]},
    }
    assert _accepted(manifest).reason == "TooLarge"


def test_route_of_65_rules_rejects_requests_to_each_rule() -> None:
    manifest = _route([_answer() for _ in range(65)])
    made = compiler.compile(from_manifests([manifest], standalone=True))
    assert made.verdicts[0].conditions[0].message == "spec.rules: may have at most 64, not 65"
    assert all(rule.refusal for rule in made.config.routes[0].rules)


def test_field_in_snake_case_is_unknown() -> None:
    manifest = _route([{"backend_refs": [{"name": "web", "port": 80}]}])
    assert "backend_refs: unknown field" in _accepted(manifest).message


def test_message_of_many_errors_ends_with_their_count() -> None:
    condition = _accepted(_route([{"typo": 1} for _ in range(64)]))
    assert len(condition.message) <= messages.MESSAGE_CHARACTERS + 20
    assert condition.message.endswith(" more")


def test_message_always_contains_the_first_error() -> None:
    assert messages.joined([FieldError((), "x" * 5000), "y"], 100) == "x" * 100 + "; and 1 more"
    assert messages.joined(["a", "b"], 100) == "a; b"
    assert messages.joined([]) == ""


def test_message_escapes_unprintable_text() -> None:
    condition = _accepted(_route([{"\x1b[31m\n": 1, **_answer()}]))
    assert condition.message.startswith("spec.rules[0].\\x1b[31m\\n: unknown field")
    assert printable("a\ud800ü") == "a\\ud800ü"


def test_2000_routes_of_3_rules_compile_within_20_s() -> None:
    services = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": "demo"},
            "spec": {"ports": [{"port": 80}]},
        }
    ]
    manifests = [
        _route(
            [
                {"name": f"r{rule}", "matches": [_match(number, rule)], "backendRefs": [{"name": "web", "port": 80}]}
                for rule in range(3)
            ],
            f"route-{number}",
        )
        for number in range(2000)
    ]
    begun = time.perf_counter()
    world = from_manifests([*manifests, *services], standalone=True)
    parsed = time.perf_counter()
    made = compiler.compile(world)
    done = time.perf_counter()
    print(f"2,000 routes of 3 rules: parsed in {parsed - begun:.2f} s, compiled in {done - parsed:.2f} s")
    assert len(made.config.routes) == 2000
    # A tenth of this on an idle core; the bound is for what must never come: a square of the number of routes.
    assert done - begun < 20


def _match(number: int, rule: int) -> Manifest:
    return {
        "path": {"type": ("PathPrefix", "Exact", "RegularExpression")[rule], "value": f"/api/{number}/{rule}"},
        "method": "GET",
        "headers": [{"name": "X-Tenant", "value": f"t{number}"}],
    }
