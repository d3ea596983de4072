"""U6: no state between requests, no use of the environment, no additions for the upstream."""

from __future__ import annotations

import pytest

from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import route, rule, to


@pytest.fixture
def gateway(serve, upstream):
    """Start a gateway that sends all requests to the upstream."""
    return serve(route(rule(to(upstream.port))))


@pytest.mark.case("U6")
def test_cookies_are_forwarded_and_not_stored(gateway, upstream):
    upstream.script = lambda seen: [
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nset-cookie: a=1; Path=/\r\nSet-Cookie: b=2, c\r\n\r\n"
    ]
    first = gateway.request("/", cookie="mine=1")
    assert first.headers.get_all("set-cookie") == ["a=1; Path=/", "b=2, c"]
    gateway.request()
    assert [seen.header("cookie") for seen in upstream.seen] == ["mine=1", None]


@pytest.mark.case("U6")
@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect"])
def test_redirect_of_the_upstream_is_forwarded(gateway, upstream, status):
    upstream.script = lambda seen: reply(b"", status, {"location": f"http://127.0.0.1:{upstream.port}/elsewhere"})
    answer = gateway.request("/here", "POST", body=b"x")
    assert answer.status == int(status[:3])
    assert answer.headers["location"].endswith("/elsewhere")
    assert [(seen.method, seen.target) for seen in upstream.seen] == [("POST", "/here")]


@pytest.mark.case("U6")
def test_proxy_and_netrc_of_the_environment_are_ignored(serve, upstream, upstreams, tmp_path, monkeypatch):
    [proxy] = upstreams(1)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy.port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\ndefault login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    # Health checks use another client, which must not read the environment either.
    gateway = serve(route(rule("healthCheck: {path: /healthz, interval: 100ms, timeout: 100ms}", to(upstream.port))))
    assert gateway.request().status == 200
    while not any(seen.target == "/healthz" for seen in upstream.seen):
        assert gateway.request().status == 200
    assert {seen.header("authorization") for seen in upstream.seen} == {None}
    assert not proxy.connections


@pytest.mark.case("U6")
def test_request_upstream_has_no_client_library_fields(gateway, upstream):
    gateway.raw(b"GET / HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n", half_close=False)
    assert sorted(name.lower() for name, _ in upstream.seen[0].headers) == [
        "host",
        "traceparent",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-request-id",
    ]
