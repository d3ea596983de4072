"""Fields that the gateway writes itself: an upstream's own of the same name would contradict them."""

import pytest
from fake_transport import BACKEND, Answer, Wire, answer, get

from inferway_contract.document import Cache, HeaderEdit, HeaderValue, Limit, Match, PathMatch, Policy, Rule

LIMITS = (b"RateLimit", b"RateLimit-Policy", b"X-RateLimit-Limit", b"X-RateLimit-Remaining", b"X-RateLimit-Reset")
UPSTREAMS = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Cache: theirs\r\n%b\r\nok" % b"".join(
    b"%b: theirs\r\n" % name for name in LIMITS
)
LIMIT = Limit(name="l", requests=1, per=1_000, burst=5)


def response_of_rule(headers: str | None = None, **settings: object) -> Answer:
    """What the client gets of an answer that has all of these fields. `headers`: of the policy; None = no policy."""
    policies = (
        () if headers is None else (Policy.model_validate({"id": "demo/p", "limits": (LIMIT,), "headers": headers}),)
    )
    wire = Wire(
        Rule.model_validate(
            {"name": "all", "backends": (BACKEND,), "policies": tuple(one.id for one in policies), **settings}
        ),
        policies=policies,
    )
    for _ in range(2):  # the second time the answer's head is known
        wire.send(get())
        wire.answer(UPSTREAMS)
        response = answer(wire.client_received())
    return response


def values(response: Answer, *names: bytes) -> list[list[str]]:
    return [response.all(name.decode()) for name in names]


def test_plain_rule_forwards_the_fields_of_the_upstream() -> None:
    assert values(response_of_rule(), *LIMITS, b"X-Cache") == [["theirs"]] * 6


def test_standard_limits_replace_the_fields_of_the_upstream() -> None:
    response = response_of_rule("Standard")
    assert values(response, *LIMITS) == [['"l";r=3;t=0'], ['"l";q=5;w=5'], [], [], []]
    assert response["x-cache"] == "theirs"


def test_legacy_limits_replace_the_fields_of_the_upstream() -> None:
    response = response_of_rule("Legacy")
    assert values(response, *LIMITS) == [[], [], ["5"], ["3"], ["0"]]


def test_limits_without_headers_forward_the_upstream_fields() -> None:
    assert values(response_of_rule("Off"), *LIMITS) == [["theirs"]] * 5


def test_cache_replaces_x_cache_of_the_upstream() -> None:
    wire = Wire(Rule(name="all", backends=(BACKEND,), cache=Cache(ttl=60_000)))
    wire.send(get())
    wire.answer(UPSTREAMS)
    response = answer(wire.client_received())
    assert response["x-cache"] == "MISS"
    assert values(response, *LIMITS) == [["theirs"]] * 5
    wire.send(get())
    assert answer(wire.client_received())["x-cache"] == "HIT"


@pytest.mark.parametrize("name", ["Cache-Status-Of-Ours", "x-CACHE"])
def test_cache_status_field_has_the_configured_name(name: str) -> None:
    wire = Wire(Rule(name="all", backends=(BACKEND,), cache=Cache(ttl=60_000, status_header=name)))
    upstreams = UPSTREAMS.replace(b"X-Cache", b"cache-status-OF-ours: theirs\r\nX-Cache")
    wire.send(get())
    wire.answer(upstreams)
    response = answer(wire.client_received())
    assert response[name] == "MISS"
    assert response["x-cache"] == ("MISS" if name.lower() == "x-cache" else "theirs")
    assert response["cache-status-of-ours"] == ("theirs" if name.lower() == "x-cache" else "MISS")


def test_header_modifier_may_set_a_dropped_field() -> None:
    edit = HeaderEdit(set=(HeaderValue(name="X-RateLimit-Limit", value="edited"),))
    response = response_of_rule("Standard", response_headers=edit)
    assert values(response, *LIMITS) == [['"l";r=3;t=0'], ['"l";q=5;w=5'], ["edited"], [], []]


def test_rules_of_one_upstream_do_not_share_fields() -> None:
    # The head of an answer is remembered: whose fields pass is the rule's, not the head's.
    cached = Rule(
        name="cached", matches=(Match(path=PathMatch(value="/cached")),), backends=(BACKEND,), cache=Cache(ttl=60_000)
    )
    wire = Wire(cached, Rule(name="plain", backends=(BACKEND,)))
    for target, value in ((b"/cached", "MISS"), (b"/plain", "theirs"), (b"/cached?again", "MISS")):
        wire.send(get(target))
        wire.answer(UPSTREAMS)
        assert answer(wire.client_received())["x-cache"] == value
