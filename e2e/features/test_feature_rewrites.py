"""Rewritten targets and hosts of forwarded requests."""

from __future__ import annotations

import pytest

from inferway_fakes.yaml_builders import resources, route, rule, service, to


def rewriting(port, rewrite, prefix="/"):
    """Return a rule with a rewrite."""
    return route(
        rule(
            f"matches: [{{path: {{value: {prefix}}}}}]",
            f"filters: [{{type: URLRewrite, urlRewrite: {{{rewrite}}}}}]",
            to(port),
        )
    )


def forwarded_target(gateway, upstream, path, **headers):
    """Return the target that the upstream received."""
    assert gateway.request(path, **headers).status == 200
    return upstream.seen[-1].target


@pytest.mark.parametrize(
    ("prefix", "new", "path", "expected"),
    [
        # Gateway API's own table (HTTPPathModifier)
        ("/foo", "/xyz", "/foo/bar", "/xyz/bar"),
        ("/foo", "/xyz/", "/foo/bar", "/xyz/bar"),
        ("/foo/", "/xyz", "/foo/bar", "/xyz/bar"),
        ("/foo/", "/xyz/", "/foo/bar", "/xyz/bar"),
        ("/foo", "/xyz", "/foo", "/xyz"),
        ("/foo", "/xyz", "/foo/", "/xyz/"),
        ("/foo", '""', "/foo/bar", "/bar"),
        ("/foo", '""', "/foo/", "/"),
        ("/foo", '""', "/foo", "/"),
        ("/foo", "/", "/foo/bar", "/bar"),
        ("/foo", "/", "/foo", "/"),
        ("/", "/v1", "/a", "/v1/a"),
        # and beyond that table: the rest and the query stay byte for byte
        ("/a/b", "/x", "/a/b/c%2Fd/%C3%BC?q=%zz&r", "/x/c%2Fd/%C3%BC?q=%zz&r"),
        ("/a b", "/x", "/a%20b/c", "/x/c"),
        ("/foo", "/xyz", "/foo//bar//", "/xyz//bar//"),
        ("/foo", "/xyz", "/foo?", "/xyz?"),
    ],
)
def test_rewrite_replaces_the_matched_prefix(serve, upstream, prefix, new, path, expected):
    change = f"path: {{type: ReplacePrefixMatch, replacePrefixMatch: {new}}}"
    gateway = serve(rewriting(upstream.port, change, prefix))
    assert forwarded_target(gateway, upstream, path) == expected


def test_rewrite_replaces_the_path_and_keeps_the_query(serve, upstream):
    gateway = serve(rewriting(upstream.port, "path: {type: ReplaceFullPath, replaceFullPath: /v1/chat}"))
    assert forwarded_target(gateway, upstream, "/anything/else?a=1&b=%20") == "/v1/chat?a=1&b=%20"
    assert forwarded_target(gateway, upstream, "/") == "/v1/chat"


def test_rewritten_host_is_sent_with_x_forwarded_host(serve, upstream):
    gateway = serve(rewriting(upstream.port, "hostname: models.example.com"))
    assert forwarded_target(gateway, upstream, "/a?b", host="app.test") == "/a?b"
    assert upstream.seen[0].header("host") == "models.example.com"
    assert upstream.seen[0].header("x-forwarded-host") == "app.test"


def test_path_and_query_without_a_rewrite_are_unchanged(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    for target in ("/", "/?", "/a%2fb", "/%7Euser/~", "///a", "/a;b=c/d", "/a?x=/../y&z=%00", "/%zz", "/a//b/"):
        assert forwarded_target(gateway, upstream, target) == target


def test_absolute_target_is_forwarded_as_a_path(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    for target, expected in (
        (b"http://app.test/a?b", "/a?b"),
        (b"http://app.test", "/"),
        (b"http://app.test?b", "/?b"),
    ):
        data = gateway.raw(b"GET " + target + b" HTTP/1.1\r\nhost: other\r\nconnection: close\r\n\r\n")
        assert b" 200 " in data
        assert upstream.seen[-1].target == expected
        assert upstream.seen[-1].header("x-forwarded-host") == "app.test"


# --- the url of a backend -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "expected"), [("", "/a/b?c"), ("/", "/a/b?c"), ("/v1", "/v1/a/b?c"), ("/v1/", "/v1/a/b?c")]
)
def test_path_of_a_backend_url_is_prepended(serve, upstream, base, expected):
    gateway = serve(route(rule(f'backendRefs: [{{url: "http://127.0.0.1:{upstream.port}{base}"}}]')))
    assert forwarded_target(gateway, upstream, "/a/b?c") == expected


def test_backend_url_sets_the_host(serve, upstream):
    gateway = serve(route(rule(f'backendRefs: [{{url: "http://localhost:{upstream.port}"}}]')))
    forwarded_target(gateway, upstream, "/", host="app.test")
    assert upstream.seen[0].header("host") == f"localhost:{upstream.port}"
    assert upstream.seen[0].header("x-forwarded-host") == "app.test"


def test_rewritten_host_overrides_the_backend_url(serve, upstream):
    gateway = serve(rewriting(upstream.port, "hostname: own.test"))
    forwarded_target(gateway, upstream, "/")
    assert upstream.seen[0].header("host") == "own.test"


def test_rewrite_applies_before_the_path_of_the_backend_url(serve, upstream):
    gateway = serve(
        route(
            rule(
                "matches: [{path: {value: /api}}]",
                "filters: [{type: URLRewrite, urlRewrite:"
                " {path: {type: ReplacePrefixMatch, replacePrefixMatch: /chat}}}]",
                f'backendRefs: [{{url: "http://127.0.0.1:{upstream.port}/v1"}}]',
            )
        )
    )
    assert forwarded_target(gateway, upstream, "/api/x") == "/v1/chat/x"


def test_rewrite_applies_to_services(serve, upstream):
    text = rule(
        "filters: [{type: URLRewrite, urlRewrite: {hostname: h.test, path: {type: ReplaceFullPath,"
        " replaceFullPath: /full}}}]",
        "backendRefs: [{name: model, port: 80}]",
    )
    gateway = serve(resources(route(text), service("model", upstream.port)))
    assert forwarded_target(gateway, upstream, "/a?b") == "/full?b"
    assert upstream.seen[0].header("host") == "h.test"
