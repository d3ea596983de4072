"""Request and response heads: kinds of fields, refusals, connection state."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_dataplane.core.messages import field_kinds, problems, request_head, response_head
from inferway_dataplane.core.messages.client_claims import ClientClaims
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.request_head import FieldBlock, RequestHead
from inferway_dataplane.core.messages.response_head import ResponseHead
from inferway_dataplane.core.messages.sender import STRANGER, Sender

HOST = (b"Host", b"a.example")


PROXY = Sender(b"http", ClientClaims(), is_trusted=True)


def read(*fields: tuple[bytes, bytes], is_http_1_1: bool = True, sender: Sender = STRANGER) -> FieldBlock | Problem:
    return request_head.read_fields(list(fields), is_http_1_1, sender)


def field_block(*fields: tuple[bytes, bytes], is_http_1_1: bool = True, sender: Sender = STRANGER) -> FieldBlock:
    head = read(*fields, is_http_1_1=is_http_1_1, sender=sender)
    assert isinstance(head, FieldBlock), head
    return head


def make_response(*fields: tuple[bytes, bytes], keep_alive: bool = True) -> ResponseHead:
    head = response_head.read_response(200, list(fields), keep_alive)
    assert head is not None
    return head


# --- requests: framing ----------------------------------------------------------------------------------------------

REFUSED = {
    "P1 length and encoding": (((b"Content-Length", b"3"), (b"Transfer-Encoding", b"chunked")), "length_and_encoding"),
    "P1 encoding and length": (((b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"3")), "length_and_encoding"),
    "P2 two lengths, equal": (((b"Content-Length", b"3"), (b"content-length", b"3")), "bad_content_length"),
    "P2 two lengths, different": (((b"Content-Length", b"3"), (b"Content-Length", b"4")), "bad_content_length"),
    "P2 list of lengths": (((b"Content-Length", b"5,5"),), "bad_content_length"),
    "P2 plus sign": (((b"Content-Length", b"+5"),), "bad_content_length"),
    "P2 minus sign": (((b"Content-Length", b"-1"),), "bad_content_length"),
    "P2 hexadecimal": (((b"Content-Length", b"0x5"),), "bad_content_length"),
    "P2 underscore": (((b"Content-Length", b"1_0"),), "bad_content_length"),
    "P2 empty": (((b"Content-Length", b""),), "bad_content_length"),
    "P2 blank inside": (((b"Content-Length", b"1 0"),), "bad_content_length"),
    "P2 nineteen digits": (((b"Content-Length", b"1" * 19),), "bad_content_length"),
    "P2 other digits": (((b"Content-Length", "٣".encode()),), "bad_content_length"),
    "P3 empty encoding": (((b"Transfer-Encoding", b""),), "bad_transfer_encoding"),
    "P3 empty member": (((b"Transfer-Encoding", b",chunked"),), "bad_transfer_encoding"),
    "P3 vertical tab": (((b"Transfer-Encoding", b"chunked\x0b"),), "bad_transfer_encoding"),
    "P3 chunked twice": (((b"Transfer-Encoding", b"chunked, chunked"),), "bad_transfer_encoding"),
    "P3 repeated": (((b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")), "bad_transfer_encoding"),
    "P3 repeated, other case": (
        ((b"Transfer-Encoding", b"chunked"), (b"transfer-encoding", b"identity")),
        "bad_transfer_encoding",
    ),
    "P3 quoted": (((b"Transfer-Encoding", b'"chunked"'),), "bad_transfer_encoding"),
    "P3 gzip, chunked": (((b"Transfer-Encoding", b"gzip, chunked"),), "unsupported_coding"),
    "P3 identity": (((b"Transfer-Encoding", b"identity"),), "unsupported_coding"),
    "P3 xchunked": (((b"Transfer-Encoding", b"xchunked"),), "unsupported_coding"),
    "P14 another expectation": (((b"Expect", b"200-ok"),), "expectation_failed"),
    "P14 an empty expectation": (((b"Expect", b""),), "expectation_failed"),
    "P5 two hosts": ((HOST,), "bad_host"),
}


@pytest.mark.parametrize(("fields", "code"), REFUSED.values(), ids=REFUSED)
def test_ambiguous_request_head_is_rejected(fields: tuple[tuple[bytes, bytes], ...], code: str) -> None:
    refused = read(HOST, *fields)
    assert isinstance(refused, Problem)
    assert refused.code == code
    assert refused.closes


def test_p5_host_is_required_on_http_1_1_only() -> None:
    assert read() is problems.BAD_HOST
    assert field_block(is_http_1_1=False).raw_host is None


def test_p4_transfer_encoding_on_http_1_0_is_rejected() -> None:
    assert read((b"Transfer-Encoding", b"chunked"), is_http_1_1=False) is problems.BAD_TRANSFER_ENCODING


@pytest.mark.parametrize("value", [b"chunked", b"Chunked", b"CHUNKED", b" chunked\t"])
def test_chunked_coding_is_read_in_any_case_and_trimmed(value: bytes) -> None:
    head = field_block(HOST, (b"Transfer-Encoding", value))
    assert head.is_chunked
    assert head.has_body


@pytest.mark.parametrize(("value", "length"), [(b"0", 0), (b"7", 7), (b"007", 7), (b"9" * 18, 10**18 - 1)])
def test_content_length_is_parsed_from_digits(value: bytes, length: int) -> None:
    head = field_block(HOST, (b"Content-Length", value))
    assert head.content_length == length
    assert head.has_body == (length > 0)


def test_request_without_length_and_coding_has_no_body() -> None:
    head = field_block(HOST)
    assert (head.content_length, head.is_chunked, head.has_body) == (-1, False, False)


def test_p14_expect_continue_is_honoured_on_http_1_1_only() -> None:
    field = (b"Expect", b"100-Continue")
    assert field_block(HOST, field).expects_continue
    assert not field_block(HOST, field, is_http_1_1=False).expects_continue
    assert field_block(HOST, field).passed == []


# --- requests: kinds ------------------------------------------------------------------------------------------------

ENDS_HERE = [
    b"Host", b"Connection", b"Keep-Alive", b"Proxy-Connection", b"Proxy-Authenticate", b"Proxy-Authorization", b"TE",
    b"Trailer", b"Upgrade", b"HTTP2-Settings", b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host",
    b"X-Forwarded-Port", b"X-Forwarded-Prefix", b"X-Forwarded-Server", b"X-Real-IP", b"Forwarded", b"X-Original-URL",
    b"X-Rewrite-URL", b"X-Request-Id", b"traceparent",
]  # fmt: skip

GOES_ON = [
    b"Accept", b"User-Agent", b"Accept-Encoding", b"Content-Type", b"Authorization", b"Cookie", b"X-Api-Key",
    b"Api-Key", b"Cache-Control", b"Pragma", b"Range", b"If-None-Match", b"If-Modified-Since", b"If-Match",
    b"If-Unmodified-Since", b"If-Range", b"tracestate", b"X_Custom", b"Via",
]  # fmt: skip


@pytest.mark.parametrize("name", ENDS_HERE, ids=bytes.decode)
@pytest.mark.parametrize("spelled", [bytes.lower, bytes.upper, bytes], ids=["lower", "upper", "usual"])
def test_p11_hop_by_hop_and_sender_fields_are_dropped(name: bytes, spelled: type[bytes]) -> None:
    others = () if name == b"Host" else (HOST,)
    assert field_block(*others, (spelled(name), b"x")).passed == []


@pytest.mark.parametrize("name", GOES_ON, ids=bytes.decode)
@pytest.mark.parametrize("spelled", [bytes.lower, bytes.upper, bytes], ids=["lower", "upper", "usual"])
def test_p10_other_fields_are_forwarded_unchanged(name: bytes, spelled: type[bytes]) -> None:
    field = (spelled(name), b" \tv")
    fields = (field,) if name == b"Content-Type" else (field, field)
    assert field_block(HOST, *fields).passed == [*fields]


LOOK_ALIKES = [
    b"X_Forwarded_For", b"x_forwarded-for", b"Transfer_Encoding", b"Content_Length", b"X_REQUEST_ID", b"Keep_Alive",
    b"X_Api_Key", b"If_None_Match", b"X_Original_URL", b"Proxy_Authorization", b"Cache_Control",
]  # fmt: skip


@pytest.mark.parametrize("name", LOOK_ALIKES, ids=bytes.decode)
def test_p12_look_alike_names_with_underscores_are_dropped(name: bytes) -> None:
    head = field_block(HOST, (name, b"chunked"))
    assert head.passed == []
    assert (head.is_chunked, head.content_length, head.forwarded_for, head.caching) == (False, -1, None, False)


@pytest.mark.parametrize("name", [b"Authorization", b"Cookie", b"X-API-Key", b"api-key"])
def test_credential_fields_are_recognised(name: bytes) -> None:
    assert field_block(HOST, (name, b"s")).credentials
    assert not field_block(HOST).credentials


@pytest.mark.parametrize("name", [b"Cache-Control", b"Pragma", b"Range", b"If-None-Match", b"if-range"])
def test_request_caching_fields_are_recognised(name: bytes) -> None:
    assert field_block(HOST, (name, b"v")).caching
    assert not field_block(HOST).caching


def test_r5_every_line_of_forwarded_for_is_kept_in_order() -> None:
    lines = (b"X-Forwarded-For", b"1.1.1.1, ,2.2.2.2,"), (b"x-forwarded-for", b"3.3.3.3"), (b"x-forwarded-for", b"")
    assert field_block(HOST, *lines, sender=PROXY).forwarded_for == [b"1.1.1.1", b"2.2.2.2", b"3.3.3.3"]
    assert field_block(HOST, lines[2], sender=PROXY).forwarded_for is None


def test_request_id_and_traceparent_are_kept_separately() -> None:
    head = field_block(HOST, (b"X-Request-ID", b"abc"), (b"Traceparent", b"00-1"))
    assert (head.request_id, head.traceparent) == (b"abc", b"00-1")


def test_field_values_are_looked_up_in_lower_case_and_joined() -> None:
    head = field_block(HOST, (b"X-Tenant", b"a"), (b"x-tenant", b"b"), (b"Connection", b"x-tenant"), (b"X-E", b""))
    assert head.value(b"x-tenant") == b"a, b"  # a client cannot hide a field from the gateway's rules
    assert head.value(b"host") == b"a.example"
    assert head.value(b"x-e") == b""
    assert head.value(b"absent") is None


def test_request_head_holds_its_method_and_fields() -> None:
    head = request_head.read_request(b"PUT", [HOST, (b"Accept", b"*/*")], is_http_1_1=True)
    assert isinstance(head, RequestHead)
    assert (head.method, head.raw_host, head.passed) == (b"PUT", b"a.example", [(b"Accept", b"*/*")])
    assert head.value(b"accept") == b"*/*"
    assert request_head.read_request(b"PUT", [], is_http_1_1=True) is problems.BAD_HOST


# --- requests: the connection ---------------------------------------------------------------------------------------

NOMINATIONS = {
    "one": (b"X-Hop", [b"X-Stays"]),
    "with close": (b"close, X-Hop", [b"X-Stays"]),
    "other case and blanks": (b"x-HOP ,\tkeep-alive", [b"X-Stays"]),
    "both": (b"X-Hop, X-Stays", []),
    "close alone": (b"close", [b"X-Hop", b"X-Stays"]),
    "keep-alive alone": (b"Keep-Alive", [b"X-Hop", b"X-Stays"]),
    "what is not there": (b"X-Other", [b"X-Hop", b"X-Stays"]),
    "empty": (b"", [b"X-Hop", b"X-Stays"]),
    "empty members": (b",,X-Hop,", [b"X-Stays"]),
}


@pytest.mark.parametrize(("connection", "names"), NOMINATIONS.values(), ids=NOMINATIONS)
def test_p11_fields_named_by_connection_are_dropped(connection: bytes, names: list[bytes]) -> None:
    head = field_block(HOST, (b"X-Hop", b"1"), (b"Connection", connection), (b"X-Stays", b"2"))
    assert [name for name, _ in head.passed] == names


def test_p11_names_of_several_connection_lines_are_dropped() -> None:
    head = field_block(HOST, (b"A", b"1"), (b"B", b"2"), (b"C", b"3"), (b"Connection", b"a"), (b"Connection", b"B"))
    assert [name for name, _ in head.passed] == [b"C"]


def test_p11_connection_cannot_drop_framing_or_identity_fields() -> None:
    head = field_block(
        HOST,
        (b"Connection", b"host, content-length, x-forwarded-for, x-request-id, close"),
        (b"Content-Length", b"3"),
        (b"X-Forwarded-For", b"1.1.1.1"),
        (b"X-Request-Id", b"abc"),
        sender=PROXY,
    )
    assert (head.raw_host, head.content_length) == (b"a.example", 3)
    assert (head.forwarded_for, head.request_id) == ([b"1.1.1.1"], b"abc")


KEEP_ALIVE = {
    "HTTP/1.1": (True, [], True),
    "HTTP/1.1 close": (True, [b"close"], False),
    "HTTP/1.1 Close": (True, [b"Close"], False),
    "HTTP/1.1 list with close": (True, [b"x-a, close"], False),
    "HTTP/1.1 keep-alive, close": (True, [b"keep-alive, close"], False),
    "HTTP/1.1 close, then keep-alive": (True, [b"close", b"keep-alive"], False),
    "HTTP/1.1 close, then a list with keep-alive": (True, [b"close", b"x-a, keep-alive"], False),
    "HTTP/1.1 keep-alive, then close": (True, [b"keep-alive", b"close"], False),
    "HTTP/1.1 closed is not close": (True, [b"closed"], True),
    "HTTP/1.0": (False, [], False),
    "HTTP/1.0 keep-alive": (False, [b"keep-alive"], True),
    "HTTP/1.0 Keep-Alive in a list": (False, [b"x-a, Keep-Alive"], True),
    "HTTP/1.0 keep-alive, then close": (False, [b"keep-alive", b"close"], False),
    "HTTP/1.0 close, then keep-alive": (False, [b"close", b"keep-alive"], False),
}


@pytest.mark.parametrize(("is_http_1_1", "lines", "kept"), KEEP_ALIVE.values(), ids=KEEP_ALIVE)
def test_client_connection_is_kept_alive_as_requested(is_http_1_1: bool, lines: list[bytes], kept: bool) -> None:
    head = field_block(HOST, *((b"Connection", line) for line in lines), is_http_1_1=is_http_1_1)
    assert head.keep_alive is kept


def test_proxy_connection_is_obeyed_and_dropped() -> None:
    # llhttp reads Proxy-Connection as Connection: where it closes the connection, so must the gateway.
    head = field_block(HOST, (b"Proxy-Connection", b"close"))
    assert (head.keep_alive, head.passed) == (False, [])
    head = field_block((b"Proxy-Connection", b"keep-alive"), is_http_1_1=False)
    assert (head.keep_alive, head.passed) == (False, [])


# --- responses ------------------------------------------------------------------------------------------------------

BAD_ANSWERS = {
    "two lengths": [(b"Content-Length", b"3"), (b"Content-Length", b"3")],
    "list of lengths": [(b"Content-Length", b"3, 3")],
    "no number": [(b"Content-Length", b"x")],
    "empty length": [(b"Content-Length", b"")],
    "too long a number": [(b"Content-Length", b"1" * 19)],
    "length and encoding": [(b"Content-Length", b"3"), (b"Transfer-Encoding", b"chunked")],
    "encoding and length": [(b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"3")],
    "two encodings": [(b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")],
    "another coding": [(b"Transfer-Encoding", b"gzip, chunked")],
    "empty coding": [(b"Transfer-Encoding", b"")],
}


@pytest.mark.parametrize("fields", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_u2_response_with_ambiguous_framing_is_rejected(fields: list[tuple[bytes, bytes]]) -> None:
    assert response_head.read_response(200, fields, keep_alive=True) is None


@pytest.mark.parametrize("field", [(b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")], ids=str)
def test_u2_response_204_with_a_body_length_is_rejected(field: tuple[bytes, bytes]) -> None:
    assert response_head.read_response(204, [field], keep_alive=True) is None
    assert (
        response_head.read_response(304, [field], keep_alive=True) is not None
    )  # of the response to GET: this one has no body
    assert response_head.read_response(204, [(b"Content-Length", b"0")], keep_alive=True) is not None


def test_response_framing_is_read_from_its_fields() -> None:
    assert make_response((b"Content-Length", b"5")).content_length == 5
    assert make_response((b"Transfer-Encoding", b" Chunked ")).is_chunked
    plain = make_response()
    assert (plain.content_length, plain.is_chunked, plain.keep_alive) == (-1, False, True)


@pytest.mark.parametrize(
    "name",
    [b"Connection", b"Keep-Alive", b"Proxy-Authenticate", b"TE", b"Trailer", b"Upgrade", b"Proxy-Connection",
     b"Transfer_Encoding", b"Set_Cookie", b"Content_Length", b"Age"],
    ids=bytes.decode,
)  # fmt: skip
def test_p11_hop_by_hop_fields_of_a_response_are_dropped(name: bytes) -> None:
    assert make_response((name, b"1")).passed == []


def test_other_fields_of_a_response_are_forwarded() -> None:
    fields = [
        (b"Content-Type", b"a/b"),
        (b"Set-Cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"ETag", b'"x"'),
        (b"V", b""),
    ]
    head = make_response(*fields)
    assert head.passed == fields  # U6: two Set-Cookie stay two
    assert head.has_cookie


DATES = {  # RFC 9110 5.6.7, RFC 9111 4.2
    "IMF-fixdate": (b"Sun, 06 Nov 1994 08:49:37 GMT", 784111777),
    "RFC 850": (b"Sunday, 06-Nov-94 08:49:37 GMT", 784111777),
    "asctime": (b"Sun Nov  6 08:49:37 1994", 784111777),
    "asctime, two digits": (b"Wed Nov 16 08:49:37 1994", 784975777),
    "another case": (b"SUN, 06 nov 1994 08:49:37 gmt", 784111777),
    "a day of the week that is wrong": (b"Mon, 06 Nov 1994 08:49:37 GMT", 784111777),
    "RFC 850, after 2000": (b"Monday, 06-Nov-69 08:49:37 GMT", 3150953377),
    "a leap second": (b"Sat, 31 Dec 2016 23:59:60 GMT", 1483228799),
    "the last year": (b"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799),
    "no date": (b"soon", None), "empty": (b"", None), "0": (b"0", None), "-1": (b"-1", None), "seconds": (b"3600", None),
    "UTC": (b"Sun, 06 Nov 1994 08:49:37 UTC", None), "a zone": (b"Sun, 06 Nov 1994 08:49:37 AEST", None),
    "an offset": (b"Sun, 06 Nov 1994 08:49:37 +0000", None), "no zone": (b"Sun, 06 Nov 1994 08:49:37", None),
    "a year of two digits": (b"Sun, 06 Nov 94 08:49:37 GMT", None), "no comma": (b"Sun 06 Nov 1994 08:49:37 GMT", None),
    "two blanks": (b"Sun,  06 Nov 1994 08:49:37 GMT", None), "dashes": (b"Sun, 06-Nov-1994 08:49:37 GMT", None),
    "dots": (b"Sun, 06 Nov 1994 08.49.37 GMT", None), "one digit": (b"Sun, 06 Nov 1994 8:49:37 GMT", None),
    "a day of one digit": (b"Sun, 6 Nov 1994 08:49:37 GMT", None), "no day": (b"06 Nov 1994 08:49:37 GMT", None),
    "RFC 850, four digits": (b"Sunday, 06-Nov-1994 08:49:37 GMT", None), "asctime with a zone": (b"Sun Nov  6 08:49:37 1994 GMT", None),
    "RFC 850, a short day": (b"Sun, 06-Nov-94 08:49:37 GMT", None), "a whole month": (b"Sun, 06 November 1994 08:49:37 GMT", None),
    "no such day": (b"Sun, 31 Feb 1994 08:49:37 GMT", None), "no such hour": (b"Sun, 06 Nov 1994 24:49:37 GMT", None),
    "no such second": (b"Sun, 06 Nov 1994 08:49:61 GMT", None), "the year 0": (b"Sun, 06 Nov 0000 08:49:37 GMT", None),
    "ISO 8601": (b"1994-11-06T08:49:37Z", None), "two dates": (b"Sun, 06 Nov 1994 08:49:37 GMT, " * 2, None),
    "text behind it": (b"Sun, 06 Nov 1994 08:49:37 GMT x", None), "a line end": (b"Sun, 06 Nov 1994 08:49:37 GMT\n", None),
    "other digits": ("Sun, 0٦ Nov 1994 08:49:37 GMT".encode(), None),
}  # fmt: skip


@pytest.mark.parametrize(("value", "seconds"), DATES.values(), ids=DATES)
def test_http_dates_have_three_forms_and_no_other(value: bytes, seconds: float | None) -> None:
    assert response_head.parse_http_date(value) == seconds


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2069, 12, 31)))
def test_http_dates_are_read_as_they_are_written(moment: datetime) -> None:
    seconds = int(moment.replace(tzinfo=UTC).timestamp())
    written = format_datetime(moment.replace(tzinfo=UTC), usegmt=True)
    forms = (written, moment.strftime("%A, %d-%b-%y %H:%M:%S GMT"), moment.strftime("%a %b %e %H:%M:%S %Y"))
    assert [response_head.parse_http_date(form.encode()) for form in forms] == [seconds] * 3


def test_response_date_age_and_caching_fields_are_recognised() -> None:
    head = make_response(
        (b"Date", b"first"), (b"date", b"second"), (b"Server", b"nginx"), (b"AGE", b"7"), (b"Age", b"0"),
        (b"Cache-Control", b"public"), (b"cache-control", b"max-age=3"), (b"Vary", b"Accept"), (b"Expires", b"0"),
    )  # fmt: skip
    assert (head.has_date, head.date, head.age) == (True, None, b"7")  # two dates are not a date
    assert head.passed[:2] == [(b"Date", b"first"), (b"Server", b"nginx")]  # the second Date is dropped
    assert head.caching == {b"cache-control": b"public, max-age=3", b"vary": b"Accept", b"expires": b"0"}


def test_plain_response_has_no_caching_fields() -> None:
    assert make_response((b"Content-Type", b"a/b")).caching is None


CLOSING = {
    "kept": (True, [], True),
    "keep-alive": (True, [b"keep-alive"], True),
    "Keep-Alive": (True, [b"Keep-Alive"], True),
    "close": (True, [b"close"], False),
    "Close": (True, [b"CLOSE"], False),
    "list": (True, [b"x-hop, close"], False),
    "two lines": (True, [b"keep-alive", b"close"], False),
    "two lines, close first": (True, [b"close", b"keep-alive"], False),
    "the parser says no": (False, [b"keep-alive"], False),
}


@pytest.mark.parametrize(("keep_alive", "lines", "kept"), CLOSING.values(), ids=CLOSING)
def test_upstream_connection_is_kept_alive_as_requested(keep_alive: bool, lines: list[bytes], kept: bool) -> None:
    head = make_response(*((b"Connection", line) for line in lines), keep_alive=keep_alive)
    assert head.keep_alive is kept


def test_p11_response_fields_named_by_connection_are_dropped() -> None:
    head = make_response((b"X-Hop", b"1"), (b"Connection", b"keep-alive, x-hop"), (b"X-Stays", b"2"))
    assert head.passed == [(b"X-Stays", b"2")]


# --- the memo -------------------------------------------------------------------------------------------------------


def test_l2_field_kind_cache_is_bounded_in_names_and_bytes() -> None:
    for number in range(10_000):
        name = b"X-%d" % number
        assert field_block(HOST, (name, b"")).passed == [(name, b"")]
    assert len(STRANGER.kinds) <= 4096 + 1
    assert STRANGER.kinds[b"X-FORWARDED-FOR"] == field_kinds.REMOVE
    field_block(HOST, (b"X" * 30_000, b""))
    assert max(map(len, STRANGER.kinds)) < 1_000


def test_long_field_name_is_still_classified() -> None:
    assert field_block(HOST, (b"x" * 5_000, b"v")).passed == [(b"x" * 5_000, b"v")]
