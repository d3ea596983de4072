"""Redirects."""

from __future__ import annotations

import pytest

from inferway_fakes.yaml_builders import route, rule


def redirecting(redirect, prefix="/"):
    """Return a rule with a redirect."""
    return route(
        rule(
            f"matches: [{{path: {{value: {prefix}}}}}]",
            f"filters: [{{type: RequestRedirect, requestRedirect: {{{redirect}}}}}]",
        )
    )


@pytest.mark.parametrize(
    ("redirect", "location"),
    [
        ("hostname: else.test", "http://else.test:8080/a/b?c=%20"),
        ("scheme: https", "https://app.test/a/b?c=%20"),
        ("scheme: https, port: 8443", "https://app.test:8443/a/b?c=%20"),
        ("scheme: https, port: 443", "https://app.test/a/b?c=%20"),
        ("port: 80", "http://app.test/a/b?c=%20"),
        ("port: 81", "http://app.test:81/a/b?c=%20"),
        ("path: {type: ReplaceFullPath, replaceFullPath: /new}", "http://app.test:8080/new?c=%20"),
        ("path: {type: ReplacePrefixMatch, replacePrefixMatch: /x}", "http://app.test:8080/x/b?c=%20"),
        (
            "scheme: https, hostname: else.test, path: {type: ReplacePrefixMatch, replacePrefixMatch: /}",
            "https://else.test/b?c=%20",
        ),
    ],
)
def test_redirect_keeps_the_parts_it_does_not_set(serve, redirect, location):
    gateway = serve(redirecting(redirect, "/a"))
    answer = gateway.request("/a/b?c=%20", host="app.test:8080")
    assert (answer.status, answer.headers["location"]) == (302, location)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_has_the_status_of_the_rule(serve, status):
    gateway = serve(redirecting(f"scheme: https, statusCode: {status}"))
    answer = gateway.request("/", "POST", body=b"left unread")
    assert (answer.status, answer.body) == (status, b"")


def test_redirect_keeps_the_connection_usable(serve):
    gateway = serve(redirecting("hostname: else.test"))
    data = gateway.raw(b"GET /1 HTTP/1.1\r\nhost: x\r\n\r\nGET /2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert data.index(b"http://else.test/1") < data.index(b"http://else.test/2")


@pytest.mark.parametrize("path", ["/a%0d%0aset-cookie:x", "/%0Ax", "/a%00"])
def test_redirect_path_cannot_inject_a_header(serve, path):
    gateway = serve(redirecting("hostname: else.test"))
    answer = gateway.request(path)
    assert answer.headers["set-cookie"] is None
    assert answer.status in (302, 400)


def test_redirect_path_with_two_slashes_keeps_the_host(serve):
    gateway = serve(redirecting("path: {type: ReplacePrefixMatch, replacePrefixMatch: /}", "/go"))
    location = gateway.request("/go//evil.test/x", host="app.test").headers["location"]
    assert location.startswith("http://app.test/")
