"""Size limits on what a client sends, and the 429."""

import json

import http_sf
import pytest
from fake_transport import BACKEND, OK, Wire, answer, answers, bytewise, get, header, post

from inferway_contract.document import KeyPart, Limit, Match, PathMatch, Policy, Rule
from inferway_dataplane.core.messages.chunked_body import ChunkedBodyScanner
from inferway_dataplane.engine.http1.head_cache import HeadCache

LINE = 8 << 10
HEADERS = 32 << 10
SIZES = {  # a request -> the status it gets; 200 = it goes to the upstream
    "a target that just fits": (get(b"/" + b"a" * (LINE - 100)), 200),
    "L1 a target that is too long": (get(b"/" + b"a" * LINE), 414),
    "L1 a query that is too long": (get(b"/?" + b"a" * LINE), 414),
    "fields that just fit": (get(b"/", *[b"X-%02d: " % n + b"v" * 1000 for n in range(31)]), 200),
    "L1 fields that are too large": (get(b"/", *[b"X-%02d: " % n + b"v" * 1000 for n in range(34)]), 431),
    "L1 one field that is too large": (get(b"/", b"X: " + b"v" * HEADERS), 431),
    "L1 one name that is too large": (get(b"/", b"X" * HEADERS + b": v"), 431),
    "100 fields": (get(b"/", *[b"X-%d: v" % n for n in range(99)]), 200),
    "L1 101 fields": (get(b"/", *[b"X-%d: v" % n for n in range(100)]), 431),
    "L1 a thousand fields": (get(b"/", *[b"X-%d: v" % n for n in range(1000)]), 431),
}


@pytest.mark.parametrize("pieces", ["whole", "by 1000", "byte by byte"])
@pytest.mark.parametrize(("data", "status"), SIZES.values(), ids=SIZES)
def test_l1_request_head_is_accepted_up_to_its_bounds(data: bytes, status: int, pieces: str) -> None:
    wire = Wire()
    if pieces == "byte by byte":
        wire.send(*bytewise(data))
    elif pieces == "by 1000":
        wire.send(*(data[at : at + 1000] for at in range(0, len(data), 1000)))
    else:
        wire.send(data)
    if status == 200:
        assert wire.upstream_received()
        wire.answer(OK)
    response = answer(wire.client_received())
    assert response.status == status
    assert wire.is_open is (status == 200)


def test_l1_cached_head_has_the_same_request_line_bound() -> None:
    for length in range(LINE - 40, LINE + 4):
        statuses = []
        head_cache = HeadCache()
        for _ in range(2):
            wire = Wire(head_cache=head_cache)
            wire.send(get(b"/" + b"a" * length))
            if wire.upstream_received():
                wire.answer(OK)
            statuses.append(answer(wire.client_received()).status)
        assert statuses[0] == statuses[1], length


def test_l1_head_bound_counts_from_the_first_byte_of_a_request() -> None:
    wire = Wire()
    wire.send(get(b"/a") + b"GET /b HTTP/1.1\r\nX: " + b"v" * (HEADERS - 100))
    wire.answer(OK)
    wire.send(b"v" * (LINE + 200))
    assert [response.status for response in answers(wire.client_received())] == [200, 431]


PIECE = b"x" * 65536
UNFINISHED = {
    "a target": b"GET /",
    "a name": b"GET / HTTP/1.1\r\nHost: a\r\nX",
    "a value": b"GET / HTTP/1.1\r\nHost: a\r\nX: ",
    "a method": b"",
}


@pytest.mark.parametrize("start", UNFINISHED.values(), ids=UNFINISHED)
def test_l2_endless_head_is_rejected_at_its_bound(start: bytes) -> None:
    wire = Wire()
    wire.send(start, *[PIECE] * 64)
    assert answer(wire.client_received()).status in (400, 414, 431, 501)
    assert not wire.is_open
    assert sum(len(name) + len(value) for name, value in wire.client.fields) < 100_000
    assert len(wire.client.target) < 100_000


CHUNKED = get(b"/", b"Transfer-Encoding: chunked", method=b"POST")


def bytes_until_cut(wire: Wire, piece: bytes, at_most: int) -> int:
    """How many bytes a client gets rid of before it is cut off."""
    sent = 0
    while sent < at_most and wire.is_open:
        wire.send(piece)
        sent += len(piece)
    return sent


def test_l2_endless_chunk_extension_is_cut() -> None:
    wire = Wire()
    wire.send(CHUNKED + b"5;ext=")
    assert bytes_until_cut(wire, b"x" * 1024, 1 << 20) <= 16 << 10
    assert not wire.upstream_received().endswith(b"\r\n0\r\n\r\n")
    assert wire.upstream.transport.is_aborted


def test_l2_many_long_chunk_extensions_are_cut() -> None:
    wire = Wire()
    wire.send(CHUNKED)
    assert bytes_until_cut(wire, b"1;ext=" + b"x" * 5000 + b"\r\na\r\n", 1 << 20) <= 16 << 10


@pytest.mark.parametrize("piece", [b"x" * 1024, b"\r\nX-%d: v" % 1], ids=["one trailer", "many trailers"])
def test_l2_endless_trailers_are_cut(piece: bytes) -> None:
    wire = Wire()
    wire.send(CHUNKED + b"0\r\nX: ")
    assert bytes_until_cut(wire, piece, 1 << 20) <= 128 << 10


def test_chunk_extension_is_dropped_from_the_forwarded_body() -> None:
    wire = Wire()
    wire.send(CHUNKED + b"5;name=value\r\nhello\r\n0\r\n\r\n")
    assert wire.upstream_received().endswith(b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")


# --- bodies -----------------------------------------------------------------------------------------------------------------------

SMALL = Rule(name="small", backends=(BACKEND,), max_request_body=10)


def test_l3_oversized_content_length_is_answered_413() -> None:
    wire = Wire(SMALL)
    wire.send(get(b"/", b"Content-Length: 11", method=b"POST"))
    response = answer(wire.client_received())
    assert (response.status, json.loads(response.body)["code"]) == (413, "body_too_large")
    assert wire.upstream_received() == b""
    assert not wire.is_open


def test_l3_body_of_exactly_the_bound_passes() -> None:
    wire = Wire(SMALL)
    wire.send(post(b"/", b"0123456789"))
    assert wire.upstream_received().endswith(b"0123456789")


@pytest.mark.parametrize("pieces", ["whole", "byte by byte"])
def test_l3_oversized_chunked_body_is_answered_413(pieces: str) -> None:
    wire = Wire(SMALL)
    body = b"6\r\n012345\r\n" * 2 + b"0\r\n\r\n"
    wire.send(CHUNKED, *([body] if pieces == "whole" else bytewise(body)))
    response = answer(wire.client_received())
    assert (response.status, response["connection"]) == (413, "close")
    assert wire.upstream.transport.is_aborted
    assert b"0\r\n\r\n" not in wire.upstream_received().partition(b"\r\n\r\n")[2]
    assert (wire.endpoint.active, wire.idle) == (0, 0)
    assert not wire.is_open


BAD_CHUNKS = {
    "P9 0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "P9 an underscore": b"3_0\r\nabc\r\n0\r\n\r\n",
    "P9 17 digits": b"00000000000000003\r\nabc\r\n0\r\n\r\n",
    "P9 17 digits that overflow": b"10000000000000003\r\nabc\r\n0\r\n\r\n",
    "P9 no CRLF after the data": b"3\r\nabc0\r\n\r\n",
    "P9 another byte after CR": b"3\rXabc\r\n0\r\n\r\n",
    "P9 LF in an extension": b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "P9 a bare LF": b"3\nabc\r\n0\r\n\r\n",
    "P9 a sign": b"+3\r\nabc\r\n0\r\n\r\n",
    "P9 no size": b"\r\nabc\r\n0\r\n\r\n",
    "P9 a blank": b" 3\r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("pieces", ["whole", "byte by byte"])
@pytest.mark.parametrize("body", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
def test_p9_malformed_chunked_body_is_never_completed_upstream(body: bytes, pieces: str) -> None:
    wire = Wire()
    wire.send(CHUNKED, *([body] if pieces == "whole" else bytewise(body)))
    if body.startswith(b"0000") and wire.is_open:
        return  # seventeen digits of the same number: accepted is right as well, when it is read as that number
    sent = wire.upstream_received().partition(b"\r\n\r\n")[2]
    assert not sent.endswith(b"0\r\n\r\n")
    assert not wire.is_open
    assert wire.upstream.transport.is_aborted
    assert [response.status for response in answers(wire.client_received())] in ([400], [])


def test_rejected_small_body_keeps_the_connection() -> None:
    wire = Wire(Rule(name="r", matches=(Match(path=PathMatch(value="/x")),), backends=(BACKEND,)))
    for send in (lambda data: [data], bytewise):
        wire.send(*send(post(b"/404", b"small")))
        assert answer(wire.client_received()).status == 404
        assert wire.is_open
    wire.send(get(b"/x"))
    assert wire.upstream_received().startswith(b"GET /x ")


def test_rejected_large_body_closes_the_connection() -> None:
    wire = Wire(Rule(name="r", matches=(Match(path=PathMatch(value="/x")),), backends=(BACKEND,)))
    wire.send(get(b"/404", b"Content-Length: 1000000", method=b"POST"))
    response = answer(wire.client_received())
    assert (response.status, response["connection"]) == (404, "close")
    assert wire.client.transport.has_eof  # and what still comes is read and dropped, so the answer is not reset away
    wire.send(PIECE, get(b"/x"))
    assert wire.upstream_received() == wire.client_received() == b""


# --- rate limits --------------------------------------------------------------------------------------------------------------------

GLOBAL = Limit(name="global", requests=1, per=60_000, burst=2)
BY_IP = Limit(name="per-ip", requests=1, per=1_000, burst=5, key=(KeyPart(type="client_ip"),))
NEVER = Limit(name="never", requests=0, per=1_000, burst=1)
LIMITED = Rule(name="limited", backends=(BACKEND,))


def wire_with_limits(*limits: Limit, **settings: object) -> Wire:
    return Wire(LIMITED, policies=(Policy(id="demo/p", limits=limits),), **settings)


def test_r8_response_429_has_its_fields_and_problem() -> None:
    wire = wire_with_limits(GLOBAL, BY_IP)
    for _ in range(2):
        wire.send(get(b"/"))
        wire.answer(OK)
    fields = [response["ratelimit"] for response in answers(wire.client_received())]
    assert fields == ['"global";r=1;t=0, "per-ip";r=4;t=0', '"global";r=0;t=60, "per-ip";r=3;t=0']
    wire.upstream_received()
    wire.send(get(b"/"))
    response = answer(wire.client_received())
    assert (response.status, response["retry-after"], response["cache-control"]) == (429, "60", "no-store")
    assert response["content-type"] == "application/problem+json"
    standing = {
        str(item): dict(values) for item, values in http_sf.parse(response["ratelimit"].encode(), tltype="list")
    }
    assert standing["global"] == {"r": 0, "t": 60}
    assert response["ratelimit-policy"] == '"global";q=2;w=120, "per-ip";q=5;w=5'
    problem = json.loads(response.body)
    assert (problem["limit"], problem["policy"], problem["retryAfter"]) == ("global", "demo/p", 60)
    assert "203.0.113.9" not in response.body.decode()
    assert response["x-request-id"] == problem["requestId"]
    assert wire.upstream_received() == b""
    assert wire.is_open


def test_r7_deny_all_has_no_retry_after() -> None:
    wire = wire_with_limits(NEVER)
    wire.send(get(b"/"))
    response = answer(wire.client_received())
    assert (response.status, "retry-after" in response, response["ratelimit"]) == (429, False, '"never";r=0;t=0')
    assert "retryAfter" not in json.loads(response.body)


def test_p16_each_pipelined_request_is_rate_limited() -> None:
    wire = wire_with_limits(GLOBAL)
    wire.send(get(b"/") * 5)
    wire.answer(OK)
    wire.answer(OK)
    assert [response.status for response in answers(wire.client_received())] == [200, 200, 429, 429, 429]


def test_r5_key_is_the_peer_address_without_a_trusted_proxy() -> None:
    one = Limit(name="per-ip", requests=1, per=60_000, burst=1, key=(KeyPart(type="client_ip"),))
    wire = wire_with_limits(one)
    for number, forged in enumerate((b"1.1.1.1", b"2.2.2.2")):
        wire.send(get(b"/", b"X-Forwarded-For: " + forged))
        if wire.upstream_received():
            wire.answer(OK)
        assert answer(wire.client_received()).status == (429 if number else 200)


def test_r5_key_is_the_client_address_behind_a_trusted_proxy() -> None:
    one = Limit(name="per-ip", requests=1, per=60_000, burst=1, key=(KeyPart(type="client_ip"),))
    wire = wire_with_limits(one, peer="10.0.0.1", trusted_proxies="10.0.0.0/8")
    statuses = []
    for forwarded in (b"1.1.1.1", b"6.6.6.6, 1.1.1.1", b"2.2.2.2"):
        wire.send(get(b"/", b"X-Forwarded-For: " + forwarded))
        if wire.upstream_received():
            wire.answer(OK)
        statuses.append(answer(wire.client_received()).status)
    assert statuses == [200, 429, 200]


def test_p14_rejected_request_is_answered_without_its_body() -> None:
    wire = wire_with_limits(NEVER)
    wire.send(get(b"/", b"Content-Length: 5", b"Expect: 100-continue", method=b"POST"))
    response = answer(wire.client_received())
    assert (response.status, response["connection"]) == (429, "close")


def test_p14_continue_is_sent_if_the_request_is_accepted() -> None:
    wire = wire_with_limits(GLOBAL)
    wire.send(get(b"/", b"Content-Length: 5", b"Expect: 100-continue", method=b"POST"))
    assert wire.client_received() == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.send(b"hello")
    request = wire.upstream_received()
    assert request.endswith(b"\r\n\r\nhello")
    assert header(request, b"expect") == []
    wire.answer(OK)
    assert answer(wire.client_received()).status == 200


def test_chunked_body_scanner_reports_an_unreadable_size() -> None:
    for size in (b"x", b"-1", b"0" * 17, b"", b"1_0"):
        extent = ChunkedBodyScanner()
        extent.scan(size + b"\r\nhello\r\n", 0)
        assert extent.is_lost, size


@pytest.mark.parametrize("is_bytewise", [False, True])
def test_p9_chunk_size_of_17_digits_is_rejected_in_any_pieces(is_bytewise: bool) -> None:
    wire = Wire()
    head = get(b"/first", b"Transfer-Encoding: chunked", method=b"POST")
    data = head + b"00000000000000005\r\nhello\r\n0\r\n\r\n" + get(b"/second")
    wire.send(*([bytes([byte]) for byte in data] if is_bytewise else [data]))
    assert [response.status for response in answers(wire.client_received())] == [400]
    assert b"/second" not in wire.upstream_received()
    assert not wire.is_open
