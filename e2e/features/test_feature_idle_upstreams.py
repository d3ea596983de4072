"""Unused upstream connections: how long they are kept, by default, by the upstream's Keep-Alive, and by the rule."""

from __future__ import annotations

import pytest

from inferway_fakes.upstream import answer as reply
from inferway_fakes.yaml_builders import route, rule, to
from inferway_testing.until import until


@pytest.mark.parametrize(
    ("rule_says", "upstream_says", "setting", "is_kept"),
    [
        ("", "", 0.5, False),
        ("", "timeout=60", 0.5, True),
        ("", "timeout=2, max=100", 60, False),
        ("", "timeout=99999999999999999999", 0.5, True),
        ("", "timeout=soon", 60, True),
        ("timeouts: {upstreamIdle: 500ms}", "", 60, False),
        ("timeouts: {upstreamIdle: 1m}", "", 0.5, True),
        ("timeouts: {upstreamIdle: 1m}", "timeout=2", 60, False),
        ("timeouts: {upstreamIdle: 500ms}", "timeout=60", 60, False),
        ("timeouts: {upstreamIdle: 0s}", "", 0.5, True),
    ],
)
def test_unused_connection_is_kept_as_long_as_is_safe(serve, upstream, rule_says, upstream_says, setting, is_kept):
    """A connection that is not kept is closed within 1.5 s here."""
    fields = {"keep-alive": upstream_says} if upstream_says else {}
    upstream.script = lambda seen: reply(b"ok", headers=fields)
    gateway = serve(route(rule(rule_says, to(upstream.port))), upstream_idle_timeout=setting)
    assert gateway.request("/").status == 200
    assert upstream.open_connections == 1
    if is_kept:
        # Three times as long as the wheel needs to close the others.
        with pytest.raises(AssertionError):
            until(lambda: upstream.open_connections == 0, "an end that does not come", 2.0)
        assert gateway.request("/").status == 200
        assert {seen.connection for seen in upstream.seen} == {1}
    else:
        until(lambda: upstream.open_connections == 0, "the end of the connection", 5.0)


def test_request_id_of_the_upstream_is_passed_under_another_name(serve, upstream):
    upstream.script = lambda seen: reply(b"ok", headers={"x-request-id": "req_42"})
    gateway = serve(route(rule(to(upstream.port))))
    answer = gateway.request("/")
    assert answer.headers.get_all("x-upstream-request-id") == ["req_42"]
    [own] = answer.headers.get_all("x-request-id")
    assert own != "req_42"
