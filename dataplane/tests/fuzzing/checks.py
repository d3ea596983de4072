"""What must hold of every parser, whatever bytes it gets. One function for each, which raises when something does not."""

from ipaddress import ip_address
from typing import Final

import httptools

from fuzzing import held
from inferway_contract.document import Cache, Cors, NewPath, Redirect
from inferway_contract.listener import address_and_port
from inferway_contract.paths import AmbiguousPath, match_path
from inferway_dataplane.core.caching import freshness
from inferway_dataplane.core.caching import keys as cache_keys
from inferway_dataplane.core.messages import (
    authority,
    client_address,
    field_kinds,
    problems,
    query_parameters,
    request_head,
    request_target,
    response_head,
    trace_context,
)
from inferway_dataplane.core.messages.chunked_body import ChunkedBodyScanner
from inferway_dataplane.core.messages.request_head import FieldBlock, RequestHead
from inferway_dataplane.core.routing import cors, filters
from inferway_dataplane.core.upstreams import retry
from inferway_dataplane.engine.http1.head_cache import HeadCache
from inferway_dataplane.system import secret_files


def check_match_path(data: bytes) -> None:
    """Only `AmbiguousPath`; as many segments as before; nothing that separates, climbs or controls comes out."""
    raw = b"/" + data
    try:
        path = match_path(raw)
    except AmbiguousPath:
        return
    held.assert_path(path)
    assert path.count(b"/") == raw.count(b"/")
    assert len(path) <= len(raw)
    if b"%" not in path:
        assert match_path(path) == path


def check_host(data: bytes) -> None:
    """None, or a name that is its own host, is lower case and has no port."""
    host = authority.host_of(data)
    assert host == authority._parse_host(data.lower())  # the memo agrees
    if host is None:
        return
    held.assert_host(host)
    assert authority.host_of(host) == host
    assert authority.host_of(data.upper()) == host


def check_target(data: bytes) -> None:
    """A problem, or a path and a query that are the end of the target byte for byte."""
    head = _head([(b"Host", b"a.example")])
    problem = request_target.locate(head, data)
    if problem is not None:
        assert problem.status == 400
        return
    held.assert_host(head.host)
    held.assert_path(head.match_path)
    sent = head.path + (b"" if head.query is None else b"?" + head.query)
    assert head.path.startswith(b"/")
    assert data.endswith((sent, sent[1:]))
    assert b"#" not in sent
    if data.startswith(b"/"):
        assert (sent, head.host) == (data, b"a.example")


def check_forwarded_for(data: bytes) -> None:
    """An address that is written as addresses are; what an untrusted client adds on the left never counts."""
    lines = data.split(b"\n")
    client = _PROXIES.client("10.0.0.1", lines)
    assert str(ip_address(client)) == client
    assert _PROXIES.client("192.0.2.9", lines) == "192.0.2.9"
    forged = _PROXIES.client("10.0.0.1", [b"6.6.6.6", *lines])
    assert forged == client or (_PROXIES.trusts(client) and forged == "6.6.6.6")


def check_network(data: bytes) -> None:
    """An address's network contains it; any other text stays as it is."""
    text = data.decode("latin-1")
    address = client_address.address(text)
    network = client_address.network(text, 24, 64)
    if address is None:
        assert network == text
    else:
        assert network == client_address.network(str(address), 24, 64)
        assert getattr(address, "ipv4_mapped", None) is None


def check_cache_control(data: bytes) -> None:
    """Lower-case names; `no-store` is found on either side of anything; delta-seconds are bounded."""
    directives = freshness.parse_directives(data)
    for name, argument in directives.items():
        assert name
        assert name == name.strip().lower()
        number = freshness.delta_seconds(argument)
        assert number is None or 0 <= number <= 1 << 31
    assert b"no-store" in freshness.parse_directives(data + b", no-store")
    assert b"no-store" in freshness.parse_directives(b"no-store, " + data)


def check_lifetime(data: bytes) -> None:
    """Never negative, never more than the rule allows; nothing that is private or has no-store is stored."""
    fields = held.fields(data)
    answer = response_head.read_response(200, fields, keep_alive=True)
    if answer is None:
        return
    fresh = freshness.freshness_of(_CACHE, _head([(b"Host", b"a.example")]), answer, 0.5, lambda: 1.7e9)
    assert fresh is None or 0 < fresh.lifetime <= _CACHE.max_ttl - 0.5
    assert fresh is None or 0.5 <= fresh.age < _CACHE.max_ttl
    directives = freshness.parse_directives((answer.caching or {}).get(b"cache-control", b""))
    # RFC 9111 5.2.2.3: must-understand takes the place of no-store.
    forbidding = {b"private", b"no-cache"} | (set() if b"must-understand" in directives else {b"no-store"})
    if answer.has_cookie or directives.keys() & forbidding:
        assert fresh is None
    assert all(name == name.strip(b" \t").lower() for name in cache_keys.vary_names(answer))


def check_request_fields(data: bytes) -> None:
    """A problem, or one framing; no field is forwarded that frames, names the host, or belongs to this hop."""
    fields = held.fields(data)
    for is_http_1_1 in (True, False):
        block = request_head.read_fields(fields, is_http_1_1)
        if not isinstance(block, FieldBlock):
            assert 400 <= block.status < 600
            continue
        assert not (block.is_chunked and block.content_length >= 0)
        assert is_http_1_1 or not block.is_chunked
        names = {name.lower() for name, _ in block.passed}
        assert not names & held.NEVER_PASSED
        assert not {name.replace(b"_", b"-") for name in names if b"_" in name} & held.NEVER_PASSED
        connection_options = [
            token.strip(b" \t")
            for name, value in fields
            if name.lower() == b"connection"
            for token in value.lower().split(b",")
        ]
        assert not names & set(connection_options)
        assert not (b"close" in connection_options and block.keep_alive)
        freshness.request_forbids(RequestHead(b"GET", block))


def check_response_fields(data: bytes) -> None:
    """None, or one framing; no field of this hop is forwarded."""
    fields = held.fields(data)
    for status in (200, 204, 304):
        answer = response_head.read_response(status, fields, keep_alive=True)
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
    block = request_head.read_fields([(b"Host", b"a"), (b"Transfer-Encoding", data)], True)
    assert isinstance(block, FieldBlock) == (data.strip(b" \t").lower() == b"chunked")


def check_query(data: bytes) -> None:
    """Only the names that are asked for; the first of each counts, wherever it comes from."""
    names = query_parameters.spellings([b"v", b"a b", b"&", data[:3]])
    parameters = query_parameters.parameters(data, names)
    assert set(parameters) <= set(names.values())
    assert query_parameters.parameters(data + b"&" + data, names) == parameters
    first = query_parameters.parameters(b"v=1&" + data, names)
    assert first[b"v"] == b"1"


def check_origin(data: bytes) -> None:
    """Only listed origins, and hosts below the wildcard's, are allowed."""
    head = _head([(b"Host", b"a.example"), (b"Origin", data), (b"Access-Control-Request-Method", b"PUT")], b"OPTIONS")
    fields = dict(_CORS.response_fields(head))
    allowed = fields.get(b"access-control-allow-origin")
    assert allowed in (None, data)
    is_allowed = data.lower() in _ORIGINS or held.is_below(data.lower(), b"https://", b".example.com")
    assert (allowed is not None) == is_allowed
    assert dict(_CORS.preflight_fields(head)).get(b"access-control-allow-origin") == allowed
    assert fields[b"vary"] == b"Origin"


def check_rewriting(data: bytes) -> None:
    """A new path is a path; a Location stays on the host, and nothing in it can end the line."""
    head = _head([(b"Host", b"a.example")])
    if request_target.locate(head, data) is not None or held.CONTROL & set(data):
        return
    for change in (NewPath(prefix="/v1"), NewPath(prefix="/"), NewPath(full="/x")):
        assert filters.new_path(change, head.path, b"/").startswith(b"/")
    location = filters.location(Redirect(status=302, hostname="b.example"), head, b"/")
    assert location is not None
    port, slash, _ = location.removeprefix(b"http://b.example").partition(b"/")
    assert slash  # the request's own port may stand before it, and nothing else
    assert not port or (port[:1] == b":" and port[1:].isdigit())
    assert not held.CONTROL & set(location)


def check_cache_key(data: bytes) -> None:
    """Two requests share a key only when path and query are the same."""
    one, _, two = data.translate(None, bytes(sorted(held.CONTROL))).partition(b" ")
    first, second = _head([(b"Host", b"a.example")]), _head([(b"Host", b"a.example")])
    if request_target.locate(first, b"/" + one) is not None or request_target.locate(second, b"/" + two) is not None:
        return
    same = (first.path, first.query) == (second.path, second.query)
    assert (_CACHE.key(first, b"/", b"s") == _CACHE.key(second, b"/", b"s")) == same
    _SELECTING.key(first, b"/", b"s")


def check_known_request(data: bytes) -> None:
    """A head that the cache finds is exactly a request line with the cached fields."""
    cached = _HEAD_CACHE.find_request(data + b"\r\n" + _REST, 8192)
    if cached is None:
        return
    method, target, block, body = cached
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
    """Seconds that are not negative; digits are the number of seconds."""
    seconds = retry.parse_retry_after(data, 1_700_000_000.0)
    assert seconds >= 0
    if data.isdigit() and len(data) <= 9:
        assert seconds == int(data)


def check_chunked_extent(data: bytes) -> None:
    """A body ends where llhttp ends it, however it is split; a body that llhttp refuses ends within the data."""
    whole = ChunkedBodyScanner()
    end = whole.scan(data, 0)
    assert 0 <= end <= len(data)
    assert whole.is_done or end == len(data)
    if whole.is_lost:
        return  # refused, whatever llhttp thinks of it
    for cut in (1, len(data) // 2):
        split = ChunkedBodyScanner()
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
    secret = secret_files.clean(data)
    assert secret is None or (secret == secret.strip() and secret in data and not set(secret) & {0, 10, 13, 127})


def check_trace_context(data: bytes) -> None:
    """Nothing, or 55 bytes of hex digits and dashes, as they came."""
    value = trace_context.well_formed(data)
    assert value is None or (value == data and len(data) == 55 and not data.translate(None, b"0123456789abcdef-"))


def _head(fields: field_kinds.Fields, method: bytes = b"GET") -> RequestHead:
    head = request_head.read_request(method, fields, is_http_1_1=True)
    assert isinstance(head, RequestHead)
    return head


_PROXIES: Final = client_address.TrustedProxies(["10.0.0.0/8", "2001:db8::/32"])
_CACHE: Final = cache_keys.CacheRules(Cache(ttl=60_000), b"a rule")
_SELECTING: Final = cache_keys.CacheRules(Cache(ttl=60_000, query_exclude=("utm_source",), query_sort=True), b"a rule")
_ORIGINS: Final = (b"https://a.example", b"http://localhost:3000")
_CORS: Final = cors.CorsRules(
    Cors(allow_origins=("https://a.example", "http://localhost:3000", "https://*.example.com"))
)
_REST: Final = b"Host: a.example\r\nAccept: */*\r\n\r\n"
_BLOCK: Final = _head([(b"Host", b"a.example"), (b"Accept", b"*/*")]).block
_HEAD_CACHE: Final = HeadCache().requests_of(b"http", is_trusted=False)
_HEAD_CACHE.learn_request(b"GET / HTTP/1.1\r\n" + _REST, b"GET", _BLOCK)
