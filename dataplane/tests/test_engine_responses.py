"""Answers of the upstream as bytes: what the client gets, and what becomes of the connection."""

import json

import pytest
from fake_transport import BACKEND, OK, Answer, Wire, answer, answers, bytewise, get, plain, post

from inferway_contract.document import Cors, HeaderEdit, HeaderValue, Retry, Rule, Timeouts
from inferway_dataplane.core.messages import problems

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

ANSWERS = {  # request, answer, whether the upstream then closes -> status, body, whether the upstream connection stays
    "with a length": (get(), HEAD + b"Content-Length: 5\r\n\r\nhello", False, 200, b"hello", True),
    "empty": (get(), HEAD + b"Content-Length: 0\r\n\r\n", False, 200, b"", True),
    "chunked": (get(), CHUNKED + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", False, 200, b"hello world", True),
    "chunked, empty": (get(), CHUNKED + b"0\r\n\r\n", False, 200, b"", True),
    "chunked, extensions": (get(), CHUNKED + b"5;a=b\r\nhello\r\n0;c\r\n\r\n", False, 200, b"hello", True),
    "chunked, trailers": (get(), CHUNKED + b"5\r\nhello\r\n0\r\nX-Evil: 1\r\n\r\n", False, 200, b"hello", True),
    "until it closes": (get(), HEAD + b"\r\nhello", True, 200, b"hello", False),
    "until it closes, empty": (get(), HEAD + b"\r\n", True, 200, b"", False),
    "Connection: close": (get(), HEAD + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello", False, 200, b"hello", False),
    "HTTP/1.0": (get(), b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", False, 200, b"hello", False),
    "HTTP/1.0 keep-alive": (
        get(), b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", False, 200, b"hello", True,
    ),
    "HTTP/1.0 until it closes": (get(), b"HTTP/1.0 200 OK\r\n\r\nhello", True, 200, b"hello", False),
    "no phrase": (get(), b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", False, 200, b"ok", True),
    "204": (get(), b"HTTP/1.1 204 No Content\r\n\r\n", False, 204, b"", True),
    "204 with a length": (get(), b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", False, 204, b"", True),
    "304": (get(), b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", False, 304, b"", True),
    "304 with a length": (get(), b"HTTP/1.1 304 Not Modified\r\nContent-Length: 707\r\n\r\n", False, 304, b"", True),
    "HEAD with a length": (get(method=b"HEAD"), HEAD + b"Content-Length: 707\r\n\r\n", False, 200, b"", True),
    "HEAD, chunked": (get(method=b"HEAD"), CHUNKED, False, 200, b"", True),
    "HEAD, nothing said": (get(method=b"HEAD"), HEAD + b"\r\n", False, 200, b"", None),
    "404": (get(), b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", False, 404, b"no", True),
    "an own status": (get(), b"HTTP/1.1 299 Own\r\nContent-Length: 2\r\n\r\nok", False, 299, b"ok", True),
    "an upgrade that is only offered": (
        get(), HEAD + b"Upgrade: h2,h2c\r\nConnection: Upgrade, Keep-Alive\r\nContent-Length: 2\r\n\r\nok", False, 200, b"ok", True,
    ),
    "a long one": (get(), HEAD + b"Content-Length: 200000\r\n\r\n" + b"x" * 200_000, False, 200, b"x" * 200_000, True),
}  # fmt: skip


@pytest.mark.parametrize("pieces", ["whole", "byte by byte", "head and body", "known"])
@pytest.mark.parametrize(("request_", "data", "closes", "status", "body", "stays"), ANSWERS.values(), ids=ANSWERS)
def test_response_is_forwarded_with_its_framing(
    request_: bytes, data: bytes, closes: bool, status: int, body: bytes, stays: bool | None, pieces: str
) -> None:
    to_head = request_.startswith(b"HEAD")
    wire = Wire(idle=2)
    if pieces == "known":
        wire.send(request_)
        wire.answer(data)
        if closes:
            wire.upstream_closes()
        first = answer(wire.client_received(), to_head=to_head)
        assert first.status == status
    if not wire.idle:
        return
    before = wire.idle
    wire.send(request_)
    cut = data.find(b"\r\n\r\n") + 4
    if pieces == "byte by byte":
        wire.answer(*bytewise(data[:10_000]), data[10_000:])
    elif pieces == "head and body" and cut < len(data):
        wire.answer(data[:cut], data[cut:])
    else:
        wire.answer(data)
    if closes:
        assert wire.is_open
        assert wire.endpoint.active == 1
        wire.upstream_closes()
    response = answer(wire.client_received(), to_head=to_head)
    assert (response.status, response.body, response.is_whole) == (status, body, True)
    assert wire.is_open
    assert wire.endpoint.active == 0
    if stays is not None:
        assert wire.idle == (before if stays else before - 1)
    if to_head and b"Content-Length" in data:
        assert response["content-length"] == "707"
    if status == 204:
        assert "content-length" not in response
    assert b"Evil" not in b"".join(name for name, _ in response.fields)


def test_response_fields_pass_except_hop_by_hop() -> None:
    wire = Wire()
    wire.send(get())
    wire.answer(
        HEAD + b"Server: own\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\n"
        b"Connection: X-Hop, keep-alive\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-A: v\r\nTransfer-Encoding: chunked\r\n"
        b"Trailer: X\r\nProxy-Authenticate: x\r\nUpgrade: h2c\r\n\r\n0\r\n\r\n"
    )
    data = wire.client_received()
    response = answer(data)
    assert response.all("set-cookie") == ["a=1", "b=2"]  # U6
    assert (response["server"], response["date"], response["x-a"]) == ("own", "Mon, 01 Jan 2024 00:00:00 GMT", "v")
    assert plain(data) == (
        b"HTTP/1.1 200 OK\r\nServer: own\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-A: v\r\n"
        b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    )


def test_response_gets_date_request_id_and_standard_phrase() -> None:
    wire = Wire()
    wire.send(get())
    wire.answer(b"HTTP/1.1 200 Very Well Indeed\r\nContent-Length: 0\r\n\r\n")
    data = wire.client_received()
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    response = answer(data)
    assert "date" in response
    assert len(response["x-request-id"]) == 32


@pytest.mark.parametrize(("version", "fields"), [(b"1.0", b""), (b"1.0", b"Connection: keep-alive\r\n")])
def test_http_1_0_clients_get_no_chunks(version: bytes, fields: bytes) -> None:
    wire = Wire()
    wire.send(b"GET / HTTP/%b\r\nHost: a\r\n%b\r\n" % (version, fields))
    wire.answer(CHUNKED + b"5\r\nhello\r\n", b"0\r\n\r\n")
    response = answer(wire.client_received())
    assert (response.body, response["connection"], "transfer-encoding" in response) == (b"hello", "close", False)
    assert not wire.is_open


def test_http_1_0_keep_alive_is_confirmed_and_honoured() -> None:
    wire = Wire()
    for _ in range(2):
        wire.send(b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
        wire.answer(OK)
        assert answer(wire.client_received())["connection"] == "keep-alive"
    assert wire.is_open


# --- 1xx ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", ["whole", "byte by byte"])
def test_only_interim_responses_102_and_103_are_forwarded(pieces: str) -> None:
    wire = Wire()
    data = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-Own: 1\r\n\r\n"
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 Own\r\n\r\n" + OK
    )
    wire.send(get())
    wire.answer(*([data] if pieces == "whole" else bytewise(data)))
    responses = answers(wire.client_received())
    assert [response.status for response in responses] == [103, 102, 200]
    assert responses[0].fields == [(b"Link", b"</a>"), (b"X-Own", b"1")]
    assert wire.idle == 1


def test_http_1_0_clients_get_no_interim_responses() -> None:
    wire = Wire()
    wire.send(b"GET / HTTP/1.0\r\n\r\n")
    wire.answer(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK)
    assert answer(wire.client_received()).status == 200


def test_interim_response_is_not_mistaken_for_the_final_one() -> None:
    # The head cache must not learn the first head of a segment for the second one.
    wire = Wire()
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    last = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    wire.send(get())
    wire.answer(hint + last)
    assert [response.status for response in answers(wire.client_received())] == [103, 404]
    wire.send(get())
    wire.answer(hint)
    assert [response.status for response in answers(wire.client_received())] == [103]
    wire.answer(OK)
    assert [response.status for response in answers(wire.client_received())] == [200]


# --- what breaks before the client got anything ---------------------------------------------------------------------------------------

BROKEN = {
    "U2 garbage": b"garbage\r\n\r\n",
    "U2 an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "U2 HTTP/2 frames": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    "U2 two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "U2 length and encoding": HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "U2 encoding and length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    "U2 a list of lengths": HEAD + b"Content-Length: 2, 2\r\n\r\nok",
    "U2 another coding": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "U2 a switch that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    "U2 HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "U2 no status": b"HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\nok",
    "U2 status 999": b"HTTP/1.1 999 Own\r\nContent-Length: 2\r\n\r\nok",
    "U2 status 600": b"HTTP/1.1 600 Own\r\nContent-Length: 2\r\n\r\nok",
    "U2 status 099": b"HTTP/1.1 099 Own\r\nContent-Length: 2\r\n\r\nok",
    "U2 obs-fold": HEAD + b"X-A: 1\r\n 2\r\nContent-Length: 2\r\n\r\nok",
    "U2 bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "U2 NUL": HEAD + b"X-A: \x00\r\nContent-Length: 2\r\n\r\nok",
}


@pytest.mark.parametrize("pieces", ["whole", "byte by byte"])
@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_u2_malformed_response_is_answered_502_and_disconnected(data: bytes, pieces: str) -> None:
    wire = Wire()
    wire.send(get())
    wire.answer(*([data] if pieces == "whole" else bytewise(data)))
    response = answer(wire.client_received())
    assert (response.status, json.loads(response.body)["code"]) == (502, "bad_response")
    assert (wire.idle, wire.endpoint.active) == (0, 0)
    assert wire.upstream.transport.is_closing()
    assert wire.is_open  # it is not the client's fault
    assert wire.gateway.stats.of("demo/a", "all").upstream_errors == {"bad_response": 1}


@pytest.mark.parametrize("piece", [b"X: " + b"v" * 200_000, b"X: v\r\n" * 40_000], ids=["one field", "many fields"])
def test_u2_oversized_response_head_is_answered_502(piece: bytes) -> None:
    wire = Wire(Rule(name="all", backends=(BACKEND,), max_response_header=64 << 10))
    wire.send(get())
    wire.answer(HEAD + piece[:60_000])
    assert wire.client_received() == b""
    wire.answer(piece[60_000:])
    response = answer(wire.client_received())
    assert (response.status, json.loads(response.body)["code"]) == (502, "response_head_too_large")
    assert wire.idle == 0


def test_u2_oversized_complete_response_head_is_answered_502() -> None:
    wire = Wire(Rule(name="all", backends=(BACKEND,), max_response_header=1024))
    for _ in range(2):
        wire.add_upstream()
        wire.upstreams.append(wire.endpoint.idle[-1])
        wire.send(get())
        wire.answer(HEAD + b"X: " + b"v" * 2_000 + b"\r\nContent-Length: 0\r\n\r\n")
        assert answer(wire.client_received()).status == 502


def test_response_head_limit_does_not_count_the_body() -> None:
    wire = Wire(Rule(name="all", backends=(BACKEND,), max_response_header=1024))
    wire.send(get())
    wire.answer(HEAD + b"Content-Length: 50000\r\n\r\n" + b"x" * 50_000)
    assert answer(wire.client_received()).status == 200


# --- what breaks after the client got a part ------------------------------------------------------------------------------------------

PARTS = {
    "a length": HEAD + b"Content-Length: 10\r\n\r\nhello",
    "chunked, between chunks": CHUNKED + b"5\r\nhello\r\n",
    "chunked, in a chunk": CHUNKED + b"a\r\nhello",
    "chunked, before the last CRLF": CHUNKED + b"5\r\nhello\r\n0\r\n",
    "the head only": HEAD + b"Content-Length: 10\r\n\r\n",
}


@pytest.mark.parametrize("exc", [None, ConnectionResetError()], ids=["closed", "reset"])
@pytest.mark.parametrize("data", PARTS.values(), ids=PARTS)
def test_c4_s4_upstream_closing_mid_body_aborts_the_client(data: bytes, exc: Exception | None) -> None:
    wire = Wire()
    wire.send(get())
    wire.answer(data)
    wire.upstream_closes(exc)
    response = answer(wire.client_received())
    assert response.status == 200
    assert not response.is_whole
    assert wire.was_aborted
    assert wire.endpoint.active == 0


def test_c4_reset_of_a_response_without_length_aborts_the_client() -> None:
    wire = Wire()
    wire.send(get())
    wire.answer(HEAD + b"\r\nhello")
    wire.upstream_closes(ConnectionResetError())
    assert not answer(wire.client_received()).is_whole
    assert wire.was_aborted


def test_c4_upstream_closing_mid_body_aborts_http_1_0_client() -> None:
    wire = Wire()
    wire.send(b"GET / HTTP/1.0\r\n\r\n")
    wire.answer(CHUNKED + b"5\r\nhello\r\n")
    wire.upstream_closes()
    assert wire.was_aborted


BAD_ENDS = {"a bad size": b"xyz\r\n", "no CRLF after a chunk": b"5\r\nhelloworld\r\n", "a sign": b"-1\r\n"}


@pytest.mark.parametrize("rest", BAD_ENDS.values(), ids=BAD_ENDS)
def test_u2_garbage_in_a_chunked_body_aborts_the_client(rest: bytes) -> None:
    wire = Wire()
    wire.send(get())
    wire.answer(CHUNKED + b"5\r\nhello\r\n", rest)
    assert not answer(wire.client_received()).is_whole
    assert wire.was_aborted
    assert wire.idle == 0


# --- more than was asked for ------------------------------------------------------------------------------------------------------------

EXCESS = {
    "another answer": OK,
    "garbage": b"garbage",
    "a body that was not announced": b"xyz",
}
ENDS = {
    "a length": OK,
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "chunked": CHUNKED + b"2\r\nok\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("excess", EXCESS.values(), ids=EXCESS)
@pytest.mark.parametrize("data", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("apart", [False, True], ids=["at once", "later"])
def test_u2_excess_bytes_are_dropped_with_the_connection(data: bytes, excess: bytes, apart: bool) -> None:
    wire = Wire()
    wire.send(get())
    own_upstream = wire.upstream
    if apart:
        wire.answer(data)
        own_upstream.data_received(excess)
        wire.settle()
    else:
        wire.answer(data + excess)
    responses = answers(wire.client_received())
    assert len(responses) == 1
    assert responses[0].body in (b"", b"ok")
    assert own_upstream.transport.is_closing()
    assert wire.idle == 0
    assert wire.is_open


@pytest.mark.parametrize("apart", [False, True], ids=["at once", "later"])
def test_u2_body_of_a_head_response_is_dropped(apart: bool) -> None:
    wire = Wire()
    wire.send(get(method=b"HEAD"))
    own_upstream = wire.upstream
    data = HEAD + b"Content-Length: 5\r\n\r\n"
    if apart:
        wire.answer(data)
        own_upstream.data_received(b"hello")
        wire.settle()
    else:
        wire.answer(data + b"hello")
    assert answer(wire.client_received(), to_head=True).status == 200
    assert wire.idle == 0


def test_response_after_head_is_read_from_its_start() -> None:
    wire = Wire()
    for _ in range(3):
        wire.send(get(method=b"HEAD"))
        wire.answer(HEAD + b"Content-Length: 5\r\n\r\n")
        assert answer(wire.client_received(), to_head=True)["content-length"] == "5"
        wire.send(get())
        wire.answer(HEAD + b"Content-Length: 5\r\n\r\nhello")
        assert answer(wire.client_received()).body == b"hello"
    assert wire.idle == 1


def test_head_cache_keeps_get_and_head_responses_apart() -> None:
    wire = Wire()
    data = HEAD + b"Content-Length: 0\r\n\r\n"
    for method in (b"GET", b"HEAD", b"GET", b"HEAD"):
        wire.send(get(method=method))
        wire.answer(data)
        assert answer(wire.client_received(), to_head=method == b"HEAD")["content-length"] == "0"
    assert wire.idle == 1


def test_idle_upstream_connection_with_bytes_is_closed() -> None:
    wire = Wire(idle=2)
    spoiled = wire.endpoint.idle[-1]
    spoiled.data_received(OK)
    wire.settle()
    wire.send(get())
    assert spoiled.transport.take() == b""
    assert wire.upstream_received().startswith(b"GET / ")


def test_most_recently_used_connection_is_used_first() -> None:
    wire = Wire(idle=3)
    last = wire.endpoint.idle[-1]
    for _ in range(3):
        wire.send(get())
        assert last.receiver is not None
        wire.answer(OK)


def test_idle_connections_are_limited_to_the_setting() -> None:
    wire = Wire(idle=1, upstream_idle_connections=1)
    wire.send(get())
    wire.upstreams.append(wire.add_upstream())
    wire.upstreams[0].data_received(OK)
    wire.settle()
    assert wire.idle == 1


# --- streams ----------------------------------------------------------------------------------------------------------------------------


def test_s1_each_event_is_forwarded_as_it_arrives() -> None:
    wire = Wire()
    wire.send(get(b"/stream"))
    wire.answer(HEAD + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert b"text/event-stream" in wire.client_received()
    for number in range(3):
        event = b"data: %d\n\n" % number
        wire.answer(b"%x\r\n%b\r\n" % (len(event), event))
        assert wire.client_received() == b"%x\r\n%b\r\n" % (len(event), event)
    wire.answer(b"0\r\n\r\n")
    assert wire.client_received() == b"0\r\n\r\n"
    assert wire.is_open


def test_s3_slow_reader_pauses_only_its_own_upstream() -> None:
    wire = Wire(idle=2)
    wire.send(get(b"/stream"))
    upstream, other = wire.upstream, wire.upstreams[0]
    wire.answer(CHUNKED)
    wire.client.pause_writing()
    assert not upstream.transport.is_reading
    assert other.transport.is_reading
    wire.client.resume_writing()
    assert upstream.transport.is_reading


def fill_client_buffer(wire: Wire) -> None:
    """From now on the client reads nothing: the next write fills its buffer, and the transport calls `pause_writing` from within it."""

    def pause_once(data: bytes) -> None:
        wire.client.transport.on_write = None
        wire.client.pause_writing()

    wire.client.transport.on_write = pause_once


def test_s3_slow_reader_does_not_pause_the_next_request() -> None:
    wire = Wire()
    wire.send(get())
    upstream = wire.upstream
    fill_client_buffer(wire)
    wire.answer(HEAD + b"Content-Length: 5\r\n\r\nhello")  # all of it fits into one segment
    wire.client.resume_writing()
    assert upstream.transport.is_reading
    other = wire.connect()
    wire.send(get(), client=other)
    assert upstream.transport.is_reading
    wire.answer(OK)
    assert answer(wire.client_received(other)).status == 200


def test_s3_client_that_does_not_read_pauses_its_next_response() -> None:
    wire = Wire(idle=2)
    wire.send(get(b"/a") + get(b"/b"))
    fill_client_buffer(wire)
    wire.answer(HEAD + b"Content-Length: 5\r\n\r\nhello")
    in_use = [one for one in wire.upstreams if one.receiver is not None]
    assert all(not one.transport.is_reading for one in in_use)  # a transport calls `pause_writing` only once
    wire.client.resume_writing()
    assert all(one.transport.is_reading for one in wire.upstreams)


def test_s4_silent_upstream_is_504_or_aborts_after_the_head() -> None:
    timeouts = Timeouts(backend_request=1_000, stream_idle=5_000)
    wire = Wire(Rule(name="all", backends=(BACKEND,), timeouts=timeouts))
    wire.send(get())
    deadline = wire.upstream.deadline
    wire.gateway.pools.sweep(deadline - 0.01)
    assert wire.client_received() == b""
    wire.gateway.pools.sweep(deadline + 0.01)
    wire.settle()
    response = answer(wire.client_received())
    assert (response.status, json.loads(response.body)["code"]) == (504, "upstream_timeout")
    assert wire.is_open
    wire = Wire(Rule(name="all", backends=(BACKEND,), timeouts=timeouts))
    wire.send(get())
    wire.answer(CHUNKED + b"5\r\nhello\r\n")
    wire.gateway.pools.sweep(wire.upstream.deadline + 0.01)
    wire.settle()
    assert not answer(wire.client_received()).is_whole
    assert wire.was_aborted


# --- edits and CORS ---------------------------------------------------------------------------------------------------------------------


def response_of_rule(**settings: object) -> Answer:
    wire = Wire(Rule.model_validate({"name": "all", "backends": (BACKEND,), **settings}))
    wire.send(get(b"/", b"Origin: https://app.example"))
    wire.answer(
        HEAD + b"X-A: 1\r\nX-B: 2\r\nAccess-Control-Allow-Origin: *\r\nVary: Accept\r\nContent-Length: 0\r\n\r\n"
    )
    return answer(wire.client_received())


def test_response_header_modifiers_are_applied() -> None:
    response = response_of_rule(response_headers=HeaderEdit(set=(HeaderValue(name="x-a", value="9"),), remove=("X-B",)))
    assert (response["x-a"], "x-b" in response) == ("9", False)


def test_cors_response_names_the_origin_once() -> None:
    response = response_of_rule(cors=Cors(allow_origins=("https://app.example",)))
    assert response.all("access-control-allow-origin") == ["https://app.example"]  # two values are none to a browser
    assert sorted(response.all("vary")) == ["Accept", "Origin"]


def test_preflight_is_answered_by_the_gateway() -> None:
    wire = Wire(Rule(name="all", backends=(BACKEND,), cors=Cors(allow_origins=("*",), allow_methods=("PUT",))))
    wire.send(get(b"/", b"Origin: https://a", b"Access-Control-Request-Method: PUT", method=b"OPTIONS"))
    response = answer(wire.client_received())
    assert (response.status, response["access-control-allow-methods"]) == (204, "PUT")
    assert wire.upstream_received() == b""
    wire.send(get(b"/", b"Origin: https://a", method=b"OPTIONS"))
    assert wire.upstream_received().startswith(b"OPTIONS / ")


# --- bodies on their way up -------------------------------------------------------------------------------------------------------------

UP = get(b"/", b"Transfer-Encoding: chunked", method=b"POST")


@pytest.mark.parametrize("pieces", ["whole", "byte by byte"])
def test_request_body_with_content_length_is_streamed(pieces: str) -> None:
    wire = Wire()
    body = b"hello world"
    wire.send(post(b"/", body)[: -len(body)], *([body] if pieces == "whole" else bytewise(body)))
    request = wire.upstream_received()
    assert b"\r\ncontent-length: 11\r\n" in request
    assert request.endswith(b"\r\n\r\nhello world")
    wire.answer(OK)
    assert answer(wire.client_received()).status == 200
    assert (wire.idle, wire.is_open) == (1, True)


def test_chunked_request_body_is_forwarded_as_it_arrives() -> None:
    wire = Wire()
    wire.send(UP)
    assert wire.upstream_received().endswith(b"\r\n\r\n")
    wire.send(b"5\r\nhello\r\n")
    assert wire.upstream_received() == b"5\r\nhello\r\n"
    wire.send(b"6\r\n wor")
    assert wire.upstream_received() == b"4\r\n wor\r\n"
    wire.send(b"ld\r\n0\r\n\r\n")
    assert wire.upstream_received() == b"2\r\nld\r\n0\r\n\r\n"


def test_s3_slow_upstream_pauses_the_client() -> None:
    wire = Wire()
    wire.send(UP)
    wire.upstream.pause_writing()
    assert not wire.client.transport.is_reading
    wire.upstream.resume_writing()
    assert wire.client.transport.is_reading


def test_s3_paused_client_reads_again_after_its_request() -> None:
    wire = Wire()
    wire.send(post(b"/", b"x" * 1000))
    wire.upstream.pause_writing()
    wire.answer(OK)
    assert wire.client.transport.is_reading


def test_early_response_ends_the_request() -> None:
    wire = Wire()
    wire.send(get(b"/", b"Content-Length: 1000000", method=b"POST") + b"hello")
    wire.answer(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    assert answer(wire.client_received()).status == 403
    assert not wire.is_open
    assert wire.idle == 0  # the rest of the body was never sent: the connection is not reusable
    wire.send(b"x" * 1000)
    assert b"x" * 10 not in wire.upstream_received()


def test_early_response_keeps_both_connections_in_step() -> None:
    wire = Wire(idle=2)
    wire.send(post(b"/", b"hello")[:-5])
    wire.answer(OK)
    wire.send(b"hello")
    wire.send(get(b"/next"))
    for data in wire.upstream_received().split(b"traceparent"):
        assert b"hello" not in data.partition(b"\r\n\r\n")[2][5:]


def test_u3_post_on_a_closed_reused_connection_is_502() -> None:
    wire = Wire()
    wire.send(get())
    wire.answer(OK)
    wire.client_received()
    wire.send(post(b"/", b"hello"))
    wire.upstream_closes()
    response = answer(wire.client_received())
    assert (response.status, json.loads(response.body)["code"]) == (502, problems.UPSTREAM_CLOSED.code)


def test_u3_first_request_on_a_closed_connection_is_502() -> None:
    wire = Wire()
    wire.send(get())
    wire.upstream_closes()
    assert answer(wire.client_received()).status == 502


def test_idle_upstream_connection_reads_after_a_pause() -> None:
    wire = Wire(Rule(name="all", backends=(BACKEND,), retry=Retry(statuses=(503,))))
    wire.send(get(b"/"))
    upstream = wire.upstream
    upstream.pause()
    upstream.forget()
    upstream.is_complete = upstream.is_reusable = True
    upstream._end_forgotten()
    assert upstream.endpoint.active == 0
    assert upstream.transport.is_reading
    assert not upstream.is_paused


def test_upstream_timeout_releases_the_paused_client() -> None:
    wire = Wire(Rule(name="all", backends=(BACKEND,), timeouts=Timeouts(backend_request=1000)))
    wire.send(post(b"/", b"x" * 60_000)[:-59_900])
    wire.upstream.pause_writing()
    assert not wire.client.transport.is_reading
    wire.pass_time(1.3)
    assert [response.status for response in answers(wire.client_received())] == [504]
    assert wire.client.transport.is_reading
    assert not wire.client.holds
