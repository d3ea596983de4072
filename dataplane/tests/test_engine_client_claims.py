"""What peers claim of the client, over whole requests: matching, limits, cache, and what the upstream receives."""

import pytest
from fake_transport import BACKEND, OK, Answer, Wire, answer, answers, bytewise, get, header, plain, post
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inferway_contract.document import (
    Auth,
    Cache,
    HeaderEdit,
    HeaderValue,
    KeyPart,
    Limit,
    Match,
    PathMatch,
    Policy,
    Redirect,
    Rule,
    Target,
    ValueMatch,
)
from inferway_dataplane.engine.http1.head_cache import HeadCache
from inferway_testing.examples import examples

PROXY, TRUSTED = "10.0.0.1", "10.0.0.0/8"


def forwarded(data: bytes, *rules: Rule, peer: str = PROXY, **settings: str) -> bytes:
    """What the upstream receives of one request; a trusted proxy sends it."""
    wire = Wire(*rules, peer=peer, **{"trusted_proxies": TRUSTED, **settings})
    wire.send(data)
    return wire.upstream_received()


# --- scheme and authority --------------------------------------------------------------------------------------------

BY_HTTPS = (b"X-Forwarded-Proto: https", b"X-Forwarded-Host: shop.example")


def test_redirect_behind_a_proxy_leads_to_the_public_host() -> None:
    wire = Wire(Rule(name="all", redirect=Redirect(status=302)), peer=PROXY, trusted_proxies=TRUSTED)
    for _ in range(3):  # parsed, with known fields, and known as a whole
        wire.send(get(b"/x", *BY_HTTPS, host=b"gateway.internal:8080"))
        assert answer(wire.client_received())["location"] == "https://shop.example/x"


def test_heads_of_proxies_and_other_peers_are_not_mixed_up() -> None:
    wire = Wire(Rule(name="all", redirect=Redirect(status=302)), peer=PROXY, trusted_proxies=TRUSTED)
    stranger = wire.connect("203.0.113.9")
    data = get(b"/x", *BY_HTTPS)
    for _ in range(4):
        wire.send(data)
        assert answer(wire.client_received())["location"] == "https://shop.example/x"
        wire.send(data, client=stranger)
        assert answer(wire.client_received(stranger))["location"] == "http://a.example/x"


def test_heads_over_tls_and_without_it_are_memoised_apart() -> None:
    heads = HeadCache()
    kinds = [
        heads.requests_of(scheme, is_trusted=trusted) for scheme in (b"http", b"https") for trusted in (True, False)
    ]
    assert [(one.sender.scheme, one.sender.is_trusted) for one in kinds] == [
        (b"http", True), (b"http", False), (b"https", True), (b"https", False)
    ]  # fmt: skip
    assert len({id(one.find_same_request) for one in kinds}) == 4


@pytest.mark.parametrize("target", [b"/x", b"//evil.example/x"])
def test_redirect_without_host_is_refused(target: bytes) -> None:
    wire = Wire(Rule(name="all", redirect=Redirect(status=302)))
    wire.send(b"GET %b HTTP/1.0\r\n\r\n" % target)
    response = answer(wire.client_received())
    assert (response.status, "location" in response) == (400, False)


SENT = {  # fields of a trusted proxy -> X-Forwarded-Proto, -Host, -Port that go upstream
    "nothing": ((), ([b"http"], [b"a.example"], [])),
    "all": ((b"X-Forwarded-Proto: https", b"X-Forwarded-Host: B.example:81", b"X-Forwarded-Port: 82"),
            ([b"https"], [b"B.example:81"], [b"81"])),
    "lists": ((b"X-Forwarded-Proto: http, https", b"X-Forwarded-Host: evil.example,b.example"),
              ([b"https"], [b"b.example"], [])),
    "garbage": ((b"X-Forwarded-Proto: gopher", b"X-Forwarded-Host: a/b", b"X-Forwarded-Port: x"),
                ([b"http"], [b"a.example"], [])),
    "empty": ((b"X-Forwarded-Proto:", b"X-Forwarded-Host:", b"X-Forwarded-Port:"), ([b"http"], [b"a.example"], [])),
    "a port": ((b"X-Forwarded-Port: 8443", b"X-Forwarded-Proto: https"), ([b"https"], [b"a.example"], [b"8443"])),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "sent"), SENT.values(), ids=SENT)
def test_upstream_receives_what_the_gateway_believes(
    fields: tuple[bytes, ...], sent: tuple[list[bytes], list[bytes], list[bytes]]
) -> None:
    request = forwarded(get(b"/", *fields))
    names = (b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port")
    assert tuple(header(request, name) for name in names) == sent


def test_forwarded_host_is_not_sent_empty() -> None:
    for peer in (PROXY, "203.0.113.9"):
        request = forwarded(b"GET / HTTP/1.0\r\n\r\n", peer=peer)
        assert header(request, b"x-forwarded-host") == []
        assert header(request, b"x-forwarded-proto") == [b"http"]


def test_forwarded_for_is_sent_without_empty_elements() -> None:
    request = forwarded(get(b"/", b"X-Forwarded-For: 1.1.1.1, ,", b"x-forwarded-for:", b"X-Forwarded-For: 10.0.0.2"))
    assert header(request, b"x-forwarded-for") == [b"1.1.1.1, 10.0.0.2, 10.0.0.1"]
    assert header(forwarded(get(b"/", b"X-Forwarded-For: ,")), b"x-forwarded-for") == [b"10.0.0.1"]


# --- a claim changes nothing -------------------------------------------------------------------------------------------

NAMES = (
    "x-forwarded-for", "x-forwarded-scheme", "x-forwarded-user", "forwarded", "x-real-ip", "true-client-ip",
    "cf-connecting-ip", "x-client-cert", "ssl-client-verify", "x-cluster-client-ip", "x-envoy-original-path",
    "x-original-url", "x-rewrite-url", "front-end-https", "x-url-scheme", "x-http-method-override", "x-edge-user",
)  # fmt: skip


def claim_rules(name: str) -> tuple[tuple[Rule, ...], tuple[Policy, ...]]:
    """Rules that use this field wherever a rule can: a match, a limit, the cache's key, a stored answer's Vary."""
    limit = Limit(name="l", requests=1, per=60_000, burst=2, key=(KeyPart(type="header", name=name),))
    matching = Match(path=PathMatch(value="/m"), headers=(ValueMatch(name=name, value="v"),))
    return (
        Rule(name="matching", matches=(matching,), redirect=Redirect(status=301)),
        Rule(name="limited", matches=(Match(path=PathMatch(value="/l")),), backends=(BACKEND,)),
        Rule(name="keyed", matches=(Match(path=PathMatch(value="/k")),), backends=(BACKEND,),
             cache=Cache(ttl=60_000, key_headers=(name,))),
        Rule(name="varied", backends=(BACKEND,), cache=Cache(ttl=60_000)),
    ), (Policy(id="demo/p", targets=(Target(route="a", rule="limited"),), limits=(limit,)),)  # fmt: skip


VARYING = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nVary: %b\r\n\r\nok"


def run(name: str, field: tuple[bytes, ...], *, trusted: str = "") -> list[tuple[bytes, list[tuple[int, list[str]]]]]:
    """What the upstream and the client get of the same requests, with a field or without it."""
    rules, policies = claim_rules(name)
    seen = []
    wire = Wire(*rules, policies=policies, now=lambda: 100.0, trusted_proxies=trusted, proxy_fields="x-edge-*")
    plain_client = wire.connect()
    # The stored answers of plain requests are found by those with the field, and the other way round.
    for target in (b"/m", b"/l", b"/l", b"/l", b"/k", b"/k", b"/v", b"/v"):
        for client, fields in ((wire.client, field), (plain_client, ())):
            wire.send(get(target, *fields), client=client)
            sent = wire.upstream_received()
            if sent:
                wire.answer(VARYING % name.encode())
            responses = [(one.status, one.all("x-cache")) for one in answers(wire.client_received(client))]
            seen.append((plain(sent), responses))
    return seen


@settings(max_examples=examples(60), deadline=None)
@given(st.sampled_from(NAMES), st.data(), st.sampled_from([b"v", b"", b"https", b"1.1.1.1"]))
@example("x-forwarded-scheme", None, b"http")
def test_claim_of_a_stranger_changes_nothing(name: str, data: st.DataObject | None, value: bytes) -> None:
    spelled = name
    if data is not None:
        letters = [
            data.draw(st.sampled_from("-_.")) if one == "-" else data.draw(st.sampled_from((one, one.upper())))
            for one in name
        ]
        spelled = "".join(letters)
    assert run(name, (spelled.encode() + b": " + value,)) == run(name, ())


def test_claim_of_a_trusted_proxy_is_used() -> None:
    # The table above can fail: the same requests of a trusted proxy differ.
    for name in ("x-forwarded-user", "x-edge-user"):
        assert run(name, (name.encode() + b": v",), trusted="203.0.113.9") != run(name, (), trusted="203.0.113.9")


# --- spellings of what a rule edits --------------------------------------------------------------------------------------

EDITS = HeaderEdit(set=(HeaderValue(name="X-Tenant", value="ours"),), remove=("x-debug",))


@pytest.mark.parametrize("field", [b"X_Tenant: a", b"x-Tenant: a", b"X.Debug: a", b"X-DEBUG: a", b"x_debug: a"])
def test_edited_field_is_dropped_in_every_spelling(field: bytes) -> None:
    request = forwarded(get(b"/", field), Rule(name="all", backends=(BACKEND,), request_headers=EDITS))
    assert field not in request
    assert header(request, b"x-tenant") == [b"ours"]


def test_edit_of_an_underscore_name_leaves_the_usual_one() -> None:
    edits = HeaderEdit(set=(HeaderValue(name="X_Tenant", value="ours"),))
    request = forwarded(get(b"/", b"X-Tenant: a"), Rule(name="all", backends=(BACKEND,), request_headers=edits))
    assert (header(request, b"x-tenant"), header(request, b"x_tenant")) == ([b"a"], [b"ours"])


@pytest.mark.parametrize("spelled", [b"X_Model_Secret", b"x.model-secret", b"X-MODEL-SECRET"])
def test_credential_replaces_the_clients_in_every_spelling(spelled: bytes, tmp_path: object) -> None:
    directory = tmp_path
    (directory / "key").write_text("ours")  # type: ignore[operator, attr-defined]
    backend = BACKEND.model_copy(update={"auth": Auth(header="x-model-secret", prefix="", file="key")})
    request = forwarded(
        get(b"/", spelled + b": theirs"), Rule(name="all", backends=(backend,)), secrets_directory=str(directory)
    )
    assert b"theirs" not in request
    assert header(request, b"x-model-secret") == [b"ours"]


# --- forwardedHeaders: Omit ------------------------------------------------------------------------------------------------


def test_backend_may_receive_nothing_of_the_client() -> None:
    hiding = BACKEND.model_copy(update={"forwarded_headers": "Omit"})
    fields = (b"X-Forwarded-For: 1.1.1.1", b"X-Forwarded-Port: 443", b"X-Real-IP: 1.1.1.1", b"Forwarded: for=1.1.1.1",
              b"X-Forwarded-Prefix: /x", b"X-Edge-User: a", b"X-Own: kept")  # fmt: skip
    for peer in (PROXY, "203.0.113.9"):
        request = forwarded(
            get(b"/", *fields), Rule(name="all", backends=(hiding,)), peer=peer, proxy_fields="x-edge-*"
        )
        names = {line.partition(b":")[0].lower() for line in request.split(b"\r\n")[1:] if line}
        assert names == {b"host", b"x-own", b"via", b"x-request-id", b"traceparent"}
        assert peer.encode() not in request


# --- Max-Forwards ------------------------------------------------------------------------------------------------------------

HOPS = {  # lines -> status of the gateway's own answer, or what is sent on
    "1": ((b"1",), [b"0"]),
    "5": ((b"5",), [b"4"]),
    "zeros before": ((b"005",), [b"4"]),
    "the most": ((b"256",), [b"254"]),
    "a huge number": ((b"9" * 5_000,), [b"255"]),
    "zero": ((b"0",), 204),
    "zeros": ((b"000",), 204),
    "empty": ((b"",), 400),
    "negative": ((b"-1",), 400),
    "a list": ((b"0, 5",), 400),
    "two lines": ((b"5", b"0"), 400),
    "a name": ((b"none",), 400),
}


@pytest.mark.parametrize(("values", "expected"), HOPS.values(), ids=HOPS)
def test_max_forwards_of_options_counts_down(values: tuple[bytes, ...], expected: list[bytes] | int) -> None:
    wire = Wire()
    data = get(b"/x", *[b"Max-Forwards: " + value for value in values], method=b"OPTIONS")
    for _ in range(2):  # parsed, then known
        wire.send(data)
        request = wire.upstream_received()
        if isinstance(expected, int):
            response = answer(wire.client_received())
            assert (request, response.status) == (b"", expected)
            assert ("allow" in response) == (expected == 204)
        else:
            assert header(request, b"max-forwards") == expected
            wire.answer(OK)
            assert answer(wire.client_received()).status == 200


def test_max_forwards_of_other_methods_is_passed_unread() -> None:
    request = forwarded(get(b"/x", b"Max-Forwards: 0", b"Max-Forwards: x"))
    assert header(request, b"max-forwards") == [b"0", b"x"]


# --- 103 and x-upstream-request-id ---------------------------------------------------------------------------------------------

HINT = (
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-Own: 1\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\n"
    b"Content-Length: 5\r\nX-Request-Id: theirs\r\nX-Secret: s\r\n\r\n"
)


def hints_of(*rules: Rule, times: int = 1) -> list[Answer]:
    wire = Wire(*rules)
    wire.send(get())
    wire.answer(HINT * times + OK)
    return answers(wire.client_received())


def test_hints_pass_whole_but_for_what_ends_here() -> None:
    hint, last = hints_of()
    assert (hint.status, last.status) == (103, 200)
    assert hint.fields == [
        (b"Link", b"</a>"),
        (b"X-Own", b"1"),
        (b"x-upstream-request-id", b"theirs"),
        (b"X-Secret", b"s"),
    ]


def test_hints_have_nothing_that_a_filter_removes() -> None:
    edit = HeaderEdit(remove=("x-secret", "x-upstream-request-id"), add=(HeaderValue(name="X-Added", value="1"),))
    hint, last = hints_of(Rule(name="all", backends=(BACKEND,), response_headers=edit))
    assert [name for name, _ in hint.fields] == [b"Link", b"X-Own"]
    assert last["x-added"] == "1"


def test_hints_after_the_twentieth_are_dropped() -> None:
    responses = hints_of(times=25)
    assert [one.status for one in responses] == [103] * 20 + [200]


@pytest.mark.parametrize("bytes_at_once", [True, False])
def test_request_id_of_the_upstream_has_another_name(bytes_at_once: bool) -> None:
    wire = Wire()
    theirs = b"HTTP/1.1 200 OK\r\nX-Request-ID: theirs\r\nX-Upstream-Request-Id: further\r\nContent-Length: 2\r\n\r\nok"
    for _ in range(2):
        wire.send(get())
        sent = header(wire.upstream_received(), b"x-request-id")[0].decode()
        wire.answer(*([theirs] if bytes_at_once else bytewise(theirs)))
        response = answer(wire.client_received())
        assert (response["x-upstream-request-id"], response["x-request-id"]) == ("theirs", sent)


def test_request_id_of_the_upstream_may_be_removed() -> None:
    for edit in (
        HeaderEdit(remove=("x-upstream-request-id",)),
        HeaderEdit(set=(HeaderValue(name="X-Upstream-Request-Id", value="ours"),)),
    ):
        wire = Wire(Rule(name="all", backends=(BACKEND,), response_headers=edit))
        wire.send(get())
        wire.answer(OK.replace(b"\r\n\r\n", b"\r\nX-Request-Id: theirs\r\n\r\n"))
        response = answer(wire.client_received())
        assert response.all("x-upstream-request-id") == [entry.value for entry in edit.set]


def test_post_of_a_proxied_client_reaches_the_upstream_whole() -> None:
    request = forwarded(post(b"/x", b"hello", *BY_HTTPS, b"Content-Type: text/plain"))
    assert request.endswith(b"\r\n\r\nhello")
    assert header(request, b"content-type") == [b"text/plain"]
