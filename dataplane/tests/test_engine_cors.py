"""CORS in the engine: which rule a preflight is for, when it is free of limits, and the fields of every response."""

import json

import pytest
from fake_transport import BACKEND, OK, Wire, answer, get, post

from inferway_contract.document import (
    Backend,
    Cache,
    Cors,
    DirectResponse,
    HeaderEdit,
    HeaderValue,
    KeyPart,
    Limit,
    Match,
    PathMatch,
    Policy,
    Redirect,
    Refusal,
    Rule,
    Target,
    ValueMatch,
)

APP = "https://app.example"
CORS = Cors(allow_origins=(APP,))
POLICY = Policy(id="demo/limits", limits=(Limit(name="all", requests=1, per=3_600_000, burst=1),))
ORIGIN = b"Origin: " + APP.encode()


def rule(name: str, cors: Cors | None = None, **match: object) -> Rule:
    """A rule with one match; its own name is in the responses that the gateway gives."""
    return Rule(
        name=name,
        matches=(Match.model_validate(match),),
        backends=(BACKEND,),
        cors=None if cors is None else cors.model_copy(update={"allow_headers": (name,)}),
    )


def preflight(wanted: bytes = b"POST", target: bytes = b"/infer", *fields: bytes) -> bytes:
    return get(target, ORIGIN, b"Access-Control-Request-Method: " + wanted, *fields, method=b"OPTIONS")


def outcome(rules: list[Rule], request: bytes, policies: tuple[Policy, ...] = ()) -> str:
    """What answers a request: `gateway NAME` a rule's CORS filter, `upstream` a backend, else the problem's code."""
    wire = Wire(*rules, policies=policies)
    wire.send(request)
    if wire.upstream_received():
        return "upstream"
    response = answer(wire.client_received())
    if response.status == 204:
        return f"gateway {response['access-control-allow-headers']}"
    return str(json.loads(response.body)["code"])


HEADER = (ValueMatch(name="x-plan", value="free"),)
INFER = PathMatch(value="/infer")
RULES: dict[str, tuple[list[Rule], bytes, str]] = {
    "the method that it announces": ([rule("a", CORS, method="POST", path=INFER)], preflight(), "gateway a"),
    "not another method": ([rule("a", CORS, method="POST", path=INFER)], preflight(b"PUT"), "no_route"),
    "methods have a case": ([rule("a", CORS, method="POST")], preflight(b"post"), "no_route"),
    "the rule of each method": (
        [rule("a", CORS, method="POST"), rule("b", CORS, method="PUT")],
        preflight(b"PUT"),
        "gateway b",
    ),
    "headers are not known yet": ([rule("a", CORS, headers=HEADER)], preflight(), "gateway a"),
    "a query is known": (
        [rule("a", CORS, query=(ValueMatch(name="q", value="1"),)), rule("b", CORS)],
        preflight(target=b"/infer?q=2"),
        "gateway b",
    ),
    "the more specific path": ([rule("a", CORS), rule("b", CORS, path=INFER)], preflight(), "gateway b"),
    "a rule without the filter shadows one with it": (
        [rule("a", CORS), rule("b", method="POST", path=INFER)],
        preflight(),
        "upstream",
    ),
    "a rule with headers may be another's": ([rule("a", CORS), rule("b", headers=HEADER)], preflight(), "gateway a"),
    "a rule for OPTIONS is for others": (
        [rule("a", CORS, method="POST"), rule("b", method="OPTIONS")],
        preflight(),
        "gateway a",
    ),
    "no filter": ([rule("a")], preflight(), "upstream"),
    "no filter, no OPTIONS": ([rule("a", method="POST")], preflight(), "no_route"),
    "no origin": (
        [rule("a", CORS)],
        get(b"/", b"Access-Control-Request-Method: POST", method=b"OPTIONS"),
        "upstream",
    ),
    "no method announced": ([rule("a", CORS)], get(b"/", ORIGIN, method=b"OPTIONS"), "upstream"),
    "two methods announced": ([rule("a", CORS)], preflight(b"POST\r\nAccess-Control-Request-Method: PUT"), "upstream"),
    "not OPTIONS": ([rule("a", CORS)], get(b"/", ORIGIN, b"Access-Control-Request-Method: POST"), "upstream"),
    "an ambiguous path": (
        [rule("a", CORS, path=PathMatch(value="/a")), rule("b")],
        preflight(target=b"/a%2Fb"),
        "ambiguous_path",
    ),
    "two rules with filters": (
        [rule("a", CORS, path=PathMatch(value="/a")), rule("b", CORS)],
        preflight(target=b"/a%2Fb"),
        "ambiguous_path",
    ),
}


@pytest.mark.parametrize(("rules", "request_", "expected"), RULES.values(), ids=RULES)
def test_preflight_is_for_the_request_that_it_announces(rules: list[Rule], request_: bytes, expected: str) -> None:
    assert outcome(rules, request_) == expected


def test_preflight_of_a_broken_rule_is_refused() -> None:
    broken = Rule(name="a", cors=CORS, refusal=Refusal(code="invalid_rule", detail="why"))
    assert outcome([broken], preflight()) == "invalid_rule"


def statuses(wire: Wire, *requests: bytes) -> list[int]:
    found = []
    for request in requests:
        wire.send(request)
        if wire.upstream_received():
            wire.answer(OK)
        found.append(answer(wire.client_received()).status)
    return found


def test_preflight_that_the_gateway_answers_is_not_limited() -> None:
    wire = Wire(rule("a", CORS, method="POST"), policies=(POLICY,))
    request = post(b"/infer", b"", ORIGIN)
    assert statuses(wire, *[preflight()] * 3, request, preflight(), request) == [204, 204, 204, 200, 204, 429]


@pytest.mark.parametrize("cors", [None, CORS], ids=["no filter", "shadowed"])
def test_other_preflight_is_limited_as_an_ordinary_request(cors: Cors | None) -> None:
    rules = [rule("a", cors), rule("b", method="POST")]
    first = POLICY.model_copy(update={"targets": (Target(route="a", rule="a"),)})
    wire = Wire(*rules, policies=(first,))
    assert statuses(wire, preflight(), preflight()) == [200, 429]
    assert statuses(wire, get(b"/", ORIGIN)) == [429]  # of the same bucket


def test_ambiguous_key_of_a_preflight_does_not_matter() -> None:
    limit = Limit(name="key", requests=1, per=3_600_000, burst=1, key=(KeyPart(type="header", name="x-t"),))
    wire = Wire(rule("a", CORS), policies=(Policy(id="demo/limits", limits=(limit,)),))
    assert statuses(wire, preflight(b"POST", b"/", b"X-T: 1", b"X-T: 2")) == [204]


# --- the fields of every response ----------------------------------------------------------------------------------------------

DEAD = Backend(refusal="backend_not_found")
LIMITED = Rule(name="limited", backends=(BACKEND,))
NONE = Policy(
    id="demo/none",
    targets=(Target(route="a", rule="limited"),),
    limits=(Limit(name="none", requests=0, per=1000, burst=1),),
)
TENANT = Policy(
    id="demo/tenant",
    targets=(Target(route="a", rule="tenant"),),
    limits=(Limit(name="tenant", requests=1, per=1000, burst=1, key=(KeyPart(type="header", name="x-t"),)),),
)
REQUEST = get(b"/", ORIGIN)
ANSWERS: dict[str, tuple[Rule, bytes, bytes, int]] = {
    "of the upstream": (Rule(name="a", backends=(BACKEND,)), REQUEST, OK, 200),
    "an error of the upstream": (
        Rule(name="a", backends=(BACKEND,)), REQUEST, b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", 401,
    ),
    "without content": (Rule(name="a", backends=(BACKEND,)), REQUEST, b"HTTP/1.1 204 No\r\n\r\n", 204),
    "not modified": (Rule(name="a", backends=(BACKEND,)), REQUEST, b"HTTP/1.1 304 No\r\n\r\n", 304),
    "garbage of the upstream": (Rule(name="a", backends=(BACKEND,)), REQUEST, b"garbage\r\n\r\n", 502),
    "no backend": (Rule(name="a", backends=(DEAD,)), REQUEST, b"", 500),
    "a broken rule": (Rule(name="a", refusal=Refusal(code="invalid_rule", detail="")), REQUEST, b"", 500),
    "over a limit": (LIMITED, REQUEST, b"", 429),
    "an ambiguous key": (
        Rule(name="tenant", backends=(BACKEND,)),
        get(b"/", ORIGIN, b"X-T: 1", b"X-T: 2"), b"", 400,
    ),
    "too large a body": (Rule(name="a", backends=(BACKEND,), max_request_body=1), post(b"/", b"ab", ORIGIN), b"", 413),
    "a redirect": (Rule(name="a", redirect=Redirect(status=302, hostname="b.example")), REQUEST, b"", 302),
    "a direct response": (
        Rule(name="a", respond=DirectResponse(status=200, content_type="text/plain", body="x")), REQUEST, b"", 200,
    ),
    "a direct response without content": (
        Rule(name="a", respond=DirectResponse(status=204, content_type="", body="")), REQUEST, b"", 204,
    ),
    "with other fields set": (
        Rule(
            name="a",
            backends=(BACKEND,),
            response_headers=HeaderEdit(set=(HeaderValue(name="x-a", value="1"),), remove=("x-b",)),
        ),
        REQUEST, OK, 200,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("plain", "request_", "response", "status"), ANSWERS.values(), ids=ANSWERS)
def test_every_response_of_a_rule_has_its_cors_fields(
    plain: Rule, request_: bytes, response: bytes, status: int
) -> None:
    wire = Wire(plain.model_copy(update={"cors": CORS}), policies=(NONE, TENANT))
    wire.send(request_)
    if response:
        wire.answer(response)
    sent = answer(wire.client_received())
    assert sent.status == status
    assert sent.all("access-control-allow-origin") == [APP]
    assert sent.all("vary") == ["Origin"]


def test_stored_response_has_the_fields_of_each_origin() -> None:
    cors = Cors(allow_origins=(APP, "https://b.example"))
    wire = Wire(Rule(name="a", backends=(BACKEND,), cors=cors, cache=Cache(ttl=60_000)))
    wire.send(REQUEST)
    wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: *\r\n\r\n")
    assert answer(wire.client_received()).all("access-control-allow-origin") == [APP]
    for origin, allowed in ((APP, [APP]), ("https://b.example", ["https://b.example"]), ("https://evil.example", [])):
        wire.send(get(b"/", b"Origin: " + origin.encode()))
        sent = answer(wire.client_received())
        assert (sent["x-cache"], sent.all("access-control-allow-origin"), sent["vary"]) == ("HIT", allowed, "Origin")
