"""Requests as bytes: what the upstream gets, what is refused, and that it does not matter how the bytes arrive."""

import json
from collections.abc import Callable

import pytest
from fake_transport import (
    BACKEND,
    CLIENT,
    OK,
    ForwardedRequest,
    Wire,
    answer,
    answers,
    bytewise,
    get,
    header,
    plain,
    post,
    requests,
)  # fmt: skip

from inferway_contract.document import (
    DirectResponse,
    HeaderEdit,
    HeaderValue,
    Match,
    NewPath,
    PathMatch,
    Redirect,
    Rewrite,
    Rule,
)
from inferway_dataplane.engine.http1.head_cache import HeadCache

# --- three ways for bytes to arrive -----------------------------------------------------------------------------------------

Way = Callable[[Wire, bytes], None]


def whole(wire: Wire, data: bytes) -> None:
    wire.send(data)


def one_by_one(wire: Wire, data: bytes) -> None:
    wire.send(*bytewise(data))


def head_and_body(wire: Wire, data: bytes) -> None:
    cut = data.find(b"\r\n\r\n") + 4
    wire.send(data[:cut], data[cut:]) if cut < len(data) else wire.send(data)


WAYS: dict[str, Way] = {"whole": whole, "byte by byte": one_by_one, "head and body": head_and_body}


def trace(
    data: bytes, send: Way, head_cache: HeadCache | None = None
) -> tuple[list[ForwardedRequest], bytes, bool, int]:
    """The upstream's requests, the client's bytes, whether its connection is open, and the idle upstream connections."""
    wire = Wire(idle=2, head_cache=head_cache)
    send(wire, data)
    received = b""
    while more := wire.upstream_received():
        received += more
        wire.answer(OK)
    return requests(received), plain(wire.client_received()), wire.is_open, wire.idle


CHUNKED = get(b"/c", b"Transfer-Encoding: chunked", method=b"POST")
REQUESTS = {
    "GET": get(b"/a?b=c"),
    "HEAD": get(b"/a", method=b"HEAD"),
    "POST": post(b"/a", b"hello"),
    "POST of nothing": post(b"/a", b""),
    "P10 legal oddities": get(b"///a%2F%zz?", b"X-Empty:", b"X-Tail: v \t ", b"Accept: a", b"accept: b"),
    "P10 chunked in any case": get(b"/", b"Transfer-Encoding: cHUNKED", method=b"POST") + b"2\r\nhi\r\n0\r\n\r\n",
    "chunked": CHUNKED + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    "chunk extensions": CHUNKED + b'5;a=b;c="d"\r\nhello\r\n0\r\n\r\n',
    "P7 trailers": CHUNKED + b"5\r\nhello\r\n0\r\nHost: evil\r\nX-Forwarded-For: 1.1.1.1\r\nContent-Length: 3\r\n\r\n",
    "P6 absolute-form": get(b"http://b.example:81/x?y"),
    "HTTP/1.0": b"GET /a HTTP/1.0\r\nHost: a.example\r\n\r\n",
    "P5 HTTP/1.0 without a host": b"GET /a HTTP/1.0\r\n\r\n",
    "HTTP/1.0 keep-alive": b"GET /a HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n",
    "HTTP/1.0 Proxy-Connection": b"GET /a HTTP/1.0\r\nProxy-Connection: keep-alive\r\n\r\n",
    "close": get(b"/a", b"Connection: close"),
    "close and keep-alive": get(b"/a", b"Connection: close", b"Connection: keep-alive"),
    "P11 nominated": get(b"/a", b"Connection: keep-alive, X-Hop", b"X-Hop: 1", b"X-Stays: 2"),
    "P15 Upgrade alone": get(b"/a", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAAA"),
    "P15 Upgrade: websocket": get(b"/a", b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
    "P15 Upgrade with a length": post(b"/a", get(b"/evil"), b"Connection: Upgrade", b"Upgrade: h2c"),
    "P15 Upgrade, chunked": get(b"/a", b"Connection: Upgrade", b"Upgrade: h2c", b"Transfer-Encoding: chunked", method=b"POST")
    + b"5\r\nGET /\r\n0\r\n\r\n",
    "P15 Upgrade, then another request": get(b"/a", b"Connection: Upgrade", b"Upgrade: h2c") + get(b"/b"),
    "P15 Upgrade with a body, then another request": post(b"/a", b"hello", b"Connection: Upgrade", b"Upgrade: h2c") + get(b"/b"),
    "blank lines before": b"\r\n\r\n" + get(b"/a"),
    "two requests": get(b"/a") + get(b"/b"),
    "three requests with bodies": post(b"/a", b"one") + CHUNKED + b"3\r\ntwo\r\n0\r\n\r\n" + get(b"/c"),
    "OPTIONS": get(b"/a", method=b"OPTIONS"),
    "P13 OPTIONS *": get(b"*", method=b"OPTIONS"),
    "P1": get(b"/a", b"Content-Length: 3", b"Transfer-Encoding: chunked", method=b"POST") + b"0\r\n\r\n",
    "P2": get(b"/a", b"Content-Length: 3", b"Content-Length: 3", method=b"POST") + b"abc",
    "P3": get(b"/a", b"Transfer-Encoding: gzip, chunked", method=b"POST"),
    "P5 no host": b"GET /a HTTP/1.1\r\n\r\n",
    "P8 obs-fold": get(b"/a", b"X-A: 1", b" 2"),
    "P13 unknown method": get(b"/a", method=b"FETCH"),
    "ambiguous path": get(b"/a/../b") + get(b"/b"),
    "P17 garbage after close": get(b"/a", b"Connection: close") + b"garbage garbage\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("data", REQUESTS.values(), ids=REQUESTS)
def test_request_has_the_same_result_in_any_pieces(data: bytes) -> None:
    traces = {name: trace(data, send) for name, send in WAYS.items()}
    # `whole` learns heads, so the last ones find all of them: a cached head must not be read otherwise.
    head_cache = HeadCache()
    trace(data, whole, head_cache)
    traces["cached"] = trace(data, whole, head_cache)
    traces["cached, in halves"] = trace(data, head_and_body, head_cache)
    for name, result in traces.items():
        assert result == traces["whole"], name


# --- what the upstream gets -----------------------------------------------------------------------------------------------------


def forwarded(data: bytes, *rules: Rule, peer: str = CLIENT, **settings: object) -> bytes:
    wire = Wire(*rules, peer=peer, **settings)
    wire.send(data)
    return wire.upstream_received()


def test_upstream_head_is_rebuilt_with_forwarding_fields() -> None:
    request = forwarded(get(b"/a%2Fb?c=d&", b"User-Agent: t", b"X-Tail:  v", b"Accept: a", b"accept: b"))
    assert plain(request) == (
        b"GET /a%2Fb?c=d& HTTP/1.1\r\nhost: 192.0.2.80:8000\r\nUser-Agent: t\r\nX-Tail: v\r\nAccept: a\r\naccept: b\r\n"
        b"via: 1.1 inferway\r\n"
        b"x-forwarded-proto: http\r\nx-forwarded-host: a.example\r\nx-forwarded-for: 203.0.113.9\r\n\r\n"
    )
    (request_id,) = header(request, b"x-request-id")
    (trace_parent,) = header(request, b"traceparent")
    assert len(request_id) == 32
    assert trace_parent[:3] == b"00-"
    assert len(trace_parent) == 55


@pytest.mark.parametrize("value", [b" v ", b"\tv\t", b"v \t ", b"v"])
def test_p10_white_space_around_a_value_is_stripped(value: bytes) -> None:
    # Else `a` and `a<TAB>` would be two keys of a limit, and one tenant upstream.
    assert header(forwarded(get(b"/", b"X-Tail:" + value)), b"x-tail") == [b"v"]


def test_p10_white_space_after_a_framing_value_is_legal() -> None:
    wire = Wire()
    wire.send(
        get(b"/", b"Content-Length: 5 ", b"Expect: 100-continue\t", method=b"POST", host=b"a.example ") + b"hello"
    )
    assert wire.upstream_received().endswith(b"hello")


HOP_BY_HOP = (
    b"Connection: close, X-Hop, X-Forwarded-For, Authorization", b"Keep-Alive: timeout=5", b"TE: trailers", b"X-Hop: 1",
    b"Trailer: X", b"Upgrade: h2c", b"Proxy-Connection: close", b"Proxy-Authorization: x", b"Authorization: y",
    b"X_Forwarded_For: 6.6.6.6", b"Transfer_Encoding: chunked", b"X-Original-URL: /admin", b"Forwarded: for=6.6.6.6",
    b"X-Forwarded-For: 6.6.6.6", b"X-Real-IP: 6.6.6.6", b"X-Request-Id: forged-by-client", b"HTTP2-Settings: AAAA",
)  # fmt: skip


def test_p11_p12_hop_by_hop_fields_are_dropped_and_ours_kept() -> None:
    request = forwarded(get(b"/", *HOP_BY_HOP))
    assert plain(request) == (
        b"GET / HTTP/1.1\r\nhost: 192.0.2.80:8000\r\n"
        b"via: 1.1 inferway\r\n"
        b"x-forwarded-proto: http\r\nx-forwarded-host: a.example\r\nx-forwarded-for: 203.0.113.9\r\n\r\n"
    )
    assert b"forged-by-client" not in request


def test_r5_fields_of_a_trusted_proxy_are_kept() -> None:
    fields = (
        b"X-Forwarded-For: 1.1.1.1",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: b.example",
        b"X-Request-Id: kept-as-it-was",
    )
    request = forwarded(get(b"/", *fields), peer="10.0.0.1", trusted_proxies="10.0.0.0/8")
    assert header(request, b"x-forwarded-for") == [b"1.1.1.1, 10.0.0.1"]
    assert header(request, b"x-forwarded-proto") == [b"https"]
    assert header(request, b"x-forwarded-host") == [b"b.example"]
    assert header(request, b"x-request-id") == [b"kept-as-it-was"]


@pytest.mark.parametrize(
    "malformed", [b"short", b"with blank in it", b"x" * 129, "ümlaut-ümlaut".encode(), b"a;b;c;d;e;f"]
)
def test_malformed_request_id_of_a_trusted_proxy_is_replaced(malformed: bytes) -> None:
    request = forwarded(get(b"/", b"X-Request-Id: " + malformed), peer="10.0.0.1", trusted_proxies="10.0.0.0/8")
    (request_id,) = header(request, b"x-request-id")
    assert len(request_id) == 32


def test_traceparent_is_continued_and_an_invalid_one_replaced() -> None:
    sent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    (traceparent,) = header(forwarded(get(b"/", b"traceparent: " + sent)), b"traceparent")
    assert traceparent[:36] == sent[:36]
    assert traceparent[52:] == b"-01"
    assert traceparent != sent
    for bad in (b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01", b"01" + sent[2:], sent.upper(), sent + b"-x", b""):
        (traceparent,) = header(forwarded(get(b"/", b"traceparent: " + bad)), b"traceparent")
        assert traceparent[3:35] != sent[3:35], bad
        assert len(traceparent) == 55


def test_p7_trailers_never_become_headers() -> None:
    wire = Wire(Rule(name="all", backends=(BACKEND,), request_headers=HeaderEdit()))
    wire.send(CHUNKED + b"5\r\nhello\r\n0\r\nHost: evil\r\nAuthorization: x\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n")
    request = wire.upstream_received()
    assert request.endswith(b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    for stranger in (b"evil", b"Authorization", b"6.6.6.6"):
        assert stranger not in request


def test_rewrite_changes_host_path_and_fields() -> None:
    rule = Rule(
        name="r",
        matches=(Match(path=PathMatch(value="/a")),),
        backends=(BACKEND,),
        rewrite=Rewrite(hostname="b.example", path=NewPath(prefix="/v1")),
        request_headers=HeaderEdit(set=(HeaderValue(name="X-A", value="1"),), remove=("x-b",)),
    )
    request = forwarded(get(b"/a/%2F?q", b"x-a: 0", b"X-B: 0"), rule)
    assert request.startswith(b"GET /v1/%2F?q HTTP/1.1\r\nhost: b.example\r\nX-A: 1\r\n")
    assert b"X-B" not in request
    assert header(request, b"x-forwarded-host") == [b"a.example"]


# --- what is answered without an upstream -----------------------------------------------------------------------------------------

REFUSED = {  # request -> status, code, whether the connection stays open
    "P1 length and encoding": (REQUESTS["P1"], 400, None, False),
    "P2 two lengths": (REQUESTS["P2"], 400, None, False),
    "P2 +5": (get(b"/", b"Content-Length: +5", method=b"POST") + b"hello", 400, None, False),
    "P2 0x5": (get(b"/", b"Content-Length: 0x5", method=b"POST") + b"hello", 400, None, False),
    "P2 -1": (get(b"/", b"Content-Length: -1", method=b"POST"), 400, None, False),
    "P2 5,5": (get(b"/", b"Content-Length: 5,5", method=b"POST") + b"hello", 400, None, False),
    "P2 empty": (get(b"/", b"Content-Length:", method=b"POST"), 400, None, False),
    "P3 ,chunked": (get(b"/", b"Transfer-Encoding: ,chunked", method=b"POST"), 400, None, False),
    "P3 repeated": (
        get(b"/", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", method=b"POST"), 400, None, False,
    ),
    "P3 empty": (get(b"/", b"Transfer-Encoding:", method=b"POST"), 400, None, False),
    "P3 vertical tab": (get(b"/", b"Transfer-Encoding: chunked\x0b", method=b"POST"), 400, None, False),
    "P3 gzip, chunked": (get(b"/", b"Transfer-Encoding: gzip, chunked", method=b"POST"), 501, "unsupported_coding", False),
    "P3 identity": (get(b"/", b"Transfer-Encoding: identity", method=b"POST"), 501, None, False),
    "P3 xchunked": (get(b"/", b"Transfer-Encoding: xchunked", method=b"POST"), 501, None, False),
    "P4 TE on HTTP/1.0": (
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_transfer_encoding", False,
    ),
    "P4 TE on HTTP/1.0, Proxy-Connection": (
        b"POST / HTTP/1.0\r\nHost: a\r\nProxy-Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400, "bad_transfer_encoding", False,
    ),
    "P4 HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "unsupported_version", False),
    "P4 HTTP/2.0 keep-alive": (
        b"GET / HTTP/2.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", 505, "unsupported_version", False,
    ),
    "P4 HTTP/2.0 Proxy-Connection": (
        b"GET / HTTP/2.0\r\nHost: a\r\nProxy-Connection: keep-alive\r\n\r\n", 505, "unsupported_version", False,
    ),
    "P4 HTTP/1.32": (b"GET / HTTP/1.32\r\nHost: a\r\n\r\n", 400, None, False),
    "P4 the HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "unsupported_version", False),
    "a WebSocket handshake": (REQUESTS["P15 Upgrade: websocket"], 501, "websocket_unsupported", False),
    "a WebSocket handshake in a list": (
        get(b"/", b"Connection: keep-alive, Upgrade", b"Upgrade: foo", b"Upgrade: bar, WebSocket/13"),
        501, "websocket_unsupported", False,
    ),
    "two Content-Types": (
        get(b"/", b"Content-Type: application/json", b"content-type: text/plain"), 400, "bad_content_type", False,
    ),
    "two equal Content-Types": (
        get(b"/", b"Content-Type: text/plain", b"Content-Type: text/plain"), 400, "bad_content_type", False,
    ),
    "P5 no host": (REQUESTS["P5 no host"], 400, "bad_host", False),
    "P5 two hosts": (get(b"/", b"Host: a.example"), 400, "bad_host", False),
    "P5 a bad host": (get(b"/", host=b"a@b"), 400, "bad_host", None),
    "P5 a host with a blank": (get(b"/", host=b"a b"), 400, "bad_host", None),
    "P5 a host with a slash": (get(b"/", host=b"a/b"), 400, "bad_host", None),
    "P5 an empty host": (get(b"/", host=b""), 400, "bad_host", None),
    "P8 bare CR": (b"GET / HTTP/1.1\rHost: a\r\n\r\n", 400, None, False),
    "P8 bare CR in a value": (get(b"/", b"X-A: 1\rX-B: 2"), 400, None, False),
    "P8 bare LF": (b"GET / HTTP/1.1\nHost: a\n\n", 400, None, False),
    "P8 bare LF after a field": (b"GET / HTTP/1.1\r\nHost: a\nX-A: 1\r\n\r\n", 400, None, False),
    "P8 bare LF at the end": (b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400, None, False),
    "P8 NUL": (get(b"/", b"X-A: 1\x002"), 400, None, False),
    "P8 obs-fold": (REQUESTS["P8 obs-fold"], 400, None, False),
    "P8 a blank before the colon": (get(b"/", b"X-A : 1"), 400, None, False),
    "P8 a control byte": (get(b"/", b"X-A: \x01"), 400, None, False),
    "P8 a control byte in the target": (get(b"/\x01"), 400, None, False),
    "P8 no name": (get(b"/", b": 1"), 400, None, False),
    "P8 a fold in the first line": (get(b"/", b"X-A 1"), 400, None, False),
    "P13 CONNECT": (get(b"a.example:443", method=b"CONNECT"), 405, "method_not_allowed", False),
    "P13 TRACE": (get(b"/", method=b"TRACE"), 405, "method_not_allowed", False),
    "P13 unknown method": (get(b"/", method=b"FETCH"), 501, "unknown_method", False),
    "P13 lower case": (get(b"/", method=b"get"), 501, "unknown_method", False),
    "P13 GET *": (get(b"*"), 400, None, None),
    "P14 another expectation": (post(b"/", b"x", b"Expect: 200-ok"), 417, "expectation_failed", False),
    "a fragment": (get(b"/a#b"), 400, None, None),
    "user info": (get(b"http://u@a.example/"), 400, None, None),
    "dot segments": (get(b"/a/../b"), 400, "ambiguous_path", True),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50, None, None, False),
}  # fmt: skip


@pytest.mark.parametrize("send", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(("data", "status", "code", "goes_on"), REFUSED.values(), ids=REFUSED)
def test_rejected_request_never_reaches_the_upstream(
    data: bytes, status: int | None, code: str | None, goes_on: bool | None, send: Way
) -> None:
    wire = Wire()
    send(wire, data)
    response = answer(wire.client_received())
    problem = json.loads(response.body)
    assert response.status == problem["status"]
    if status is None:
        assert response.status in (400, 501)
    else:
        assert response.status == status
    assert response["content-type"] == "application/problem+json"
    assert response["cache-control"] == "no-store"
    assert code in (None, problem["code"])
    assert wire.upstream_received() == b""
    if goes_on is not None:
        assert wire.is_open is goes_on
        assert ("connection" in response) is not goes_on


def test_p4_http_0_9_closes_the_connection() -> None:
    wire = Wire()
    wire.send(b"GET /\r\n\r\n")
    assert not wire.is_open
    assert wire.upstream_received() == b""


def test_p13_options_of_the_server_lists_the_allowed_methods() -> None:
    wire = Wire()
    wire.send(get(b"*", method=b"OPTIONS"))
    response = answer(wire.client_received())
    assert response.status == 204
    assert "GET" in response["allow"]
    assert "content-length" not in response
    assert wire.is_open
    wire.send(get(b"/", method=b"TRACE"))
    assert "GET" in answer(wire.client_received())["allow"]


def test_ambiguous_path_keeps_the_connection() -> None:
    wire = Wire()
    wire.send(get(b"/a/../b"))
    assert answer(wire.client_received()).status == 400
    wire.send(get(b"/b"))
    wire.answer(OK)
    assert answer(wire.client_received()).status == 200


def test_too_costly_request_is_answered_400() -> None:
    costly = Match(path=PathMatch(type="RegularExpression", value="(?:[ab]?[ab]*){400}x"))
    wire = Wire(Rule(name="costly", matches=(costly,), backends=(BACKEND,)), Rule(name="all", backends=(BACKEND,)))
    wire.send(get(b"/" + b"ab" * 4000))
    response = answer(wire.client_received())
    assert (response.status, json.loads(response.body)["code"]) == (400, "matching_too_costly")
    assert wire.upstream_received() == b""
    wire.send(get(b"/b"))
    wire.answer(OK)
    assert answer(wire.client_received()).status == 200


def test_redirects_and_direct_responses_use_no_upstream() -> None:
    moved = Rule(
        name="moved",
        matches=(Match(path=PathMatch(value="/moved")),),
        redirect=Redirect(status=308, scheme="https"),
        response_headers=HeaderEdit(add=(HeaderValue(name="X-A", value="1"),)),
    )
    direct = Rule(name="own", respond=DirectResponse(status=503, content_type="text/plain", body="back soon"))
    wire = Wire(moved, direct)
    wire.send(get(b"/moved/x?y"))
    response = answer(wire.client_received())
    assert (response.status, response["location"], response["x-a"], response.body) == (
        308,
        "https://a.example/moved/x?y",
        "1",
        b"",
    )
    wire.send(get(b"/"))
    response = answer(wire.client_received())
    assert (response.status, response["content-type"], response.body) == (503, "text/plain", b"back soon")
    wire.send(get(b"/", method=b"HEAD"))
    response = answer(wire.client_received(), to_head=True)
    assert (response.status, response["content-length"]) == (503, "9")
    assert wire.is_open
    assert wire.upstream_received() == b""


def test_request_without_a_route_or_document_is_answered_404() -> None:
    wire = Wire(Rule(name="r", matches=(Match(path=PathMatch(value="/x")),), backends=(BACKEND,)))
    wire.send(get(b"/y"))
    assert json.loads(answer(wire.client_received()).body)["code"] == "no_route"
    wire.gateway.context.runtime = None
    wire.send(get(b"/x"))
    assert answer(wire.client_received()).status == 404


# --- one connection, many requests --------------------------------------------------------------------------------------------------


def test_p16_twenty_pipelined_requests_are_answered_in_order() -> None:
    wire = Wire()
    wire.send(b"".join(get(b"/%d" % number) for number in range(20)))
    for number in range(20):
        assert wire.upstream_received().startswith(b"GET /%d HTTP/1.1\r\n" % number)
        wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n%02d" % number)
    assert [response.body for response in answers(wire.client_received())] == [b"%02d" % number for number in range(20)]
    assert wire.is_open
    assert wire.client.transport.is_reading


def test_p16_local_replies_wait_their_turn() -> None:
    wire = Wire(Rule(name="r", matches=(Match(path=PathMatch(value="/x")),), backends=(BACKEND,)))
    wire.send(get(b"/x") + get(b"/404") + get(b"/x/../") + get(b"/x"))
    assert wire.client_received() == b""
    wire.answer(OK)
    wire.answer(OK)
    assert [response.status for response in answers(wire.client_received())] == [200, 404, 400, 200]
    assert wire.is_open


def test_p16_2000_waiting_requests_need_no_deep_stack() -> None:
    wire = Wire(Rule(name="r", matches=(Match(path=PathMatch(value="/x")),), backends=(BACKEND,)))
    wire.send(get(b"/x") + get(b"/404") * 2_000)
    wire.answer(OK)
    assert [response.status for response in answers(wire.client_received())] == [200] + [404] * 2_000
    assert wire.is_open


def test_p16_bodies_of_waiting_requests_are_kept() -> None:
    wire = Wire()
    wire.send(post(b"/a", b"one") + post(b"/b", b"two") + CHUNKED + b"5\r\nthree\r\n0\r\n\r\n")
    bodies = []
    for _ in range(3):
        bodies.append(wire.upstream_received().partition(b"\r\n\r\n")[2])
        wire.answer(OK)
    assert bodies == [b"one", b"two", b"5\r\nthree\r\n0\r\n\r\n"]
    assert len(answers(wire.client_received())) == 3


def test_p17_request_after_connection_close_is_ignored() -> None:
    wire = Wire()
    wire.send(get(b"/a", b"Connection: close") + get(b"/evil"))
    wire.answer(OK)
    wire.send(get(b"/evil"))
    response = answer(wire.client_received())
    assert (response.status, response["connection"]) == (200, "close")
    assert b"evil" not in wire.upstream_received()
    assert not wire.is_open


def test_p17_garbage_after_connection_close_is_ignored() -> None:
    for garbage in (b"garbage", b"\x00\xff", b"GET", get(b"/evil")):
        wire = Wire()
        wire.send(get(b"/a", b"Connection: close"), garbage)
        wire.answer(OK)
        assert [response.status for response in answers(wire.client_received())] == [200]
        assert not wire.is_open


def test_garbage_after_a_request_closes_after_its_response() -> None:
    wire = Wire()
    wire.send(get(b"/a") + b"\x00garbage\r\n\r\n")
    wire.answer(OK)
    assert answers(wire.client_received())[0].status == 200
    assert not wire.is_open
    assert wire.gateway.stats.refused


def test_p15_upgrade_is_ignored_and_http_1_1_continues() -> None:
    wire = Wire()
    for number in range(3):
        wire.send(get(b"/%d" % number, b"Connection: Upgrade", b"Upgrade: h2c"))
        assert wire.upstream_received().startswith(b"GET /%d " % number)
        wire.answer(OK)
        assert answer(wire.client_received()).status == 200
    wire.send(get(b"/plain"))
    assert wire.upstream_received().startswith(b"GET /plain ")


def test_p15_body_of_an_upgrade_is_not_parsed_as_a_request() -> None:
    wire = Wire()
    evil = get(b"/evil")
    wire.send(post(b"/a", evil, b"Connection: Upgrade", b"Upgrade: h2c"))
    request = wire.upstream_received()
    assert request.count(b"x-request-id") == 1
    assert request.endswith(evil)
    wire.answer(OK)
    assert len(answers(wire.client_received())) == 1


@pytest.mark.parametrize("known", [False, True])
def test_partial_head_is_continued_by_the_next_bytes(known: bool) -> None:
    # The segment's border stands where the next bytes look like a request. They are the value of a field.
    wire = Wire()
    if known:
        wire.send(get(b"/first"))
        wire.answer(OK)
        wire.client_received(), wire.upstream_received()
    wire.send(get(b"/a") + b"POST /b HTTP/1.1\r\nX-A: ")
    assert wire.upstream_received().startswith(b"GET /a ")
    wire.answer(OK)
    wire.send(get(b"/evil"))
    request = wire.upstream_received()
    assert not request.startswith(b"GET /evil")
    assert request.startswith(b"POST /b ")
    assert header(request, b"x-a") == [b"GET /evil HTTP/1.1"]


def test_head_cache_never_leaks_fields_to_another_client() -> None:
    wire = Wire()
    wire.send(get(b"/a"))
    wire.answer(OK)
    wire.upstream_received()
    mallory, alice = wire.connect("198.51.100.1"), wire.connect("198.51.100.2")
    wire.send(get(b"/b") + b"GET /c HTTP/1.1\r\nAuthorization: mallory\r\nX-A: ", client=mallory)
    wire.answer(OK)
    wire.send(b"GET / HTTP/1.1\r\nHost: a.example\r\nAccept: alice\r\n\r\n", client=mallory)
    wire.answer(OK)
    assert b"mallory" in wire.upstream_received()
    wire.send(get(b"/d", b"Accept: alice"), client=alice)
    request = wire.upstream_received()
    assert header(request, b"accept") == [b"alice"]
    assert b"mallory" not in request


def test_cached_head_keeps_method_target_and_body() -> None:
    wire = Wire()
    for method, target, body in (
        (b"PUT", b"/a", b"one"),
        (b"POST", b"/b?c", b"two"),
        (b"PUT", b"http://b.example/d", b"six"),
    ):
        data = get(target, b"Content-Length: 3", method=method) + body
        for _ in range(2):
            wire.send(data)
            request = wire.upstream_received()
            assert request.startswith(b"%b %b HTTP/1.1\r\n" % (method, target.removeprefix(b"http://b.example")))
            assert request.endswith(b"\r\n\r\n" + body)
            wire.answer(OK)
    assert len(answers(wire.client_received())) == 6


def test_cached_head_with_excess_bytes_is_two_requests() -> None:
    wire = Wire()
    wire.send(post(b"/a", b"one"))
    wire.answer(OK)
    wire.upstream_received()
    wire.send(post(b"/a", b"one") + get(b"/b"))
    assert wire.upstream_received().endswith(b"\r\n\r\none")
    wire.answer(OK)
    assert wire.upstream_received().startswith(b"GET /b ")


def test_half_closing_client_gets_all_responses() -> None:
    wire = Wire()
    wire.send(get(b"/a") + get(b"/b"))
    wire.half_close()
    wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")
    wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2")
    assert [response.body for response in answers(wire.client_received())] == [b"1", b"2"]
    assert not wire.is_open


def test_half_close_mid_request_aborts_the_upstream() -> None:
    wire = Wire()
    wire.send(post(b"/a", b"hello")[:-1])
    wire.half_close()
    assert wire.upstream.transport.is_aborted
    assert wire.endpoint.active == 0


def test_s2_disconnected_client_cancels_the_upstream() -> None:
    wire = Wire()
    wire.send(get(b"/a"))
    assert wire.endpoint.active == 1
    wire.leave()
    assert wire.upstream.transport.is_aborted
    assert (wire.endpoint.active, wire.idle) == (0, 0)
    assert wire.gateway.stats.of("demo/a", "all").by_method[b"GET"][499] == 1


def test_s2_client_leaving_mid_response_cancels_the_upstream() -> None:
    wire = Wire()
    wire.send(get(b"/a") + get(b"/b"))
    wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
    wire.leave()
    assert wire.upstream.transport.is_aborted
    assert b"/b" not in wire.upstream_received()
    wire.answer(b"hello")


def test_fin_ends_a_tls_connection() -> None:
    wire = Wire()
    wire.client.transport.can_half_close = False
    wire.send(get(b"/"))
    assert wire.client.eof_received() is False
