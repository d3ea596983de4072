"""Request targets and hosts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_contract.paths import AmbiguousPath, match_path
from inferway_dataplane.core.messages import authority, request_head, request_target
from inferway_dataplane.core.messages.request_head import RequestHead


def head_or_code(target: bytes, host: bytes | None = b"a.example", method: bytes = b"GET") -> RequestHead | str:
    fields = [] if host is None else [(b"Host", host)]
    head = request_head.read_request(method, fields, is_http_1_1=host is not None)
    assert isinstance(head, RequestHead)
    problem = request_target.locate(head, target)
    return head if problem is None else problem.code


HOSTS = {
    "a name": (b"a.example", b"a.example"),
    "upper case": (b"A.Example", b"a.example"),
    "a port": (b"a.example:8080", b"a.example"),
    "an empty port": (b"a.example:", b"a.example"),
    "the largest port": (b"a.example:65535", b"a.example"),
    "too large a port": (b"a.example:65536", None),
    "six digits": (b"a.example:000080", None),
    "no number": (b"a.example:http", None),
    "a signed port": (b"a.example:+80", None),
    "two ports": (b"a.example:80:80", None),
    "an address": (b"127.0.0.1:80", b"127.0.0.1"),
    "IPv6": (b"[::1]", b"[::1]"),
    "IPv6 with a port": (b"[2001:DB8::1]:8080", b"[2001:db8::1]"),
    "IPv6, IPv4 inside": (b"[::ffff:192.0.2.1]", b"[::ffff:192.0.2.1]"),
    "IPv6 without brackets": (b"::1", None),
    "IPv6 not closed": (b"[::1", None),
    "IPv6 and garbage": (b"[::1]x", None),
    "no IPv6 in brackets": (b"[1.2.3.4]", None),
    "colons only": (b"[:::::]", None),
    "empty brackets": (b"[]", None),
    "a zone": (b"[fe80::1%25eth0]", None),
    "the root's dot": (b"a.example.", b"a.example"),
    "the root's dot and a port": (b"a.example.:80", b"a.example"),
    "a dot": (b".", None),
    "two dots": (b"..", None),
    "two dots at the end": (b"a.example..", None),
    "empty": (b"", None),
    "a port only": (b":80", None),
    "user info": (b"user@a.example", None),
    "a blank": (b"a example", None),
    "a path": (b"a.example/x", None),
    "a query": (b"a.example?x", None),
    "a fragment": (b"a.example#x", None),
    "a backslash": (b"a.example\\x", None),
    "a list": (b"a.example, b.example", None),
    "not ASCII": ("ä.example".encode(), None),
    "an underscore": (b"my_service", b"my_service"),
    "an escape": (b"a%2Db.example", b"a%2db.example"),
    "a percent sign": (b"a%.example", None),
    "a percent sign at the end": (b"a%2", None),
    "an escape that is none": (b"a%zz.example", None),
    "255 bytes": (b"a" * 255, b"a" * 255),
    "256 bytes": (b"a" * 256, None),
}


@pytest.mark.parametrize(("raw", "host"), HOSTS.values(), ids=HOSTS)
def test_p5_host_is_normalised_or_rejected(raw: bytes, host: bytes | None) -> None:
    assert authority.host_of(raw) == host
    assert authority.host_of(raw) == host  # from the memo


@pytest.mark.parametrize(("raw", "host"), HOSTS.values(), ids=HOSTS)
def test_p5_bad_host_rejects_the_request(raw: bytes, host: bytes | None) -> None:
    head = head_or_code(b"/", raw)
    assert (head if isinstance(head, str) else head.host) == (b"bad_host".decode() if host is None else host)


TARGETS = {  # target -> host, path, query, match path
    "a path": (b"/a/b", (b"a.example", b"/a/b", None, b"/a/b")),
    "a query": (b"/a?x=1&y=?", (b"a.example", b"/a", b"x=1&y=?", b"/a")),
    "P10 an empty query": (b"/a?", (b"a.example", b"/a", b"", b"/a")),
    "P10 empty segments": (b"///a", (b"a.example", b"///a", None, b"///a")),
    "P10 an escaped slash": (b"/a%2fb", (b"a.example", b"/a%2fb", None, b"/a%2Fb")),
    "P10 an invalid escape": (b"/%zz", (b"a.example", b"/%zz", None, b"/%zz")),
    "an escape": (b"/%61", (b"a.example", b"/%61", None, b"/a")),
    "P6 absolute": (b"http://B.example:81/x?y", (b"b.example", b"/x", b"y", b"/x")),
    "P6 absolute, https": (b"https://b.example/x", (b"b.example", b"/x", None, b"/x")),
    "P6 absolute, upper case": (b"HTTP://b.example/x", (b"b.example", b"/x", None, b"/x")),
    "P6 absolute without a path": (b"http://b.example", (b"b.example", b"/", None, b"/")),
    "P6 absolute, a query only": (b"http://b.example?q=/", (b"b.example", b"/", b"q=/", b"/")),
    "P6 absolute, IPv6": (b"http://[::1]:80/", (b"[::1]", b"/", None, b"/")),
    "dots that are no dot segments": (b"/a./.b/...", (b"a.example", b"/a./.b/...", None, b"/a./.b/...")),
    "dot segments in the query": (b"/a?b=/../c", (b"a.example", b"/a", b"b=/../c", b"/a")),
}


@pytest.mark.parametrize(("target", "expected"), TARGETS.values(), ids=TARGETS)
def test_p6_target_is_split_into_host_path_and_query(
    target: bytes, expected: tuple[bytes, bytes, bytes | None, bytes]
) -> None:
    head = head_or_code(target)
    assert isinstance(head, RequestHead), head
    assert (head.host, head.path, head.query, head.match_path) == expected


BAD_TARGETS = {
    "no slash": (b"a", "bad_target"),
    "empty": (b"", "bad_target"),
    "GET *": (b"*", "bad_target"),
    "authority form": (b"a.example:443", "bad_target"),
    "another scheme": (b"ftp://a.example/", "bad_target"),
    "no authority": (b"http:///a", "bad_target"),
    "user info": (b"http://u:p@a.example/", "bad_target"),
    "a bad authority": (b"http://a b/", "bad_host"),
    "a bad port": (b"http://a.example:x/", "bad_host"),
    "a backslash for a slash": (b"http://a.example\\@b.example/", "bad_target"),
    "a fragment": (b"/a#b", "bad_target"),
    "a fragment after a query": (b"/a?b#c", "bad_target"),
    "a dot segment": (b"/a/./b", "ambiguous_path"),
    "two dots": (b"/a/../b", "ambiguous_path"),
    "two dots at the end": (b"/a/..", "ambiguous_path"),
    "escaped dots": (b"/a/%2e%2E/b", "ambiguous_path"),
    "half escaped dots": (b"/a/.%2e", "ambiguous_path"),
    "a backslash": (b"/a\\b", "ambiguous_path"),
    "an escaped control byte": (b"/a%0ab", "ambiguous_path"),
}


@pytest.mark.parametrize(("target", "code"), BAD_TARGETS.values(), ids=BAD_TARGETS)
def test_invalid_target_is_rejected_with_its_code(target: bytes, code: str) -> None:
    assert head_or_code(target) == code


def test_p6_host_replaced_by_absolute_form_must_be_valid() -> None:
    assert head_or_code(b"http://b.example/", b"a@b") == "bad_host"
    assert isinstance(head_or_code(b"http://b.example/", None), RequestHead)


def test_p6_authority_of_absolute_form_is_forwarded_as_host() -> None:
    head = head_or_code(b"http://B.example:81/", b"a.example")
    assert isinstance(head, RequestHead)
    assert head.raw_host == b"B.example:81"


def test_p13_options_of_the_whole_server_has_an_asterisk_path() -> None:
    head = head_or_code(b"*", method=b"OPTIONS")
    assert isinstance(head, RequestHead)
    assert head.path == b"*"


def test_p5_http_1_0_without_a_host_has_an_empty_host() -> None:
    head = head_or_code(b"/", None)
    assert isinstance(head, RequestHead)
    assert head.host == b""


def test_l2_host_and_path_caches_are_bounded() -> None:
    for number in range(10_000):
        head_or_code(b"/%d" % number, b"h%d.example" % number)
    before = authority._known_host.cache_info(), authority._known_authority.cache_info()
    head_or_code(b"/" + b"p" * 8_000, b"h" * 30_000)
    head_or_code(b"/", b"h" * 30_000)
    assert (authority._known_host.cache_info(), authority._known_authority.cache_info()) == before
    assert authority._known_host.cache_info().currsize <= 4096
    assert authority._known_authority.cache_info().currsize <= 4096
    assert len(request_target._paths) <= 4096
    assert max(map(len, request_target._paths)) < 2_100


# --- the match path ---------------------------------------------------------------------------------------------------

paths = st.lists(
    st.sampled_from(
        [b"/", b"a", b".", b"%2F", b"%2f", b"%61", b"%", b"%25", b"%zz", b"%2e", b"%5c", b"%00", b"\\", b"%0a", b"~"]
    )
).map(lambda parts: b"/" + b"".join(parts))


@given(paths)
def test_match_path_decoding_adds_no_separator(raw: bytes) -> None:
    try:
        matched = match_path(raw)
    except AmbiguousPath:
        return
    assert matched.count(b"/") == raw.count(b"/")
    segments = matched.split(b"/")
    assert b"." not in segments
    assert b".." not in segments
    assert b"\\" not in matched


@given(paths)
def test_match_path_is_idempotent_without_percent_signs(raw: bytes) -> None:
    try:
        matched = match_path(raw)
    except AmbiguousPath:
        return
    rest = matched
    for kept in (b"%2F", b"%5C", b"%00"):
        rest = rest.replace(kept, b"")
    if b"%" not in rest:  # an escaped percent sign may form a new escape: a path is decoded once only
        assert match_path(matched) == matched


@given(paths)
def test_locate_agrees_with_match_path(raw: bytes) -> None:
    head = head_or_code(raw)
    try:
        expected = match_path(raw)
    except AmbiguousPath:
        assert head == "ambiguous_path"
    else:
        assert isinstance(head, RequestHead)
        assert head.match_path == expected
