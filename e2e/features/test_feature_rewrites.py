"""What the upstream sees in place of what the client asked for."""

from __future__ import annotations

import pytest

from inferway_fakes.yaml_builders import resources, route, rule, service, to


def rewriting(port, rewrite, prefix="/"):
    """A rule that rewrites what it forwards."""
    return route(
        rule(
            f"matches: [{{path: {{value: {prefix}}}}}]",
            f"filters: [{{type: URLRewrite, urlRewrite: {{{rewrite}}}}}]",
            to(port),
        )
    )


def sent(gateway, upstream, path, **headers):
    """The target with which a request arrived."""
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
        # and what it does not say: the rest and the query stay byte for byte
        ("/a/b", "/x", "/a/b/c%2Fd/%C3%BC?q=%zz&r", "/x/c%2Fd/%C3%BC?q=%zz&r"),
        ("/a b", "/x", "/a%20b/c", "/x/c"),
        ("/foo", "/xyz", "/foo//bar//", "/xyz//bar//"),
        ("/foo", "/xyz", "/foo?", "/xyz?"),
    ],
)
def test_the_prefix_that_matched_is_replaced(serve, upstream, prefix, new, path, expected):
    change = f"path: {{type: ReplacePrefixMatch, replacePrefixMatch: {new}}}"
    gateway = serve(rewriting(upstream.port, change, prefix))
    assert sent(gateway, upstream, path) == expected


def test_the_whole_path_is_replaced_and_the_query_stays(serve, upstream):
    gateway = serve(rewriting(upstream.port, "path: {type: ReplaceFullPath, replaceFullPath: /v1/chat}"))
    assert sent(gateway, upstream, "/anything/else?a=1&b=%20") == "/v1/chat?a=1&b=%20"
    assert sent(gateway, upstream, "/") == "/v1/chat"


def test_the_host_is_replaced_and_the_client_s_own_is_told_beside_it(serve, upstream):
    gateway = serve(rewriting(upstream.port, "hostname: models.example.com"))
    assert sent(gateway, upstream, "/a?b", host="app.test") == "/a?b"
    assert upstream.seen[0].header("host") == "models.example.com"
    assert upstream.seen[0].header("x-forwarded-host") == "app.test"


def test_without_a_rewrite_path_and_query_go_up_byte_for_byte(serve, upstream):
    gateway = serve(route(rule(to(upstream.port))))
    for target in ("/", "/?", "/a%2fb", "/%7Euser/~", "///a", "/a;b=c/d", "/a?x=/../y&z=%00", "/%zz", "/a//b/"):
        assert sent(gateway, upstream, target) == target


def test_an_absolute_form_target_goes_up_as_a_path(serve, upstream):
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
def test_the_path_of_a_backend_s_url_is_put_before_the_request_s(serve, upstream, base, expected):
    gateway = serve(route(rule(f'backendRefs: [{{url: "http://127.0.0.1:{upstream.port}{base}"}}]')))
    assert sent(gateway, upstream, "/a/b?c") == expected


def test_a_backend_by_url_is_asked_for_by_its_own_host(serve, upstream):
    gateway = serve(route(rule(f'backendRefs: [{{url: "http://localhost:{upstream.port}"}}]')))
    sent(gateway, upstream, "/", host="app.test")
    assert upstream.seen[0].header("host") == f"localhost:{upstream.port}"
    assert upstream.seen[0].header("x-forwarded-host") == "app.test"


def test_a_rewritten_host_wins_over_that_of_the_url(serve, upstream):
    gateway = serve(rewriting(upstream.port, "hostname: own.test"))
    sent(gateway, upstream, "/")
    assert upstream.seen[0].header("host") == "own.test"


def test_a_rewrite_comes_before_the_path_of_the_url(serve, upstream):
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
    assert sent(gateway, upstream, "/api/x") == "/v1/chat/x"


def test_a_rewrite_works_for_services_too(serve, upstream):
    text = rule(
        "filters: [{type: URLRewrite, urlRewrite: {hostname: h.test, path: {type: ReplaceFullPath,"
        " replaceFullPath: /full}}}]",
        "backendRefs: [{name: model, port: 80}]",
    )
    gateway = serve(resources(route(text), service("model", upstream.port)))
    assert sent(gateway, upstream, "/a?b") == "/full?b"
    assert upstream.seen[0].header("host") == "h.test"
