"""Header fields in both directions: modifiers, hop-by-hop fields, client identity fields, request ids."""

from __future__ import annotations

import pytest

from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import route, rule, to

TRUSTED = {"trusted_proxies": "127.0.0.0/8"}


def names(seen):
    """Return the names of a request's fields as received, in lower case."""
    return [name.lower() for name, _ in seen.headers]


# --- modifiers ------------------------------------------------------------------------------------------------------------


def test_request_header_modifier_sets_adds_and_removes(serve, upstream):
    gateway = serve(
        route(
            rule(
                """
                filters:
                - type: RequestHeaderModifier
                  requestHeaderModifier:
                    set: [{name: X-Set, value: new}]
                    add: [{name: x-add, value: second}]
                    remove: [X-Gone]
                """,
                to(upstream.port),
            )
        )
    )
    gateway.request(x_set="old", x_add="first", x_gone="1", x_kept="kept")
    seen = upstream.seen[0]
    assert seen.header("x-set") == "new"
    assert [value for name, value in seen.headers if name.lower() == "x-add"] == ["first", "second"]
    assert seen.header("x-gone") is None
    assert seen.header("x-kept") == "kept"


def test_response_header_modifier_sets_adds_and_removes(serve, upstream):
    gateway = serve(
        route(
            rule(
                """
                filters:
                - type: ResponseHeaderModifier
                  responseHeaderModifier:
                    set: [{name: x-set, value: new}]
                    add: [{name: X-Add, value: second}]
                    remove: [Server]
                """,
                to(upstream.port),
            )
        )
    )
    upstream.script = lambda seen: reply(headers={"X-Set": "old", "x-add": "first", "server": "nginx", "x-kept": "k"})
    answer = gateway.request()
    assert answer.headers.get_all("x-set") == ["new"]
    assert answer.headers.get_all("x-add") == ["first", "second"]
    assert answer.headers["server"] is None
    assert answer.headers["x-kept"] == "k"


def test_response_header_modifier_applies_to_local_replies(serve):
    gateway = serve(
        route(
            rule(
                """
                filters:
                - {type: DirectResponse, directResponse: {statusCode: 200, body: hello}}
                - type: ResponseHeaderModifier
                  responseHeaderModifier: {set: [{name: x-frame-options, value: DENY}]}
                """
            )
        )
    )
    assert gateway.request().headers["x-frame-options"] == "DENY"


# --- hop by hop -----------------------------------------------------------------------------------------------------------

HOP_BY_HOP = {
    "keep-alive": "timeout=5",
    "te": "trailers",
    "trailer": "x-sum",
    "upgrade": "h2c",
    "proxy-connection": "keep-alive",
    "proxy-authorization": "Basic eDp5",
    "proxy-authenticate": "Basic",
}


def test_hop_by_hop_request_fields_are_removed(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    fields = {name.replace("-", "_"): value for name, value in HOP_BY_HOP.items()}
    assert gateway.request(connection="x-hop, Upgrade", x_hop="1", x_end="2", **fields).status == 200
    seen = upstream.seen[0]
    assert not {*HOP_BY_HOP, "x-hop"} & set(names(seen))
    assert "upgrade" not in (seen.header("connection") or "")
    assert seen.header("x-end") == "2"


def test_hop_by_hop_response_fields_are_removed(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    upstream.script = lambda seen: reply(headers={"connection": "X-Hop", "x-hop": "1", "x-end": "2", **HOP_BY_HOP})
    answer = gateway.request()
    assert answer.body == b"ok"
    assert not {*HOP_BY_HOP, "x-hop"} & {name.lower() for name in answer.headers}
    assert answer.headers["x-end"] == "2"


def test_connection_field_cannot_remove_gateway_fields(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    gateway.request(connection="close, x-forwarded-for, x-forwarded-proto, x-request-id, via, host, content-length")
    seen = upstream.seen[0]
    assert seen.header("x-forwarded-for") == "127.0.0.1"
    assert seen.header("x-forwarded-proto") == "http"
    assert seen.header("x-request-id")
    assert seen.header("via")
    assert seen.header("host") == f"127.0.0.1:{upstream.port}"


def test_response_connection_field_cannot_remove_framing(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    upstream.script = lambda seen: reply(b"framed", headers={"connection": "content-length, date"})
    answer = gateway.request()
    assert (answer.body, answer.headers["content-length"]) == (b"framed", "6")


# --- who the client is ----------------------------------------------------------------------------------------------------


FORGED = {
    "x_forwarded_for": "1.2.3.4",
    "x_forwarded_proto": "https",
    "x_forwarded_host": "evil.test",
    "x_forwarded_port": "1",
    "x_forwarded_prefix": "/admin",
    "forwarded": "for=1.2.3.4",
    "x_original_url": "/admin",
    "x_rewrite_url": "/admin",
    "x_real_ip": "1.2.3.4",
}


def test_forwarded_fields_of_an_untrusted_client_are_removed(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    gateway.request(**FORGED)
    seen = upstream.seen[0]
    assert seen.header("x-forwarded-for") == "127.0.0.1"
    assert seen.header("x-forwarded-proto") == "http"
    assert seen.header("x-forwarded-host") == f"127.0.0.1:{gateway.port}"
    for name in ("forwarded", "x-original-url", "x-rewrite-url", "x-real-ip", "x-forwarded-port", "x-forwarded-prefix"):
        assert seen.header(name) is None
    assert not any("1.2.3.4" in value or "evil" in value or "admin" in value for _, value in seen.headers)


def test_forwarded_fields_of_a_trusted_proxy_are_extended(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))), **TRUSTED)
    gateway.request(x_forwarded_for="203.0.113.9, 198.51.100.7", x_forwarded_proto="https", x_forwarded_host="app.test")
    seen = upstream.seen[0]
    assert seen.header("x-forwarded-for") == "203.0.113.9, 198.51.100.7, 127.0.0.1"
    assert seen.header("x-forwarded-proto") == "https"
    assert seen.header("x-forwarded-host") == "app.test"


def test_backend_with_forwarded_headers_omit_learns_no_address(serve, upstream):
    backend = f'backendRefs: [{{url: "http://127.0.0.1:{upstream.port}", forwardedHeaders: Omit}}]'
    gateway = serve(route(rule(backend)), **TRUSTED)
    assert (
        gateway.request(x_forwarded_for="203.0.113.1", x_forwarded_proto="https", x_real_ip="203.0.113.1").status == 200
    )
    names = {name.lower() for name, _ in upstream.seen[0].headers}
    assert {name for name in names if "forwarded" in name or "real" in name} == set()
    assert "via" in names


def test_other_proxy_fields_of_a_trusted_proxy_are_kept(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))), **TRUSTED)
    proxy_fields = {"forwarded": "for=203.0.113.9", "x-real-ip": "203.0.113.9", "x-forwarded-port": "443"}
    gateway.request(**{name.replace("-", "_"): value for name, value in proxy_fields.items()})
    assert {name: upstream.seen[0].header(name) for name in proxy_fields} == proxy_fields


@pytest.mark.parametrize("name", ["X_Forwarded_For", "x_forwarded-for", "X-Forwarded_Proto", "Transfer_Encoding"])
def test_look_alike_fields_with_underscores_are_dropped(serve, upstream, name):
    gateway = serve(route(rule(to(upstream.port))))
    head = f"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{name}: chunked\r\nx_own: kept\r\n\r\n"
    assert b" 200 " in gateway.raw(head.encode())
    assert name.lower() not in names(upstream.seen[0])
    assert upstream.seen[0].header("x_own") == "kept"


# --- request ids ----------------------------------------------------------------------------------------------------------


def test_request_id_of_a_trusted_peer_is_kept(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))), **TRUSTED)
    assert gateway.request(x_request_id="my-request-0001").headers["x-request-id"] == "my-request-0001"
    assert upstream.seen[0].header("x-request-id") == "my-request-0001"


@pytest.mark.parametrize("value", ["short", "with space in it", "x" * 200, 'quote"quote"'])
def test_malformed_request_id_of_a_trusted_peer_is_replaced(serve, upstream, value):
    gateway = serve(route(rule(to(upstream.port))), **TRUSTED)
    request_id = gateway.request(x_request_id=value).headers["x-request-id"]
    assert request_id != value
    assert upstream.seen[0].header("x-request-id") == request_id


def test_request_id_of_an_untrusted_client_is_replaced(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    answer = gateway.request(x_request_id="my-request-0001")
    assert answer.headers.get_all("x-request-id") != ["my-request-0001"]
    assert upstream.seen[0].header("x-request-id") == answer.headers["x-request-id"]


def test_request_ids_are_unique(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    assert len({gateway.request().headers["x-request-id"] for _ in range(20)}) == 20


def test_traceparent_keeps_the_trace_id_with_a_new_span(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    gateway.request(traceparent=f"00-{trace}-{span}-01")
    version, same_trace, own_span, flags = upstream.seen[0].header("traceparent").split("-")
    assert (version, same_trace, flags) == ("00", trace, "01")
    assert own_span != span


# --- forwarded unchanged ---------------------------------------------------------------------------------------------------


@pytest.mark.case("U6")
def test_two_set_cookie_fields_stay_separate(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    upstream.script = lambda seen: [
        b"HTTP/1.1 200 OK\r\nset-cookie: a=1; Path=/\r\nSet-Cookie: b=2, c\r\ncontent-length: 0\r\n\r\n"
    ]
    assert gateway.request().headers.get_all("set-cookie") == ["a=1; Path=/", "b=2, c"]


@pytest.mark.case("U6")
def test_cookies_of_one_client_are_not_sent_for_another(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    upstream.script = lambda seen: reply(headers={"set-cookie": "session=1"})
    for _ in range(2):
        gateway.request()
    assert upstream.seen[1].header("cookie") is None


def test_ordinary_fields_are_forwarded_unchanged(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    gateway.raw(b"GET / HTTP/1.1\r\nhost: x\r\nX-Empty:\r\nx-tag: a\r\nX-Tag: b\t \r\nconnection: close\r\n\r\n")
    seen = upstream.seen[0]
    assert [value for name, value in seen.headers if name.lower() == "x-tag"] == ["a", "b"]
    assert seen.header("x-empty") == ""
    assert not {"user-agent", "accept-encoding", "accept", "cookie"} & set(names(seen))


def test_response_has_one_date(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    assert len(gateway.request().headers.get_all("date")) == 1
    upstream.script = lambda seen: reply(headers={"date": "Tue, 01 Jan 2030 00:00:00 GMT"})
    assert gateway.request().headers.get_all("date") == ["Tue, 01 Jan 2030 00:00:00 GMT"]
