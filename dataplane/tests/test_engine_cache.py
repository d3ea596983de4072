"""The cache as a client sees it."""

import pytest
from fake_transport import BACKEND, Answer, Wire, answer, answers, get, post

from inferway_contract.document import Cache, Cors, HeaderEdit, HeaderValue, Limit, Policy, Rule

CACHED = Rule(name="cached", backends=(BACKEND,), cache=Cache(ttl=60_000))


def ok(body: bytes = b"hello", *fields: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", *fields, b"Content-Length: %d" % len(body), b"", body])


def ask(wire: Wire, request: bytes, reply: bytes | None, *, to_head: bool = False) -> Answer:
    """One request, and the upstream's answer to it; None = the upstream must not be asked."""
    wire.send(request)
    forwarded = wire.upstream_received()
    assert bool(forwarded) is (reply is not None), forwarded
    if reply is not None:
        wire.answer(reply)
    return answer(wire.client_received(), to_head=to_head)


def test_hit_has_x_cache_and_age() -> None:
    wire = Wire(CACHED)
    reply = ok(b"hello", b"Date: Mon, 01 Jan 2024 00:00:00 GMT", b"ETag: x", b"Age: 7", b"Cache-Control: max-age=30")
    first = ask(wire, get(b"/a"), reply)
    assert (first["x-cache"], first["age"], first.body) == ("MISS", "7", b"hello")
    (exchange_key,) = wire.gateway.store._entries
    stored = wire.gateway.store._entries[exchange_key]
    stored.received -= 5  # type: ignore[union-attr]
    hit = ask(wire, get(b"/a"), None)
    assert (hit.status, hit["x-cache"], hit["age"], hit.body) == (200, "HIT", "12", b"hello")
    assert (hit["date"], hit["etag"]) == ("Mon, 01 Jan 2024 00:00:00 GMT", "x")
    assert hit["x-request-id"] != first["x-request-id"]
    assert wire.is_open


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ok(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["chunked", "with a length", "empty"],
)
def test_hit_has_a_content_length(reply: bytes) -> None:
    wire = Wire(CACHED)
    first = ask(wire, get(b"/a"), reply)
    hit = ask(wire, get(b"/a"), None)
    assert (hit.body, hit["content-length"]) == (first.body, str(len(first.body)))


def test_c4_response_ended_by_close_is_not_stored() -> None:
    # It may be incomplete: a TLS connection that was cut looks the same.
    wire = Wire(CACHED, idle=2)
    wire.send(get(b"/a"))
    wire.answer(b"HTTP/1.1 200 OK\r\n\r\nhello")
    wire.upstream_closes()
    assert answer(wire.client_received()).body == b"hello"
    assert wire.upstream_received().count(b"GET /a ") == 1
    assert ask(wire, get(b"/a"), ok()).body == b"hello"
    assert ask(wire, get(b"/a"), None)["x-cache"] == "HIT"


def test_head_is_answered_from_a_stored_get_only() -> None:
    wire = Wire(CACHED)
    first = ask(wire, get(b"/a", method=b"HEAD"), b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", to_head=True)
    assert first["x-cache"] == "MISS"
    assert ask(wire, get(b"/a"), ok()).body == b"hello"
    head = ask(wire, get(b"/a", method=b"HEAD"), None, to_head=True)
    assert (head["x-cache"], head["content-length"]) == ("HIT", "5")
    assert ask(wire, get(b"/a"), None).body == b"hello"


NOT_STORED = {
    "Set-Cookie (C3)": ok(b"x", b"Set-Cookie: a=1"),
    "no-store": ok(b"x", b"Cache-Control: no-store"),
    "private": ok(b"x", b"Cache-Control: private"),
    "Vary: * (C10)": ok(b"x", b"Vary: *"),
    "a status": b"HTTP/1.1 302 Found\r\nContent-Length: 1\r\n\r\nx",
    "partial content": b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/5\r\nContent-Length: 1\r\n\r\nx",
    "too large, declared (C9)": ok(b"x" * 2_000),
    "too large, chunked (C9)": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n%b\r\n0\r\n\r\n"
    % (b"x" * 2_000),
}


@pytest.mark.parametrize("reply", NOT_STORED.values(), ids=NOT_STORED)
def test_uncacheable_response_is_not_stored(reply: bytes) -> None:
    wire = Wire(Rule(name="cached", backends=(BACKEND,), cache=Cache(ttl=60_000, max_body=1_000)))
    for _ in range(2):
        assert ask(wire, get(b"/a"), reply)["x-cache"] == "MISS"
    assert len(wire.gateway.store) == 0


PARTS = {
    "a length": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
}


@pytest.mark.parametrize("who", ["upstream", "client"])
@pytest.mark.parametrize("data", PARTS.values(), ids=PARTS)
def test_c4_partial_body_is_never_stored(data: bytes, who: str) -> None:
    wire = Wire(CACHED)
    wire.send(get(b"/a"))
    wire.answer(data)
    if who == "upstream":
        wire.upstream_closes()
        assert wire.was_aborted
    else:
        wire.leave()
    assert len(wire.gateway.store) == 0


BYPASSES = {
    "POST": (post(b"/a", b"x"), "method"),
    "a GET with a body": (get(b"/a", b"Content-Length: 1") + b"x", "body"),
    "no-store": (get(b"/a", b"Cache-Control: no-store"), "request"),
}


@pytest.mark.parametrize(("request_", "reason"), BYPASSES.values(), ids=BYPASSES)
def test_bypassing_request_is_forwarded_and_counted(request_: bytes, reason: str) -> None:
    wire = Wire(CACHED)
    ask(wire, get(b"/a"), ok())
    assert ask(wire, request_, ok(b"other"))["x-cache"] == "BYPASS"
    assert ask(wire, get(b"/a"), None).body == b"hello"
    assert wire.gateway.stats.of("demo/a", "cached").bypasses == {reason: 1}


DROPPED = {  # a field that Connection names: the key or the answer would be made of it, and the upstream does not see it
    "a header of the key": b"X-Tenant: a",
    "a credential": b"Cookie: a",
    "a field of Vary": b"Accept-Language: de",
    "any other": b"X-Other: a",
}


@pytest.mark.parametrize("field", DROPPED.values(), ids=DROPPED)
def test_fields_named_by_connection_bypass_the_cache(field: bytes) -> None:
    wire = Wire(Rule(name="cached", backends=(BACKEND,), cache=Cache(ttl=60_000, key_headers=("x-tenant",))))
    name = field.partition(b":")[0]
    named = get(b"/a", field, b"Connection: " + name)
    vary = b"Vary: Accept-Language"
    for _ in range(3):  # the second and third time the whole request is known
        wire.send(named)
        assert name + b":" not in wire.upstream_received()
        wire.answer(ok(b"for nobody", vary))
        assert answer(wire.client_received())["x-cache"] == "BYPASS"
    assert wire.gateway.stats.of("demo/a", "cached").bypasses == {"connection": 3}
    # Its response is not stored, and stored responses are not for it.
    assert ask(wire, get(b"/a", field), ok(b"for itself", vary))["x-cache"] == "MISS"
    assert ask(wire, named, ok(b"for nobody", vary)).body == b"for nobody"
    assert ask(wire, get(b"/a", field), None).body == b"for itself"


@pytest.mark.parametrize("value", [b"keep-alive", b"X-Absent", b"Upgrade, keep-alive", b"Keep-Alive, TE"])
def test_connection_naming_absent_fields_still_hits(value: bytes) -> None:
    wire = Wire(CACHED)
    ask(wire, get(b"/a"), ok())
    assert ask(wire, get(b"/a", b"Connection: " + value, b"TE: trailers"), None)["x-cache"] == "HIT"


def test_no_cache_request_is_forwarded_and_its_response_stored() -> None:
    wire = Wire(CACHED)
    ask(wire, get(b"/a"), ok(b"old"))
    assert ask(wire, get(b"/a", b"Cache-Control: no-cache"), ok(b"new"))["x-cache"] == "MISS"
    assert ask(wire, get(b"/a"), None).body == b"new"


def test_c2_stored_responses_are_separate_for_credentials() -> None:
    wire = Wire(CACHED)
    ask(wire, get(b"/a", b"Cookie: a"), ok(b"a"))
    assert ask(wire, get(b"/a"), ok(b"anonymous")).body == b"anonymous"
    assert ask(wire, get(b"/a", b"Cookie: b"), ok(b"b")).body == b"b"
    assert ask(wire, get(b"/a", b"Cookie: a"), None).body == b"a"
    ask(wire, get(b"/b", b"Authorization: Bearer a"), ok(b"a"))
    assert ask(wire, get(b"/b", b"Authorization: Bearer b"), ok(b"b")).body == b"b"
    assert ask(wire, get(b"/b"), ok(b"anonymous")).body == b"anonymous"
    assert ask(wire, get(b"/b", b"authorization: bearer  a"), None).body == b"a"


def test_c2_private_response_is_kept_for_its_credential() -> None:
    wire = Wire(Rule(name="cached", backends=(BACKEND,), cache=Cache(store_private=True)))
    private = b"Cache-Control: private, max-age=60"
    ask(wire, get(b"/a", b"X-Goog-Api-Key: a"), ok(b"a", private))
    assert ask(wire, get(b"/a", b"X-Goog-Api-Key: a"), None).body == b"a"
    assert ask(wire, get(b"/a", b"X-Goog-Api-Key: b"), ok(b"b", private)).body == b"b"
    for _ in range(2):  # of no credential
        assert ask(wire, get(b"/a"), ok(b"anonymous", private))["x-cache"] == "MISS"


def test_vary_by_address_never_crosses_clients() -> None:
    wire = Wire(CACHED)
    vary = b"Vary: X-Forwarded-For"
    ask(wire, get(b"/a"), ok(b"for this address", vary))
    assert ask(wire, get(b"/a", b"X-Forwarded-For: 203.0.113.10"), None).body == b"for this address"
    other = wire.connect("203.0.113.10")
    wire.send(get(b"/a"), client=other)
    assert wire.upstream_received()
    wire.answer(ok(b"for the other", vary))
    assert answer(wire.client_received(other)).body == b"for the other"
    assert ask(wire, get(b"/a"), None).body == b"for this address"


@pytest.mark.parametrize("name", [b"X-Request-Id", b"traceparent"])
def test_vary_by_what_differs_each_time_is_not_stored(name: bytes) -> None:
    wire = Wire(CACHED)
    for _ in range(2):
        assert ask(wire, get(b"/a"), ok(b"once", b"Vary: " + name))["x-cache"] == "MISS"
    assert len(wire.gateway.store) == 0


EXPLICIT = b"Cache-Control: max-age=60"


def test_204_is_stored_without_a_length() -> None:
    wire = Wire(CACHED)
    for fields in (b"", EXPLICIT + b"\r\n"):
        target = b"/" + b"x" * len(fields)
        ask(wire, get(target), b"HTTP/1.1 204 No Content\r\n" + fields + b"\r\n")
        hit = ask(wire, get(target), None)
        assert (hit.status, hit["x-cache"], hit.body, hit.all("content-length")) == (204, "HIT", b"", [])


@pytest.mark.parametrize("status", [201, 302, 307, 308, 400, 418, 500, 503, 599])
def test_own_freshness_stores_any_final_status(status: int) -> None:
    wire = Wire(CACHED)
    reply = b"HTTP/1.1 %d X\r\n%b\r\nContent-Length: 1\r\n\r\nx" % (status, EXPLICIT)
    ask(wire, get(b"/a"), reply)
    hit = ask(wire, get(b"/a"), None)
    assert (hit.status, hit["x-cache"], hit.body) == (status, "HIT", b"x")


QUOTAS = [
    b"RateLimit", b"RateLimit-Policy", b"RateLimit-Remaining", b"X-RateLimit-Limit", b"x-ratelimit-remaining-tokens",
    b"anthropic-ratelimit-requests-remaining", b"X-Rate-Limit-Reset", b"X_Rate_Limit",
]  # fmt: skip


def test_hit_never_replays_quotas_of_another_exchange() -> None:
    wire = Wire(CACHED)
    first = ask(wire, get(b"/a"), ok(b"x", *(b"%b: 7" % name for name in QUOTAS), b"X-Other: ratelimit"))
    hit = ask(wire, get(b"/a"), None)
    for name in QUOTAS:
        assert (first.all(name.decode().lower()), hit.all(name.decode().lower())) == (["7"], [])
    assert hit["x-other"] == "ratelimit"


def test_time_that_the_upstream_took_is_part_of_the_age() -> None:
    now = 1000.0
    wire = Wire(CACHED, now=lambda: now)
    for target, fields, hit_age in ((b"/short", b"Cache-Control: max-age=3", None), (b"/long", b"Age: 10", "13")):
        wire.send(get(target))
        now += 3.25
        wire.answer(ok(b"x", fields))
        answer(wire.client_received())
        wire.upstream_received()
        hit = ask(wire, get(target), None if hit_age else ok())
        assert (hit["x-cache"], hit.all("age")) == (("HIT", [hit_age]) if hit_age else ("MISS", []))


def test_cache_key_contains_the_port_of_the_host() -> None:
    wire = Wire(CACHED)
    ask(wire, get(b"/a", host=b"a.example:666"), ok(b"links to :666"))
    assert ask(wire, get(b"/a", host=b"a.example"), ok(b"plain")).body == b"plain"


def test_vary_separates_variants() -> None:
    wire = Wire(CACHED)
    vary = b"Vary: Accept-Language"
    for language in (b"de", b"en"):
        ask(wire, get(b"/a", b"Accept-Language: " + language), ok(language, vary))
    assert ask(wire, get(b"/a"), ok(b"none", vary)).body == b"none"
    for language in (b"de", b"en"):
        assert ask(wire, get(b"/a", b"accept-language: " + language), None).body == language
    assert ask(wire, get(b"/a"), None).body == b"none"


def test_hit_has_the_cors_fields_of_its_own_request() -> None:
    cors = Cors(allow_origins=("https://a.example", "https://b.example"))
    wire = Wire(Rule(name="cached", backends=(BACKEND,), cache=Cache(ttl=60_000), cors=cors))
    ask(wire, get(b"/x", b"Origin: https://a.example"), ok())
    for origin in ("https://a.example", "https://b.example"):
        wire.send(get(b"/x", b"Origin: " + origin.encode()))
        if wire.upstream_received():
            wire.answer(ok())
        assert answer(wire.client_received()).all("access-control-allow-origin") == [origin]
    wire.send(get(b"/x"))
    if wire.upstream_received():
        wire.answer(ok())
    assert "access-control-allow-origin" not in answer(wire.client_received())


def test_hit_has_its_own_request_id() -> None:
    wire = Wire(CACHED)
    ask(wire, get(b"/a"), ok(b"x", b"X-Request-Id: of-the-first-request"))
    assert len(ask(wire, get(b"/a"), None).all("x-request-id")) == 1


def test_hit_has_the_response_header_modifiers_applied() -> None:
    edit = HeaderEdit(set=(HeaderValue(name="X-A", value="1"),), remove=("x-b",))
    wire = Wire(Rule(name="cached", backends=(BACKEND,), cache=Cache(ttl=60_000), response_headers=edit))
    ask(wire, get(b"/a"), ok(b"x", b"X-A: 0", b"X-B: 0"))
    hit = ask(wire, get(b"/a"), None)
    assert (hit.all("x-a"), hit.all("x-b")) == (["1"], [])


def test_hit_is_rate_limited_and_shows_the_current_level() -> None:
    limit = Limit(name="l", requests=1, per=60_000, burst=2)
    wire = Wire(
        Rule(name="cached", backends=(BACKEND,), cache=Cache(ttl=60_000)),
        policies=(Policy(id="demo/p", limits=(limit,)),),
    )
    assert ask(wire, get(b"/a"), ok())["ratelimit"] == '"l";r=1;t=0'
    assert ask(wire, get(b"/a"), None).all("ratelimit") == ['"l";r=0;t=60']
    assert ask(wire, get(b"/a"), None).status == 429


def test_pipelined_hits_and_misses_stay_in_order() -> None:
    wire = Wire(CACHED)
    ask(wire, get(b"/hit"), ok(b"hit"))
    wire.send(get(b"/miss") + get(b"/hit") * 3 + get(b"/other"))
    wire.answer(ok(b"miss"))
    wire.answer(ok(b"other"))
    assert [response.body for response in answers(wire.client_received())] == [
        b"miss",
        b"hit",
        b"hit",
        b"hit",
        b"other",
    ]


def test_conditional_request_is_forwarded_and_304_not_stored() -> None:
    wire = Wire(CACHED)
    not_modified = b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"
    assert ask(wire, get(b"/a", b"If-None-Match: x"), not_modified).status == 304
    assert ask(wire, get(b"/a"), ok()).body == b"hello"  # a 304 was not stored for it


def test_hits_and_misses_are_counted() -> None:
    wire = Wire(CACHED)
    ask(wire, get(b"/a"), ok())
    ask(wire, get(b"/a"), None)
    ask(wire, get(b"/a"), None)
    stats = wire.gateway.stats.of("demo/a", "cached")
    assert (stats.misses, stats.fresh_hits) == (1, 2)
    assert stats.by_method[b"GET"][200] == 3
