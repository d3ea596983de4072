"""Fields that the gateway writes itself: an upstream's own of the same name would contradict them."""

import pytest
from fake_transport import BACKEND, Answer, Wire, answer, get, header

from inferway_contract.document import (
    Cache,
    DirectResponse,
    HeaderEdit,
    HeaderValue,
    Limit,
    Match,
    PathMatch,
    Policy,
    Redirect,
    Rule,
)

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
        Rule.model_validate({"name": "all", "backends": (BACKEND,), **settings}),
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


# --- filters that name what the gateway writes ------------------------------------------------------------------------

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
REQUEST_FIELDS = {b"via": "1.1 ours", b"x-request-id": "fixed-0001", b"traceparent": TRACE}


def sent_by_rule(edit: HeaderEdit) -> bytes:
    wire = Wire(Rule(name="all", backends=(BACKEND,), request_headers=edit))
    for _ in range(2):  # the second time the request's head is known
        wire.send(get())
        request = wire.upstream_received()
        wire.answer(UPSTREAMS)
        assert answer(wire.client_received()).status == 200
    return request


@pytest.mark.parametrize("name", REQUEST_FIELDS, ids=bytes.decode)
def test_filter_removes_what_the_gateway_sends_upstream(name: bytes) -> None:
    request = sent_by_rule(HeaderEdit(remove=(name.decode(),)))
    assert header(request, name) == []
    assert all(len(header(request, other)) == 1 for other in REQUEST_FIELDS if other != name)


@pytest.mark.parametrize(("name", "value"), REQUEST_FIELDS.items(), ids=[name.decode() for name in REQUEST_FIELDS])
def test_filter_replaces_what_the_gateway_sends_upstream(name: bytes, value: str) -> None:
    request = sent_by_rule(HeaderEdit(set=(HeaderValue(name=name.decode().title(), value=value),)))
    assert header(request, name) == [value.encode()]


def test_filter_removes_all_that_the_gateway_sends_upstream() -> None:
    request = sent_by_rule(HeaderEdit(remove=tuple(name.decode() for name in REQUEST_FIELDS)))
    names = [line.partition(b":")[0] for line in request.split(b"\r\n")[1:-2]]
    assert names == [b"host", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-for"]


def test_added_via_stands_before_the_gateways() -> None:
    request = sent_by_rule(HeaderEdit(add=(HeaderValue(name="Via", value="1.1 edge"),)))
    assert header(request, b"via") == [b"1.1 edge", b"1.1 inferway"]


OMITTED = {
    "standard": ("Standard", ("RateLimit",), [[], ['"l";q=5;w=5'], [], [], []]),
    "standard policy": ("Standard", ("ratelimit-policy",), [['"l";r=3;t=0'], [], [], [], []]),
    "standard, both": ("Standard", ("ratelimit", "ratelimit-policy"), [[]] * 5),
    "legacy": ("Legacy", ("X-RateLimit-Remaining",), [[], [], ["5"], [], ["0"]]),
    "legacy, all": ("Legacy", ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"), [[]] * 5),
}


@pytest.mark.parametrize(("style", "names", "expected"), OMITTED.values(), ids=OMITTED)
def test_filter_removes_fields_of_limits(style: str, names: tuple[str, ...], expected: list[list[str]]) -> None:
    assert values(response_of_rule(style, response_headers=HeaderEdit(remove=names)), *LIMITS) == expected


@pytest.mark.parametrize(("style", "name"), [("Standard", "RateLimit"), ("Legacy", "X-RateLimit-Limit")])
def test_filter_replaces_fields_of_limits(style: str, name: str) -> None:
    edit = HeaderEdit(set=(HeaderValue(name=name, value="ours"),))
    assert response_of_rule(style, response_headers=edit).all(name) == ["ours"]


def own_response(edit: HeaderEdit, **action: object) -> Answer:
    wire = Wire(Rule.model_validate({"name": "all", "response_headers": edit, **action}))
    wire.send(get())
    return answer(wire.client_received())


OWN = {
    "direct": {"respond": DirectResponse(status=200, content_type="text/plain", body="ok")},
    "redirect": {"redirect": Redirect(status=302)},
}


@pytest.mark.parametrize("action", OWN.values(), ids=OWN)
def test_filter_edits_the_gateways_own_responses(action: dict[str, object]) -> None:
    assert own_response(HeaderEdit(), **action).all("server") == ["inferway"]
    changed = HeaderEdit(
        set=tuple(
            HeaderValue(name=name, value="ours") for name in ("Server", "Content-Type", "Location", "Retry-After")
        )
    )
    response = own_response(changed, **action)
    names = ("server", "content-type", "location", "retry-after")
    assert [response.all(name) for name in names] == [["ours"]] * 4
    removed = own_response(HeaderEdit(remove=names), **action)
    assert [removed.all(name) for name in names] == [[]] * 4
    assert removed.all("content-length") == [str(len(response.body))]
