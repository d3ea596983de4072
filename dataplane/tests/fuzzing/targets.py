"""What must hold of every parser, whatever bytes it gets. One function for each; the one place that all runs use.

A target takes bytes and raises when something does not hold. `words` are bytes that mean something to the parser: the
engines mix them with noise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

import httptools

from fuzzing import held
from inferway_contract.document import Cache, Cors, NewPath, Redirect
from inferway_contract.paths import AmbiguousPath, match_path
from inferway_dataplane.core import (
    caching,
    cors,
    credentials,
    heads,
    identity,
    memo,
    problems,
    retry,
    rewriting,
    routing,
    targets,
    trace_context,
)
from inferway_dataplane.core.extents import ChunkedExtent
from inferway_dataplane.core.heads import FieldBlock, RequestHead
from inferway_dataplane.settings import address_and_port


@dataclass(frozen=True)
class Target:
    """One parser with its invariants."""

    name: str
    check: Callable[[bytes], None]
    words: tuple[bytes, ...]


def check_match_path(data: bytes) -> None:
    """Only `AmbiguousPath`; as many segments as before; nothing that separates, climbs or controls comes out."""
    raw = b"/" + data
    try:
        found = match_path(raw)
    except AmbiguousPath:
        return
    held.path(found)
    assert found.count(b"/") == raw.count(b"/")
    assert len(found) <= len(raw)
    if b"%" not in found:
        assert match_path(found) == found


def check_host(data: bytes) -> None:
    """None, or a name that is its own host, is lower case and has no port."""
    found = targets.host_of(data)
    assert found == targets._parse_host(data.lower())  # the memo says the same
    if found is None:
        return
    held.host(found)
    assert targets.host_of(found) == found
    assert targets.host_of(data.upper()) == found


def check_target(data: bytes) -> None:
    """A problem, or a path and a query that are the end of the target byte for byte."""
    head = _head([(b"Host", b"a.example")])
    problem = targets.locate(head, data)
    if problem is not None:
        assert problem.status == 400
        return
    held.host(head.host)
    held.path(head.match_path)
    sent = head.path + (b"" if head.query is None else b"?" + head.query)
    assert head.path.startswith(b"/")
    assert data.endswith((sent, sent[1:]))
    assert b"#" not in sent
    if data.startswith(b"/"):
        assert (sent, head.host) == (data, b"a.example")


def check_forwarded_for(data: bytes) -> None:
    """An address that is written as addresses are; what an untrusted client adds on the left never counts."""
    lines = data.split(b"\n")
    found = _PROXIES.client("10.0.0.1", lines)
    assert str(ip_address(found)) == found
    assert _PROXIES.client("192.0.2.9", lines) == "192.0.2.9"
    forged = _PROXIES.client("10.0.0.1", [b"6.6.6.6", *lines])
    assert forged == found or (_PROXIES.trusts(found) and forged == "6.6.6.6")


def check_network(data: bytes) -> None:
    """An address's network holds it; what is no address stays what it is."""
    text = data.decode("latin-1")
    found = identity.address(text)
    told = identity.network(text, 24, 64)
    if found is None:
        assert told == text
    else:
        assert told == identity.network(str(found), 24, 64)
        assert getattr(found, "ipv4_mapped", None) is None


def check_cache_control(data: bytes) -> None:
    """Lower-case names; `no-store` is found on either side of anything; delta-seconds are bounded."""
    found = caching.directives(data)
    for name, argument in found.items():
        assert name
        assert name == name.strip().lower()
        number = caching.seconds(argument)
        assert number is None or 0 <= number <= 1 << 31
    assert b"no-store" in caching.directives(data + b", no-store")
    assert b"no-store" in caching.directives(b"no-store, " + data)


def check_lifetime(data: bytes) -> None:
    """Never negative, never more than the rule allows; nothing that is private or has no-store is stored."""
    fields = held.fields(data)
    answer = heads.read_response(200, fields, keep_alive=True)
    if answer is None:
        return
    seconds = caching.lifetime(_CACHE, _head([(b"Host", b"a.example")]), answer, lambda: 1.7e9)
    assert 0 <= seconds <= _CACHE.max_ttl
    told = caching.directives((answer.caching or {}).get(b"cache-control", b""))
    if answer.has_cookie or told.keys() & {b"no-store", b"private", b"no-cache"}:
        assert seconds == 0
    assert caching.age(answer) >= 0
    assert all(name == name.strip(b" \t").lower() for name in caching.vary_names(answer))


def check_request_fields(data: bytes) -> None:
    """A problem, or one framing; nothing goes on that frames, names the host, or belongs to this hop."""
    fields = held.fields(data)
    for is_http_1_1 in (True, False):
        block = heads.read_fields(fields, is_http_1_1)
        if not isinstance(block, FieldBlock):
            assert 400 <= block.status < 600
            continue
        assert not (block.is_chunked and block.content_length >= 0)
        assert is_http_1_1 or not block.is_chunked
        names = {name.lower() for name, _ in block.passed}
        assert not names & held.NEVER_PASSED
        assert not {name.replace(b"_", b"-") for name in names if b"_" in name} & held.NEVER_PASSED
        told = [
            token.strip(b" \t")
            for name, value in fields
            if name.lower() == b"connection"
            for token in value.lower().split(b",")
        ]
        assert not names & set(told)
        assert not (b"close" in told and block.keep_alive)
        caching.request_forbids(RequestHead(b"GET", block))


def check_response_fields(data: bytes) -> None:
    """None, or one framing; nothing goes on that belongs to this hop."""
    fields = held.fields(data)
    for status in (200, 204, 304):
        answer = heads.read_response(status, fields, keep_alive=True)
        if answer is None:
            continue
        assert not (answer.is_chunked and answer.content_length >= 0)
        assert status != 204 or not (answer.is_chunked or answer.content_length > 0)
        names = [name.lower() for name, _ in answer.passed]
        assert not set(names) & held.NEVER_ANSWERED
        assert names.count(b"date") <= 1


def check_coding(data: bytes) -> None:
    """Not `chunked` is refused, with one of two statuses."""
    assert problems.transfer_coding(data).status in (400, 501)
    block = heads.read_fields([(b"Host", b"a"), (b"Transfer-Encoding", data)], True)
    assert isinstance(block, FieldBlock) == (data.strip(b" \t").lower() == b"chunked")


def check_query(data: bytes) -> None:
    """Never more parameters than there are pairs; the first of a name counts."""
    found = routing.parameters(data)
    assert len(found) <= data.count(b"&") + 1
    assert routing.parameters(data + b"&" + data) == found
    first = routing.parameters(b"v=1&" + data)
    assert first[b"v"] == b"1"


def check_origin(data: bytes) -> None:
    """Only listed origins, and hosts below the wildcard's, are told that they may."""
    head = _head([(b"Host", b"a.example"), (b"Origin", data), (b"Access-Control-Request-Method", b"PUT")], b"OPTIONS")
    fields = dict(_CORS.response_fields(head))
    allowed = fields.get(b"access-control-allow-origin")
    assert allowed in (None, data)
    is_allowed = data.lower() in _ORIGINS or held.is_below(data.lower(), b"https://", b".example.com")
    assert (allowed is not None) == is_allowed
    assert bool(_CORS.preflight(head)) == is_allowed
    assert fields[b"vary"] == b"Origin"


def check_rewriting(data: bytes) -> None:
    """A new path is a path; a Location stays on the host, and nothing in it can end the line."""
    head = _head([(b"Host", b"a.example")])
    if targets.locate(head, data) is not None or held.CONTROL & set(data):
        return
    for change in (NewPath(prefix="/v1"), NewPath(prefix="/"), NewPath(full="/x")):
        assert rewriting.new_path(change, head.path, b"/").startswith(b"/")
    location = rewriting.location(Redirect(status=302, hostname="b.example"), head, b"/", b"http")
    port, slash, _ = location.removeprefix(b"http://b.example").partition(b"/")
    assert slash  # the request's own port may stand before it, and nothing else
    assert not port or (port[:1] == b":" and port[1:].isdigit())
    assert not held.CONTROL & set(location)


def check_cache_key(data: bytes) -> None:
    """Two requests share a key only when path and query are the same."""
    one, _, two = data.translate(None, bytes(sorted(held.CONTROL))).partition(b" ")
    first, second = _head([(b"Host", b"a.example")]), _head([(b"Host", b"a.example")])
    if targets.locate(first, b"/" + one) is not None or targets.locate(second, b"/" + two) is not None:
        return
    same = (first.path, first.query) == (second.path, second.query)
    assert (_CACHE.key(first, b"s") == _CACHE.key(second, b"s")) == same
    _SELECTING.key(first, b"s")


def check_known_request(data: bytes) -> None:
    """What the memo takes for known is exactly a request line with the fields that it knows."""
    found = memo.known_request(data + b"\r\n" + _REST, 8192)
    if found is None:
        return
    method, target, block, body = found
    assert data == method + b" " + target + b" HTTP/1.1"
    assert block is _BLOCK
    assert body == b""
    assert target.startswith(b"/")
    assert not held.CONTROL & set(target)


def check_address_and_port(data: bytes) -> None:
    """Only `ValueError`; a port is a port."""
    try:
        host, port = address_and_port(data.decode("latin-1"))
    except ValueError:
        return
    assert host
    assert 0 <= port <= 65535


def check_retry_after(data: bytes) -> None:
    """Seconds that are not negative; digits say themselves."""
    found = retry.after(data, 1_700_000_000.0)
    assert found >= 0
    if data.isdigit() and len(data) <= 9:
        assert found == int(data)


def check_chunked_extent(data: bytes) -> None:
    """A body ends where llhttp says that it ends, however it comes; what llhttp refuses ends nowhere beyond the data."""
    whole = ChunkedExtent()
    end = whole.scan(data, 0)
    assert 0 <= end <= len(data)
    assert whole.is_done or end == len(data)
    if whole.is_lost:
        return  # refused, whatever llhttp thinks of it
    for cut in (1, len(data) // 2):
        split = ChunkedExtent()
        first = split.scan(data[:cut], 0)
        second = split.scan(data[cut:], 0) if first == len(data[:cut]) and not split.is_done else 0
        assert (first + second, split.is_done, split.framing, split.chunks) == (
            end,
            whole.is_done,
            whole.framing,
            whole.chunks,
        )
    body = _ChunkedBody()
    ended = body.end_of(data)
    if ended is not None:
        assert (whole.is_done, end) == (True, ended)
        assert whole.framing == ended - body.content
    elif not body.is_refused:
        assert not whole.is_done


class _ChunkedBody:
    """llhttp's reading of a chunked body, byte by byte."""

    def __init__(self) -> None:
        self.content = 0
        self.is_complete = self.is_refused = False

    def on_body(self, data: bytes) -> None:
        self.content += len(data)

    def on_message_complete(self) -> None:
        self.is_complete = True

    def end_of(self, data: bytes) -> int | None:
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(len(data)):
            try:
                parser.feed_data(data[at : at + 1])
            except httptools.HttpParserError:
                self.is_refused = True
                return None
            if self.is_complete:
                return at + 1
        return None


def check_secret(data: bytes) -> None:
    """Nothing, or what can stand in a header."""
    found = credentials.clean(data)
    assert found is None or (found == found.strip() and found in data and not set(found) & {0, 10, 13, 127})


def check_trace_context(data: bytes) -> None:
    """Nothing, or 55 bytes of hex digits and dashes, as they came."""
    found = trace_context.well_formed(data)
    assert found is None or (found == data and len(data) == 55 and not data.translate(None, b"0123456789abcdef-"))


def _head(fields: heads.Fields, method: bytes = b"GET") -> RequestHead:
    head = heads.read_request(method, fields, is_http_1_1=True)
    assert isinstance(head, RequestHead)
    return head


_PROXIES: Final = identity.TrustedProxies(["10.0.0.0/8", "2001:db8::/32"])
_CACHE: Final = caching.CacheRules(Cache(ttl=60_000), "demo/a")
_SELECTING: Final = caching.CacheRules(Cache(ttl=60_000, query_exclude=("utm_source",), query_sort=True), "demo/a")
_ORIGINS: Final = (b"https://a.example", b"http://localhost:3000")
_CORS: Final = cors.CorsRules(
    Cors(allow_origins=("https://a.example", "http://localhost:3000", "https://*.example.com"))
)
_REST: Final = b"Host: a.example\r\nAccept: */*\r\n\r\n"
_BLOCK: Final = _head([(b"Host", b"a.example"), (b"Accept", b"*/*")]).block
memo.learn_request(b"GET / HTTP/1.1\r\n" + _REST, b"GET", _BLOCK)

_PATH: Final = (
    b"/",
    b".",
    b"..",
    b"%2e",
    b"%2F",
    b"%5c",
    b"%00",
    b"%0a",
    b"%",
    b"%zz",
    b"%25",
    b"\\",
    b"a",
    b"//",
    b";",
)
_NAMES: Final = tuple(
    name + b": " for name in (*heads._REQUEST_KINDS, b"X_Forwarded_For", b"x-a", b"transfer_encoding")
)
_VALUES: Final = (
    b"chunked",
    b"close",
    b"keep-alive",
    b"5",
    b"x-a",
    b", ",
    b"\n",
    b"100-continue",
    b"gzip",
    b"0x5",
    b"\t",
)
_CONTROLS: Final = (
    b"no-store", b"private", b"max-age=", b"s-maxage=", b'="', b'"', b"\\", b", ", b"1", b"99999999999999", b"public", b"no-cache",
)  # fmt: skip
_ANSWERED: Final = tuple(name + b": " for name in heads._RESPONSE_KINDS)
_DATES: Final = (b"Mon, 01 Jan 2024 00:00:00 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"-0000", b"99999", b"0")

ALL: Final = (
    Target("match-path", check_match_path, _PATH),
    Target("host", check_host, (b"a.example", b".", b":", b"80", b"65536", b"[", b"]", b"::1", b"%", b"%2d", b"@", b"/", b"A")),
    Target("target", check_target, (b"http://", b"HTTPS://", b"*", b"?", b"#", b"@", b":80", b"b.example", b"[::1]", *_PATH)),
    Target("forwarded-for", check_forwarded_for, (b"10.0.0.2", b"6.6.6.7", b", ", b",", b"\n", b"[2001:db8::1]:80", b"::ffff:10.0.0.3", b'"', b":80", b"unknown", b"%eth0")),
    Target("network", check_network, (b"1.2.3.4", b":80", b"[", b"]", b"::ffff:", b"2001:db8::", b'"', b"%1", b"/24")),
    Target("cache-control", check_cache_control, _CONTROLS),
    Target("lifetime", check_lifetime, (b"cache-control: ", b"expires: ", b"date: ", b"age: ", b"vary: ", b"*", b"\n", *_CONTROLS, *_DATES)),
    Target("request-fields", check_request_fields, (*_NAMES, *_VALUES)),
    Target("response-fields", check_response_fields, (*_ANSWERED, *_VALUES)),
    Target("coding", check_coding, (b"chunked", b"gzip", b",", b" ", b"\t", b";", b"=", b"CHUNKED", b"\x0b")),
    Target("query", check_query, (b"&", b"=", b"+", b"%", b"%3d", b"%26", b"v", b"v=2", b"%zz", b"\xff")),
    Target("origin", check_origin, (b"https://", b"http://", b"a.example", b".example.com", b"b", b"/", b"@", b"#", b":3000", b"localhost", b"null")),
    Target("rewriting", check_rewriting, (b"http://", b"b.example", b"?", b"%0d%0a", *_PATH)),
    Target("cache-key", check_cache_key, (b" ", b"?", b"a", b"&", b"=", b"utm_source", b"+", b"%75", *_PATH)),
    Target("known-request", check_known_request, (b"GET", b"POST", b" ", b"/", b"/a?b", b" HTTP/1.1", b"\r\n", b"\n", b"\r", b"\t", b"\x00", b"#", b"Host: b")),
    Target("retry-after", check_retry_after, (b"0", b"120", b" ", b"-", b"1" * 12, b"GMT", b"Sun, ", *_DATES)),
    Target("chunked-extent", check_chunked_extent, (b"0", b"5", b"a", b"10", b"hello", b";a=b", b";", b"\r\n", b"\r", b"\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"A: b\r\n", b"f" * 17)),
    Target("secret", check_secret, (b"key", b"\n", b"\r\n", b" ", b"\t", b"\x00", b"\xff")),
    Target("trace-context", check_trace_context, (b"00-", b"0" * 32, b"a" * 32, b"-", b"b" * 16, b"-01", b"A", b"\n")),
    Target("address-and-port", check_address_and_port, (b"127.0.0.1", b":", b"80", b"[::1]", b"65536", b"\xb2")),
)  # fmt: skip


def by_name(name: str) -> Target:
    """A target by its name; `KeyError` when there is none."""
    return {target.name: target for target in ALL}[name]
