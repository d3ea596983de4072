"""P1 to P17 over real sockets: ambiguous framing is rejected, unusual but valid requests pass."""

from __future__ import annotations

import re
import socket

import pytest

from inferway_fakes.raw_http import codes, head, statuses
from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import direct_response, policy, resources, route, rule, to
from inferway_testing.until import DEADLINE

HOST = "host: a.example"
NEXT = head(HOST, target="/smuggled")
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
SLOW = "rate: {requests: 1, per: 1h}"


@pytest.fixture
def gateway(serve, upstream):
    """Start a gateway that forwards everything."""
    return serve(route(rule(to(upstream.port))))


def post(*lines, body=b"hello", **more):
    """Return a POST with these field lines."""
    return head(HOST, *lines, method="POST", **more) + body


def assert_refused(gateway, upstream, data, *allowed):
    """Assert one rejection and a close; neither these bytes nor later ones reach the upstream."""
    received = gateway.raw(data + NEXT, half_close=False)
    assert len(statuses(received)) == 1
    assert statuses(received)[0] in allowed
    assert b"connection: close" in received.lower()
    assert gateway.request("/ordinary").status == 200
    assert [seen.target for seen in upstream.seen] == ["/ordinary"]


def assert_served(gateway, upstream, data, target="/", body=b""):
    """Assert one answer of 200, and that the upstream received exactly this request."""
    assert statuses(gateway.raw(data)) == [200]
    assert [(seen.target, seen.body) for seen in upstream.seen] == [(target, body)]


@pytest.mark.case("P1")
@pytest.mark.parametrize(
    "lines", [("content-length: 5", "transfer-encoding: chunked"), ("transfer-encoding: chunked", "content-length: 5")]
)
def test_content_length_with_chunked_is_answered_400(gateway, upstream, lines):
    assert_refused(gateway, upstream, post(*lines, body=CHUNKS), 400)


@pytest.mark.case("P2")
@pytest.mark.parametrize("values", [["5", "5"], ["5", "6"], ["+5"], ["-1"], ["0x5"], ["5,5"], [""]], ids=str)
def test_invalid_content_length_is_answered_400(gateway, upstream, values):
    assert_refused(gateway, upstream, post(*(f"content-length: {value}" for value in values)), 400)


@pytest.mark.case("P3")
@pytest.mark.parametrize("values", [[",chunked"], ["chunked", "chunked"], ["chunked\x0b"], [""]], ids=str)
def test_malformed_transfer_encoding_is_answered_400(gateway, upstream, values):
    assert_refused(gateway, upstream, post(*(f"transfer-encoding: {value}" for value in values), body=CHUNKS), 400)


@pytest.mark.case("P3")
@pytest.mark.parametrize("value", ["gzip, chunked", "identity", "xchunked"])
def test_unsupported_transfer_coding_is_answered_501(gateway, upstream, value):
    assert_refused(gateway, upstream, post(f"transfer-encoding: {value}", body=CHUNKS), 501)


@pytest.mark.case("P4")
@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/1.32"])
def test_unsupported_http_version_is_rejected(gateway, upstream, version):
    assert_refused(gateway, upstream, head(HOST, version=version), 400, 505)


@pytest.mark.case("P4")
def test_chunked_on_http_1_0_is_answered_400(gateway, upstream):
    assert_refused(gateway, upstream, post("transfer-encoding: chunked", version="HTTP/1.0", body=CHUNKS), 400)


@pytest.mark.case("P4")
def test_http_0_9_request_is_closed(gateway, upstream):
    assert 200 not in statuses(gateway.raw(b"GET /\r\n\r\n", half_close=False))
    assert not upstream.seen


@pytest.mark.case("P5")
@pytest.mark.parametrize(
    "lines", [[], [HOST, HOST], [HOST, "host: b.example"], ["host: me@a"], ["host: a b"], ["host: a/b"]], ids=str
)
def test_invalid_or_repeated_host_is_answered_400(gateway, upstream, lines):
    assert_refused(gateway, upstream, head(*lines), 400)


@pytest.mark.case("P5")
def test_http_1_0_without_a_host_is_served(gateway, upstream):
    assert_served(gateway, upstream, head(version="HTTP/1.0"))


@pytest.mark.case("P6")
def test_authority_of_the_target_selects_route_and_cache_key(serve, upstream):
    upstream.script = lambda seen: reply((seen.header("x-forwarded-host") or "").encode())
    cached = rule("cache: {ttl: 1h}", to(upstream.port))
    gateway = serve(
        resources(
            route(cached, name="a", hostnames=["a.example", "c.example"]),
            route(rule(direct_response("of b")), name="b", hostnames=["b.example"]),
        )
    )
    for target, host, body in (
        ("http://a.example/x", "b.example", b"a.example"),
        ("http://b.example/x", "a.example", b"of b"),
        ("http://c.example/x", "a.example", b"c.example"),  # not the stored answer of a.example
        ("http://a.example/x", "c.example", b"a.example"),
        ("http://a.example", "a.example", b"a.example"),
    ):
        received = gateway.raw(head(f"host: {host}", target=target))
        assert statuses(received) == [200]
        assert received.endswith(b"\r\n\r\n" + body)
    assert [seen.target for seen in upstream.seen] == ["/x", "/x", "/"]


@pytest.mark.case("P7")
@pytest.mark.parametrize("name", ["host", "x-forwarded-for", "authorization", "content-length", "x-tenant", "x-plan"])
def test_trailers_are_not_used_as_headers(serve, upstream, name):
    gateway = serve(
        resources(
            route(
                rule("matches: [{headers: [{name: x-plan, value: '3'}]}]", direct_response("by the trailer")),
                rule("cache: {ttl: 1h, key: {headers: [x-tenant]}}", to(upstream.port)),
            ),
            policy(rule("name: one", SLOW, "burst: 1", "scope: Pod", "key: [{header: x-tenant}]")),
        ),
    )
    request = post("transfer-encoding: chunked", body=b"5\r\nhello\r\n0\r\n%b: 3\r\n\r\n" % name.encode())
    received = gateway.raw(request)
    assert statuses(received) in ([200], [400])
    assert b"by the trailer" not in received
    for seen in upstream.seen:
        assert seen.header(name) != "3"
    # A trailer is not part of a limit's key: a client without it has the same bucket, which is empty.
    assert gateway.request("/again").status == 429


@pytest.mark.case("P8")
@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\rhost: a\r\n\r\n",
        b"GET / HTTP/1.1\nhost: a\n\n",
        b"GET / HTTP/1.1\r\nhost: a\nx-a: 1\r\n\r\n",
        head(HOST, "x-a: 1\rx-b: 2"),
        head(HOST, "x-a: 1\x002"),
        head(HOST, "x-a: 1\r\n 2"),
        head(HOST, "x-a : 1"),
        head(HOST, "x-a: \x01"),
        head(HOST, "x-a: \x7f"),
    ],
    ids=repr,
)
def test_forbidden_bytes_in_a_head_are_answered_400(gateway, upstream, data):
    assert_refused(gateway, upstream, data, 400)


@pytest.mark.case("P9")
@pytest.mark.parametrize(
    "body",
    [
        b"0x3\r\nabc\r\n",
        b"3_0\r\nabc\r\n",
        b"1" * 17 + b"\r\nabc\r\n",
        b"3\r\nabc",
        b"3\rXabc\r\n",
        b"3;a\nb\r\nabc\r\n",
    ],
    ids=repr,
)
def test_malformed_chunk_is_never_a_complete_request(gateway, upstream, body):
    received = gateway.raw(post("transfer-encoding: chunked", body=body + b"0\r\n\r\n") + NEXT, half_close=False)
    assert statuses(received) in ([400], [])
    assert not upstream.seen  # it keeps complete requests only


@pytest.mark.case("P10")
@pytest.mark.parametrize(
    ("data", "target", "body"),
    [
        (head(HOST, "x-a: v\t  "), "/", b""),
        (head(HOST, "x-a:"), "/", b""),
        (head(HOST, "accept: a", "accept: b"), "/", b""),
        (head(HOST, target="///a"), "///a", b""),
        (head(HOST, target="/?"), "/?", b""),
        (head(HOST, target="/a%2Fb"), "/a%2Fb", b""),
        (head(HOST, target="/%zz?%zz"), "/%zz?%zz", b""),
        (post("transfer-encoding: cHuNkEd", body=CHUNKS), "/", b"hello"),
    ],
    ids=repr,
)
def test_unusual_but_legal_request_is_served(gateway, upstream, data, target, body):
    assert_served(gateway, upstream, data, target, body)


HOP_BY_HOP = {"keep-alive": "1", "te": "x", "trailer": "x", "upgrade": "h2c", "proxy-authenticate": "x", "proxy-connection": "x", "x-hop": "1"}  # fmt: skip


@pytest.mark.case("P11")
def test_hop_by_hop_fields_are_removed_in_both_directions(serve, upstream):
    modifier = (
        "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: authorization, value: ours}]}}]"
    )
    gateway = serve(route(rule(modifier, to(upstream.port))))
    upstream.script = lambda seen: reply(headers={"connection": "X-Hop", "x-stays": "1", **HOP_BY_HOP})
    named = "close, X-Hop, X-Forwarded-For, Authorization, Via"
    answer = gateway.request(connection=named, **{name.replace("-", "_"): value for name, value in HOP_BY_HOP.items()})
    [seen] = upstream.seen
    assert not HOP_BY_HOP.keys() & {name.lower() for name, _ in seen.headers}
    assert (seen.header("x-forwarded-for"), seen.header("authorization")) == ("127.0.0.1", "ours")
    assert seen.header("via") == "1.1 inferway"
    assert not HOP_BY_HOP.keys() & {name.lower() for name in answer.headers}
    assert (answer.headers["x-stays"], answer.body) == ("1", b"ok")


@pytest.mark.case("P12")
@pytest.mark.parametrize("name", ["Transfer_Encoding", "X_Forwarded_For", "x_forwarded_host", "Content_Length"])
def test_look_alike_transfer_encoding_is_not_forwarded(gateway, upstream, name):
    received = gateway.raw(head(HOST, f"{name}: chunked"))
    assert statuses(received) in ([200], [400])
    assert all(seen.header(name) is None for seen in upstream.seen)


@pytest.mark.case("P13")
@pytest.mark.parametrize(
    ("method", "target", "status"),
    [("CONNECT", "a.example:443", 405), ("TRACE", "/", 405), ("OPTIONS", "*", 204), ("FETCH", "/", 501)],
)
def test_unsupported_method_is_not_forwarded(gateway, upstream, method, target, status):
    received = gateway.raw(head("host: a.example:443" if ":" in target else HOST, method=method, target=target))
    assert statuses(received) == [status]
    if status != 501:
        assert b"\r\nallow: " in received.lower()
    assert not upstream.seen


EXPECTING = head(HOST, "expect: 100-continue", "content-length: 5", method="POST")


@pytest.mark.case("P14")
def test_100_continue_is_sent_only_if_the_body_is_read(serve, upstream):
    limited = policy(rule("name: one", SLOW, "burst: 1", "scope: Pod"))
    gateway = serve(resources(route(rule(to(upstream.port))), limited))
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as client:
        client.sendall(EXPECTING)
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hello")
        assert statuses(client.recv(65536)) == [200]
    assert [seen.body for seen in upstream.seen] == [b"hello"]
    received = gateway.raw(EXPECTING, half_close=False)  # no byte of the body is sent, and the answer still arrives
    assert (statuses(received), codes(received)) == ([429], ["rate_limited"])
    assert len(upstream.seen) == 1


@pytest.mark.case("P14")
def test_unknown_expectation_is_answered_417(gateway, upstream):
    assert_refused(gateway, upstream, post("expect: 200-ok", "content-length: 5"), 417)


@pytest.mark.case("P15")
@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
@pytest.mark.parametrize("framing", ["", "content-length", "chunked"])
def test_upgrade_is_ignored_and_not_forwarded(gateway, upstream, protocol, framing):
    lines = [HOST, "connection: Upgrade, HTTP2-Settings", f"upgrade: {protocol}", "http2-settings: AAAA"]
    body = NEXT if framing else b""
    if framing == "content-length":
        data = head(*lines, f"content-length: {len(body)}", method="POST") + body
    elif framing:
        data = head(*lines, "transfer-encoding: chunked", method="POST") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        data = head(*lines)
    received = statuses(gateway.raw(data + head(HOST, target="/next")))
    if protocol == "websocket" and not framing:
        assert (received, upstream.seen) == ([501], [])  # a handshake; with content it is none
        return
    assert received == [200, 200]
    assert [(seen.target, seen.body) for seen in upstream.seen] == [("/", body), ("/next", b"")]
    assert not {"upgrade", "http2-settings"} & {name.lower() for name, _ in upstream.seen[0].headers}


@pytest.mark.case("P16")
def test_twenty_pipelined_requests_are_limited_one_by_one(serve, upstream):
    upstream.script = lambda seen: reply(b"<%b>" % seen.target.encode())
    limited = policy(rule("name: one", SLOW, "burst: 12", "scope: Pod"))
    gateway = serve(resources(route(rule(to(upstream.port))), limited))
    received = gateway.raw(b"".join(head(HOST, target=f"/{number}") for number in range(20)))
    assert statuses(received) == [200] * 12 + [429] * 8
    assert re.findall(rb"</(\d+)>", received) == [b"%d" % number for number in range(12)]
    assert [seen.target for seen in upstream.seen] == [f"/{number}" for number in range(12)]


@pytest.mark.case("P17")
@pytest.mark.parametrize("after", [NEXT, b"\x00\xffgarbage\r\n\r\n", b"GET /half HT"], ids=repr)
def test_bytes_after_connection_close_are_ignored(gateway, upstream, after):
    received = gateway.raw(head(HOST, "connection: close") + after, half_close=False)
    assert statuses(received) == [200]
    assert [seen.target for seen in upstream.seen] == ["/"]
    assert gateway.metric("http_requests_total") == 1
