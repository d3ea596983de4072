"""Header modifiers, path rewrites and redirect locations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_contract.document import HeaderEdit, HeaderValue, NewPath, Redirect
from inferway_dataplane.core.messages import request_head, request_target
from inferway_dataplane.core.messages.client_claims import ClientClaims
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.messages.sender import Sender
from inferway_dataplane.core.routing import filters
from inferway_dataplane.core.routing.filters import HeaderModifiers

# --- header modifiers -----------------------------------------------------------------------------------------------------

SENT = [(b"A", b"1"), (b"b", b"2"), (b"a", b"3")]


def edit(set: str = "", add: str = "", remove: str = "") -> HeaderModifiers:  # noqa: A002 - the API's own word
    def pairs(text: str) -> tuple[HeaderValue, ...]:
        return tuple(
            HeaderValue(name=name, value=value) for name, _, value in (one.partition("=") for one in text.split())
        )

    return HeaderModifiers(HeaderEdit(set=pairs(set), add=pairs(add), remove=tuple(remove.split())))


EDITS = {
    "nothing": (edit(), [(b"A", b"1"), (b"b", b"2"), (b"a", b"3")]),
    "set replaces every line in any case": (edit(set="a=x"), [(b"b", b"2"), (b"a", b"x")]),
    "set what is not there": (edit(set="C=x"), [*SENT, (b"C", b"x")]),
    "add keeps what is there": (edit(add="A=x"), [*SENT, (b"A", b"x")]),
    "add two of one name": (edit(add="c=x c=y"), [*SENT, (b"c", b"x"), (b"c", b"y")]),
    "remove every line in any case": (edit(remove="A"), [(b"b", b"2")]),
    "remove what is not there": (edit(remove="c"), SENT),
    "set and add": (edit(set="a=x", add="a=y"), [(b"b", b"2"), (b"a", b"x"), (b"a", b"y")]),
    "removed last, even what was set": (edit(set="a=x", remove="A"), [(b"b", b"2")]),
    "removed last, even what was added": (edit(add="a=x c=y", remove="a"), [(b"b", b"2"), (b"c", b"y")]),
}


@pytest.mark.parametrize(("modifiers", "after"), EDITS.values(), ids=EDITS)
def test_header_modifiers_set_add_and_remove_fields(
    modifiers: HeaderModifiers, after: list[tuple[bytes, bytes]]
) -> None:
    given_ = list(SENT)
    assert modifiers.apply(given_) == after
    assert given_ == SENT  # the given list is unchanged: it is shared
    assert modifiers.apply(given_) is not given_ or after == SENT


# --- new paths --------------------------------------------------------------------------------------------------------------

PREFIXES = {  # raw path, prefix that matched, its replacement -> new path; the first ten are Gateway API's own table
    "/foo/bar": (b"/foo/bar", b"/foo", "/xyz", b"/xyz/bar"),
    "/foo/bar, trailing slash": (b"/foo/bar", b"/foo", "/xyz/", b"/xyz/bar"),
    "/foo": (b"/foo", b"/foo", "/xyz", b"/xyz"),
    "/foo/": (b"/foo/", b"/foo", "/xyz", b"/xyz/"),
    "/foo/bar to nothing": (b"/foo/bar", b"/foo", "", b"/bar"),
    "/foo/ to nothing": (b"/foo/", b"/foo", "", b"/"),
    "/foo to nothing": (b"/foo", b"/foo", "", b"/"),
    "/foo/ to /": (b"/foo/", b"/foo", "/", b"/"),
    "/foo to /": (b"/foo", b"/foo", "/", b"/"),
    "/foo/bar to /": (b"/foo/bar", b"/foo", "/", b"/bar"),
    "prefix /": (b"/foo/bar", b"/", "/xyz", b"/xyz/foo/bar"),
    "prefix / of /": (b"/", b"/", "/xyz", b"/xyz/"),
    "prefix / to /": (b"/foo", b"/", "/", b"/foo"),
    "two segments": (b"/a/b/c/d", b"/a/b", "/x", b"/x/c/d"),
    "longer than before": (b"/a/b", b"/a", "/x/y/z", b"/x/y/z/b"),
    "P10 escapes in the rest stay": (b"/a/b%2Fc/%zz%20", b"/a", "/x", b"/x/b%2Fc/%zz%20"),
    "an escape in the prefix": (b"/%61/b", b"/a", "/x", b"/x/b"),
    "an escaped slash in the prefix": (b"/a%2fb/c", b"/a%2Fb", "/x", b"/x/c"),
    "P10 empty segments stay": (b"/a//b//", b"/a", "/x", b"/x//b//"),
    "an empty segment in the prefix": (b"//a/b", b"//a", "/x", b"/x/b"),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "prefix", "new", "after"), PREFIXES.values(), ids=PREFIXES)
def test_prefix_rewrite_replaces_the_matched_prefix(raw: bytes, prefix: bytes, new: str, after: bytes) -> None:
    assert filters.new_path(NewPath(prefix=new), raw, prefix) == after


@pytest.mark.parametrize(("full", "after"), [("/x", b"/x"), ("/", b"/"), ("", b"/"), ("/x/", b"/x/")])
def test_full_rewrite_replaces_the_whole_path(full: str, after: bytes) -> None:
    assert filters.new_path(NewPath(full=full), b"/a/b", b"/a") == after


segment = st.sampled_from([b"a", b"", b"%2F", b"%61", b"b%20c"])


@given(st.lists(segment, min_size=1, max_size=3), st.lists(segment, max_size=4))
def test_prefix_rewrite_removes_exactly_the_prefix_segments(prefix: list[bytes], rest: list[bytes]) -> None:
    before = b"".join(b"/" + one for one in prefix)
    after = b"".join(b"/" + one for one in rest)
    if before == b"/":
        return  # the prefix / removes no segment
    assert filters.new_path(NewPath(prefix="/x/y"), before + after, before) == b"/x/y" + after


# --- redirects ----------------------------------------------------------------------------------------------------------------


def make_request(host: bytes | None, target: bytes, scheme: bytes = b"http") -> RequestHead:
    fields = [] if host is None else [(b"Host", host)]
    sender = Sender(scheme, ClientClaims(), is_trusted=False)
    head = request_head.read_request(b"GET", fields, is_http_1_1=host is not None, sender=sender)
    assert isinstance(head, RequestHead)
    assert request_target.locate(head, target) is None
    return head


def redirect(**what: object) -> Redirect:
    return Redirect.model_validate({"status": 302, **what})


HTTPS = redirect(scheme="https")
LOCATIONS = {  # redirect, Host, target, scheme of the request -> Location
    "nothing changed": (redirect(), b"a.example", b"/x?y", b"http", b"http://a.example/x?y"),
    "an empty query": (redirect(), b"a.example", b"/x?", b"http", b"http://a.example/x?"),
    "the port stays": (redirect(), b"a.example:8080", b"/x", b"http", b"http://a.example:8080/x"),
    "the default port goes": (redirect(), b"a.example:80", b"/x", b"http", b"http://a.example/x"),
    "443 is default for https": (redirect(), b"a.example:443", b"/x", b"https", b"https://a.example/x"),
    "443 is none for http": (redirect(), b"a.example:443", b"/x", b"http", b"http://a.example:443/x"),
    "an empty port": (redirect(), b"a.example:", b"/x", b"http", b"http://a.example/x"),
    "to https": (HTTPS, b"a.example", b"/x", b"http", b"https://a.example/x"),
    "to https from a port": (HTTPS, b"a.example:8080", b"/x", b"http", b"https://a.example/x"),
    "to https on a port": (redirect(scheme="https", port=8443), b"a.example", b"/", b"http", b"https://a.example:8443/"),
    "to https on 443": (redirect(scheme="https", port=443), b"a.example", b"/", b"http", b"https://a.example/"),
    "to https on 80": (redirect(scheme="https", port=80), b"a.example", b"/", b"http", b"https://a.example:80/"),
    "to http on 80": (redirect(scheme="http", port=80), b"a.example:8443", b"/", b"https", b"http://a.example/"),
    "to a port": (redirect(port=8080), b"a.example:81", b"/x", b"http", b"http://a.example:8080/x"),
    "to a host": (redirect(hostname="b.example"), b"a.example", b"/x", b"http", b"http://b.example/x"),
    "to a host, the port stays": (
        redirect(hostname="b.example"), b"a.example:8080", b"/x", b"http", b"http://b.example:8080/x",
    ),
    "upper case": (redirect(), b"A.Example", b"/X", b"http", b"http://a.example/X"),
    "IPv6": (redirect(), b"[::1]", b"/x", b"http", b"http://[::1]/x"),
    "IPv6 and a port": (redirect(), b"[::1]:8080", b"/x", b"http", b"http://[::1]:8080/x"),
    "IPv6 to https": (HTTPS, b"[::1]:8080", b"/x", b"http", b"https://[::1]/x"),
    "a full path keeps the query": (
        redirect(path=NewPath(full="/new")), b"a.example", b"/x/y?z=1", b"http", b"http://a.example/new?z=1",
    ),
    "a prefix": (redirect(path=NewPath(prefix="/new")), b"a.example", b"/x/y?z", b"http", b"http://a.example/new/y?z"),
    "escapes stay": (redirect(), b"a.example", b"/%2F%zz?%20", b"http", b"http://a.example/%2F%zz?%20"),
    "two slashes are no other host": (redirect(), b"a.example", b"//evil", b"http", b"http://a.example//evil"),
    "absolute-form": (redirect(), b"a.example", b"http://b.example:81/x", b"http", b"http://b.example:81/x"),
}  # fmt: skip


@pytest.mark.parametrize(("redirect", "host", "target", "scheme", "location"), LOCATIONS.values(), ids=LOCATIONS)
def test_redirect_location_is_built_from_the_request(
    redirect: Redirect, host: bytes, target: bytes, scheme: bytes, location: bytes
) -> None:
    assert filters.location(redirect, make_request(host, target, scheme), b"/x") == location


def test_redirect_without_host_has_no_location() -> None:
    for target in (b"/x", b"//evil.example/x"):
        assert filters.location(redirect(), make_request(None, target), b"/x") is None
        assert filters.location(redirect(scheme="https", port=8443), make_request(None, target), b"/x") is None
        to_host = filters.location(redirect(hostname="b.example"), make_request(None, target), b"/x")
        assert to_host == b"http://b.example" + target
